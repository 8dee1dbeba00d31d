/** `npm run chaos -- --messages N --seed S`: publishes, breaks, mends, compares. Exit 0 = every line of the ledger holds. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { FAULTS, type Fault } from './faults.ts';
import { runChaos } from './run.ts';

const whole = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('is no whole number');
  return Number(text);
};

function chosen(names: readonly string[]): readonly Fault[] {
  if (names.length === 0) return FAULTS;
  if (names.includes('none')) return [];
  return names.map((name) => {
    const fault = FAULTS.find((one) => one.name === name);
    if (fault === undefined)
      throw new InvalidArgumentError(`no such fault; there are: ${FAULTS.map((one) => one.name).join('; ')}`);
    return fault;
  });
}

const command = new Command('chaos')
  .description('The truth ledger: every message ends once, whatever is broken meanwhile.')
  .option('--messages <n>', 'how many', whole, 1_000)
  .option('--seed <n>', 'of messages and faults', whole, Math.floor(Math.random() * 1_000_000))
  .option('--fault <name...>', 'only these (none = a calm run)', [])
  .option('--keep <folder>', 'where logs and evidence go; kept when a line is violated');

const options = command.parse().opts<{ messages: number; seed: number; fault: string[]; keep?: string }>();
const say = (line: string): void => void process.stdout.write(`${line}\n`);

// The servers are in groups of their own: they are ended in order, or they stay.
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort(new Error(signal)));

const faults = chosen(options.fault);
const folder = options.keep ?? (await mkdtemp(path.join(tmpdir(), 'chaos-')));
say(
  `seed ${String(options.seed)}, ${String(options.messages)} messages, ${String(faults.length)} faults; logs in ${folder}`,
);
const { violations, ...outcome } = await runChaos({ ...options, faults, folder, say, signal: interrupt.signal });
say(JSON.stringify(outcome, null, 2));
for (const { line, about, detail } of violations.slice(0, 50)) say(`${line}: ${about}: ${detail}`);
say(`${String(violations.length)} violations`);
if (violations.length === 0 && options.keep === undefined) await rm(folder, { recursive: true, force: true });
else say(`evidence: ${path.join(folder, 'evidence')}`);
process.exit(violations.length === 0 ? 0 : 1);
