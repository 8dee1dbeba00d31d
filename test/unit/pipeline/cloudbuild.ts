/** What a Cloud Build file may hold, and what must be true of it as a whole; by the API's own field names. */
import { parse } from 'yaml';
import { z } from 'zod';
import { commandFaults } from './commands.ts';

const seconds = z.string().regex(/^[1-9]\d*s$/);
const substitutions = z.record(z.string().regex(/^_[A-Z0-9_]+$/), z.string());
const account = z.string().regex(/^projects\/[^/]+\/serviceAccounts\/[^/@]+@[^/@]+\.iam\.gserviceaccount\.com$/);

const step = z
  .strictObject({
    id: z.string().regex(/^[a-z][a-z-]*$/),
    name: z.string().min(1),
    // Without it a step waits for all before it: here each says so.
    waitFor: z.array(z.string()).min(1),
    env: z.array(z.string().regex(/^[A-Z][A-Z0-9_]*=/)).optional(),
    args: z.array(z.string()).optional(),
    entrypoint: z.string().optional(),
    script: z.string().min(1).optional(),
    dir: z.string().optional(),
    timeout: seconds.optional(),
  })
  .refine((each) => each.script === undefined || (each.args === undefined && each.entrypoint === undefined), {
    message: 'script takes neither args nor entrypoint',
  });

const build = z.strictObject({
  steps: z.array(step).min(1),
  images: z.array(z.string()).min(1),
  substitutions,
  serviceAccount: account,
  timeout: seconds,
  tags: z.array(z.string()).optional(),
  options: z.strictObject({
    machineType: z.enum(['E2_MEDIUM', 'E2_HIGHCPU_8', 'E2_HIGHCPU_32', 'N1_HIGHCPU_8', 'N1_HIGHCPU_32']),
    requestedVerifyOption: z.literal('VERIFIED'),
    sourceProvenanceHash: z.array(z.enum(['SHA256', 'SHA512'])),
    // An account of one's own needs this, or a bucket.
    logging: z.literal('CLOUD_LOGGING_ONLY'),
    dynamicSubstitutions: z.boolean().optional(),
  }),
});

const trigger = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/),
  description: z.string().max(100),
  github: z.strictObject({
    owner: z.string(),
    name: z.string(),
    push: z.strictObject({ branch: z.string().startsWith('^').endsWith('$') }),
  }),
  filename: z.string(),
  serviceAccount: account,
  substitutions,
});

export type Build = z.infer<typeof build>;
export type Trigger = z.infer<typeof trigger>;
type Step = z.infer<typeof step>;

export const readBuild = (text: string): Build => build.parse(parse(text));
export const readTrigger = (text: string): Trigger => trigger.parse(parse(text));

/** Every build has these; the rest of the built-in ones are empty where no trigger and no --substitutions says them. */
const BUILT_IN = ['PROJECT_ID', 'PROJECT_NUMBER', 'BUILD_ID', 'LOCATION', 'COMMIT_SHA'];
const REFERENCE = /\$(?:\{(\w+)\}|([A-Z_][A-Z0-9_]*))/g;

const referencesIn = (text: string): string[] =>
  [...text.matchAll(REFERENCE)].map(([, braced, bare]) => braced ?? bare ?? '');

export function buildFaults(checked: Build): string[] {
  return [
    ...checked.steps.flatMap((each, index) => stepFaults(each, checked.steps.slice(0, index))),
    ...substitutionFaults(checked),
    ...checked.images.flatMap((image) => (image.startsWith('$_IMAGE:') ? [] : [`images: ${image}`])),
  ];
}

function stepFaults({ id, name, waitFor, env = [], script = '' }: Step, before: readonly Step[]): string[] {
  const faults: string[] = [];
  if (before.some((each) => each.id === id)) faults.push(`${id}: there are two`);
  for (const waited of waitFor) {
    if (waited !== '-' && !before.some((each) => each.id === waited)) {
      faults.push(`${id}: waits for ${waited}, which is no step before it`);
    }
  }
  // An image of this very build, or one that stays what it is.
  const made = waitedFor(waitFor, before).some((each) => each.script?.includes(`docker build --tag ${name} `));
  if (!made && !/(@sha256:[0-9a-f]{64}|:v?\d+\.\d+[\w.-]*)$/.test(name)) faults.push(`${id}: ${name} is not pinned`);
  const given = env.map((each) => each.slice(0, each.indexOf('=')));
  for (const variable of variablesOf(script)) {
    if (variable.startsWith('_')) faults.push(`${id}: a script is not substituted: ${variable} comes by env`);
    else if (!given.includes(variable)) faults.push(`${id}: nobody sets ${variable}`);
  }
  faults.push(...commandFaults(script).map((fault) => `${id}: ${fault}`));
  return faults;
}

/** The steps that have ended when a step begins. */
function waitedFor(waitFor: readonly string[], before: readonly Step[]): Step[] {
  return before.flatMap((each, index) =>
    waitFor.includes(each.id) ? [each, ...waitedFor(each.waitFor, before.slice(0, index))] : [],
  );
}

/** Variables in capitals that a script uses and does not set. */
function variablesOf(script: string): string[] {
  const used = [...script.matchAll(/\$\{?([A-Z_][A-Z0-9_]*)/g)].map(([, name = '']) => name);
  return [...new Set(used)].filter((name) => !new RegExp(`^\\s*(export )?${name}=`, 'm').test(script));
}

function substitutionFaults(checked: Build): string[] {
  const { steps, ...rest } = checked;
  // Scripts are passed on as they are.
  const template = JSON.stringify([rest, steps.map((each) => ({ ...each, script: undefined }))]);
  const used = new Set(referencesIn(template));
  const defined = Object.keys(checked.substitutions);
  return [
    ...[...used]
      .filter((name) => !defined.includes(name) && !BUILT_IN.includes(name))
      .map((name) => `${name} is used and not defined`),
    // Cloud Build refuses it: "not matched in the template".
    ...defined.filter((name) => !used.has(name)).map((name) => `${name} is defined and not used`),
  ];
}

/** What `values` make of a text, through substitutions that are made of others. */
export function expand(text: string, values: Readonly<Record<string, string>>): string {
  let expanded = text;
  for (let depth = 0; depth < 3; depth += 1) {
    expanded = expanded.replace(REFERENCE, (all, braced?: string, bare?: string) => values[braced ?? bare ?? ''] ?? all);
  }
  return expanded;
}
