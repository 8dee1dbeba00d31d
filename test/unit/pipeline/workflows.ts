/** GitHub's workflows as data, and what must be true of them beyond what actionlint sees: that all they name is there. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { projectRoot } from '../../../src/dev/paths.ts';
import { commandFaults } from './commands.ts';

const value = z.union([z.string(), z.number(), z.boolean()]);
const env = z.record(z.string(), value);
const permissions = z.record(z.string(), z.enum(['read', 'write', 'none']));
const input = z.strictObject({
  description: z.string().optional(),
  required: z.boolean().optional(),
  type: z.string(),
  default: value.optional(),
  options: z.array(z.string()).optional(),
});
const inputs = z.strictObject({ inputs: z.record(z.string(), input).default({}) });

const step = z.strictObject({
  id: z.string().optional(),
  name: z.string().optional(),
  if: z.string().optional(),
  uses: z.string().optional(),
  with: z.record(z.string(), value).optional(),
  run: z.string().optional(),
  env: env.optional(),
  'continue-on-error': z.literal(true).optional(),
});
const concurrency = z.strictObject({ group: z.string(), 'cancel-in-progress': z.literal(false) });
const job = z.strictObject({
  needs: z.union([z.string().transform((name) => [name]), z.array(z.string())]).default([]),
  if: z.string().optional(),
  concurrency: concurrency.optional(),
  'runs-on': z.string().optional(),
  environment: z.string().optional(),
  'timeout-minutes': z.number().optional(),
  permissions: permissions.optional(),
  outputs: z.record(z.string(), z.string()).optional(),
  env: env.default({}),
  steps: z.array(step).default([]),
  uses: z.string().optional(),
  with: z.record(z.string(), value).optional(),
});
const workflow = z.strictObject({
  name: z.string(),
  on: z.strictObject({
    push: z.strictObject({ branches: z.array(z.string()) }).optional(),
    pull_request: z.null().optional(),
    workflow_call: inputs.nullish(),
    workflow_dispatch: inputs.nullish(),
  }),
  permissions,
  concurrency: concurrency.optional(),
  jobs: z.record(z.string(), job),
});

export type Workflow = z.infer<typeof workflow>;
type Job = z.infer<typeof job>;

export const readWorkflow = (text: string): Workflow => workflow.parse(parse(text));

/** Comments are no data: a pin's version is one, so this is about the text. */
export function pinFaults(text: string): string[] {
  return [...text.matchAll(/^\s*(?:- )?uses: (.*)$/gm)].flatMap(([, uses = '']) => {
    if (uses.startsWith('./')) return existsSync(path.join(projectRoot, uses)) ? [] : [`there is no ${uses}`];
    return /^[\w.-]+\/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(uses) ? [] : [`${uses} is not pinned`];
  });
}

/** @param read The workflow of a path as in `uses: ./.github/workflows/x.yml`. */
export function workflowFaults(checked: Workflow, read: (uses: string) => Workflow): string[] {
  const inputsOf = { ...checked.on.workflow_call?.inputs, ...checked.on.workflow_dispatch?.inputs };
  return Object.entries(checked.jobs).flatMap(([name, each]) =>
    [
      ...jobFaults(each, checked),
      ...callFaults(each, read),
      ...rightsFaults(each, checked),
      ...[...JSON.stringify(each).matchAll(/inputs\.(\w+)/g)].flatMap(([, used = '']) =>
        used in inputsOf ? [] : [`there is no input ${used}`],
      ),
      ...[...JSON.stringify(each).matchAll(/needs\.(\w+)\.outputs\.(\w+)/g)].flatMap(([, other = '', output = '']) =>
        each.needs.includes(other) && output in (checked.jobs[other]?.outputs ?? {})
          ? []
          : [`there is no output ${output} of ${other}`],
      ),
      ...each.needs.flatMap((other) => (other in checked.jobs ? [] : [`there is no job ${other}`])),
    ].map((fault) => `${name}: ${fault}`),
  );
}

/** GitHub's own, and those that a step hands on to the next. */
const GIVEN = /^(GITHUB_|RUNNER_|HOME$|PATH$)/;

