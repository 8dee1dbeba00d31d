/** `npm run chaos -- --messages N --seed S`: publishes, breaks, mends, compares. Exit 0 = every line of the ledger holds. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { FAULTS, type Fault } from './faults.ts';
import { makePlan } from './mix.ts';
import { entryOf, inWords, record } from './report.ts';
import { runChaos, type Outcome, type RunOptions } from './run.ts';
import { demandsOfAll, SCENARIOS } from './scenarios.ts';

interface Options {
  readonly messages: number;
  readonly seed: number;
  readonly fault: readonly string[];
  readonly each?: true;
  readonly every: number;
  readonly scenario?: string;
  readonly short?: true;
  readonly record?: true;
  readonly keep?: string;
}

const whole = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('is no whole number');
  return Number(text);
};
const names = (things: readonly { readonly name: string }[]): string => things.map(({ name }) => name).join('; ');

const command = new Command('chaos')
  .description('The truth ledger: every message ends once, whatever is broken meanwhile.')
  .option('--messages <n>', 'how many', whole, 1_000)
  .option('--seed <n>', 'of messages and faults', whole, Math.floor(Math.random() * 1_000_000))
  .option('--fault <name...>', 'only these; none = a calm run', [])
  .option('--each', 'every fault alone, a run each')
  .option('--every <seconds>', 'calm between two faults, on the average', whole, 3)
  .option('--scenario <name>', 'in place of faults by chance; all = each of them, one after the other')
  .option('--short', 'scenarios in their short form')
  .option('--record', 'into docs/reliability.json')
  .option('--keep <folder>', 'where logs and evidence go, a folder for each run; else they go when all holds')
  .addHelpText('after', `\nFaults: ${names(FAULTS)}\n\nScenarios: ${names(SCENARIOS)}`);

const say = (line: string): void => void process.stdout.write(`${line}\n`);
// The servers are in process groups of their own: they are ended in order, or they stay.
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort(new Error(signal)));

interface Job {
  readonly name: string;
  readonly options: Omit<RunOptions, 'folder' | 'say'>;
  readonly demands: (outcome: Outcome) => string[];
  readonly faultsOnly: boolean;
}

function jobsOf({ messages, seed, fault, each, every, scenario, short }: Options): Job[] {
  if (scenario !== undefined) {
    const chosen = SCENARIOS.filter(({ name }) => scenario === 'all' || name === scenario);
    if (chosen.length === 0) command.error(`no such scenario; there are: ${names(SCENARIOS)}`);
    return chosen.map(({ name, options, demands }) => ({
      name,
      options: { ...options(short === true), seed, faults: [] },
      demands: demands ?? (() => []),
      faultsOnly: false,
    }));
  }
  const ofChance = (faults: readonly Fault[]): Job['options'] => ({
    plan: (random) => makePlan(messages, random, `s${String(seed)}`),
    seed,
    faults,
    pauseMs: every * 1_000,
    openLimit: Math.max(400, messages / 10),
  });
  if (each === true) {
    return FAULTS.map((one) => ({ name: one.name, options: ofChance([one]), demands: () => [], faultsOnly: true }));
  }
  const faults = fault.includes('none') ? [] : fault.length === 0 ? FAULTS : fault.map(named);
  const what = fault.length === 0 ? 'all faults' : fault.includes('none') ? 'calm' : fault.join(' + ');
  const name = fault.length === 0 ? `${what}, seed ${String(seed)}` : what;
  return [{ name, options: ofChance(faults), demands: () => [], faultsOnly: fault.length > 0 }];
}

function named(name: string): Fault {
  const fault = FAULTS.find((one) => one.name === name);
  return fault ?? command.error(`no such fault: ${name}; there are: ${names(FAULTS)}`);
}

const slug = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, '-');

const INTERRUPTED = 130;
const outcomes = new Map<string, Outcome>();

/** Whether all holds. */
async function runJob(
  { name, options, demands, faultsOnly }: Job,
  { keep, record: keepsRecord }: Options,
): Promise<boolean> {
  // A folder of its own for each: servers keep their data there.
  const folder = keep === undefined ? await mkdtemp(path.join(tmpdir(), 'chaos-')) : path.join(keep, slug(name));
  say(`== ${name}: seed ${String(options.seed)}, ${String(options.faults.length)} faults; logs in ${folder}`);
  const outcome = await runChaos({ ...options, folder, say, signal: interrupt.signal });
  // What was not broken to its end shows nothing, and is not recorded.
  if (interrupt.signal.aborted) process.exit(INTERRUPTED);
  const missed = demands(outcome);
  const entry = entryOf(name, outcome, missed, faultsOnly);
  outcomes.set(name, outcome);
  say(JSON.stringify(entry, null, 2));
  for (const line of [...inWords(outcome.violations), ...missed]) say(line);
  const holds = outcome.violations.length === 0 && missed.length === 0;
  say(`${String(outcome.violations.length + missed.length)} violations`);
  if (keepsRecord === true) await record(entry);
  if (holds && keep === undefined) await rm(folder, { recursive: true, force: true });
  else say(`evidence: ${folder}`);
  return holds;
}

const options = command.parse().opts<Options>();
let failed = 0;
for (const job of jobsOf(options)) {
  if (!(await runJob(job, options))) failed += 1;
}
const missed = demandsOfAll(outcomes);
for (const line of missed) say(line);
process.exit(failed === 0 && missed.length === 0 ? 0 : 1);