function jobFaults({ steps, env: ofJob, permissions: ofOwn }: Job, { permissions: ofAll }: Workflow): string[] {
  const faults: string[] = [];
  for (const { run = '', env: ofStep = {} } of steps) {
    // An expression in a script is text that somebody else may have written.
    if (run.includes('${{')) faults.push('a script holds an expression: hand it in by env');
    faults.push(...commandFaults(run));
    const known = { ...ofJob, ...ofStep };
    for (const [, name = ''] of run.matchAll(/\$\{?([A-Z_][A-Z0-9_]*)/g)) {
      if (!(name in known) && !GIVEN.test(name)) faults.push(`nobody sets ${name}`);
    }
  }
  const signsIn = steps.some(({ uses = '' }) => uses.startsWith('google-github-actions/auth@'));
  const mayProve = (ofOwn ?? ofAll)['id-token'] === 'write';
  if (steps.length > 0 && signsIn !== mayProve) faults.push(`id-token: write is ${signsIn ? 'needed' : 'too much'}`);
  return faults;
}

/** Who may sign in as the pipeline, and what has run before. */
function rightsFaults(each: Job, { permissions: ofAll, on }: Workflow): string[] {
  const faults: string[] = [];
  for (const [, name = ''] of (each['runs-on'] ?? '').matchAll(/vars\.(\w+)/g)) {
    // A runner is chosen before the job has its environment.
    if (!/^RUNNER_(DEV|STAGING|PROD)$/.test(name)) faults.push(`${name} is a variable that runs-on does not see`);
  }
  if ((each.permissions ?? ofAll)['id-token'] !== 'write') return faults;
  // Whoever is only called has the condition of the caller.
  const begins = on.push !== undefined || on.pull_request !== undefined || on.workflow_dispatch !== undefined;
  if (begins && each.if !== "github.ref == 'refs/heads/main'") faults.push('signs in on any branch');
  if (each.steps.length > 0 && each.environment === undefined) faults.push('signs in without an environment');
  const signsIn = each.steps.findIndex(({ uses = '' }) => uses.startsWith('google-github-actions/auth@'));
  for (const [index, { run = '' }] of each.steps.entries()) {
    if (!run.includes('npm ci')) continue;
    if (index > signsIn) faults.push('npm ci runs with the rights of the pipeline');
    if (!run.includes('--ignore-scripts')) faults.push('npm ci runs the scripts of packages');
  }
  return faults;
}

function callFaults({ uses, with: given = {} }: Job, read: (uses: string) => Workflow): string[] {
  if (uses === undefined) return [];
  const wanted = read(uses).on.workflow_call?.inputs ?? {};
  return [
    ...Object.keys(given).flatMap((name) => (name in wanted ? [] : [`${uses} has no input ${name}`])),
    ...Object.entries(wanted).flatMap(([name, { required }]) =>
      required === true && !(name in given) ? [`${uses} is not given ${name}`] : [],
    ),
  ];
}

/** Of environment.yml: that it can go back to what it found, and goes on where only the cleaning up fails. */
export function deploymentFaults({ jobs }: Workflow): string[] {
  const faults: string[] = [];
  const steps = jobs['deploy']?.steps ?? [];
  const named = steps.map((step, index) => ({ step, index, verb: /deploy\.sh (\w+)/.exec(step.run ?? '')?.[1] ?? '' }));
  const verbs = named.map(({ verb }) => verb).filter((verb) => verb !== '');
  if (verbs.join(' ') !== 'note migrate pool bridge back sweep') faults.push(`the order is ${verbs.join(' ')}`);
  const of = (verb: string) => named.find((each) => each.verb === verb);
  const [note, bridge, back, sweep] = [of('note'), of('bridge'), of('back'), of('sweep')];
  if (bridge?.step.if !== 'inputs.ramp >= 100')
    faults.push('the bridge changes while most runs go to the build before');
  const fails = `(failure() || cancelled()) && steps.${String(note?.step.id)}.outcome == 'success'`;
  if (back?.step.if !== fails) faults.push(`it goes back only if ${String(back?.step.if)}`);
  const fileOf = (run = ''): string | undefined => / ("\$RUNNER_TEMP\/\w+")$/.exec(run)?.[1];
  if (fileOf(note?.step.run) === undefined || fileOf(note?.step.run) !== fileOf(back?.step.run)) {
    faults.push('it goes back to another file than the note');
  }
  // What follows the way back has none: a pool that stays is no reason to undo a deployment.
  const before = steps[(back?.index ?? 0) - 1]?.run ?? '';
  if (!before.startsWith('npm run smoke')) faults.push('the smoke test is not the last that it goes back for');
  if (sweep?.step.if !== undefined || sweep?.step['continue-on-error'] !== true)
    faults.push('the sweep stops, or always is');
  return faults;
}
