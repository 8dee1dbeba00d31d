/** `npm start`: everything on one machine, four messages on their way, and what became of them. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Command, Option } from 'commander';
import { ConfigError } from '../config.ts';
import { demoMessages, type DemoMessage } from './demo.ts';
import { follow } from './follow.ts';
import { stopSignal } from './interrupt.ts';
import { own, removeLeftovers, type Owner } from './owner.ts';
import { dataRoot } from './paths.ts';
import { prepare } from './prepare.ts';
import { startProcesses } from './processes.ts';
import { printAddresses, printEnds, printLinks, printPlansSelect, say } from './report.ts';
import { OF_POSTGRES_CLIENTS, partsEnvironment, withoutProxy } from './shell-environment.ts';
import { startStack } from './stack.ts';
import { codeOf, inWords, StartError } from './start-error.ts';
import { tail } from './tail.ts';
import { openViews } from './views.ts';

interface Options {
  readonly once?: true;
  readonly publish?: string;
  readonly data?: string;
  readonly generator: 'template' | 'env';
}

/** --once gives up after this long, and a second for every ten messages of a file. */
const ONCE_LIMIT_MS = 120_000;
const ONCE_LIMIT_PER_MESSAGE_MS = 100;

/** Stopped before the messages have ended. */
const INTERRUPTED = 130;

async function main(options: Options): Promise<number> {
  const began = performance.now();
  const fresh = options.data === undefined;
  const dataDir = path.resolve(options.data ?? path.join(dataRoot, `run-${String(process.pid)}`));
  const demo = demoMessages();
  const messages = options.publish === undefined ? demo.messages : readMessages(options.publish);
  const limitMs = options.once ? ONCE_LIMIT_MS + messages.length * ONCE_LIMIT_PER_MESSAGE_MS : Infinity;

  let owner: Owner | null = null;
  const signal = stopSignal(() => {
    owner?.killParts();
    owner?.release();
    if (fresh) rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
    process.exit(INTERRUPTED);
  });
  const stopped = new Promise<'stopped'>((resolve) => {
    signal.addEventListener('abort', () => resolve('stopped'));
  });

  const stops: (() => Promise<void> | void)[] = [];
  let keep = true;
  try {
    // npm start's own clients speak to this machine only.
    Object.assign(process.env, withoutProxy(process.env));
    const generatorOfShell = options.generator === 'env';
    const prepared = await prepare({ dataDir, env: process.env, log: say, signal, generatorOfShell });
    signal.throwIfAborted();
    for (const line of prepared.named.lines) say(line);
    const { env, ignored } = partsEnvironment(process.env, {
      databaseIsNamed: prepared.named.databaseUrl !== null,
      temporalIsNamed: prepared.named.temporal !== null,
      generatorOfShell,
    });
    if (ignored.length > 0) say(`not used, though set in your shell: ${ignored.join(', ')}`);
    if (prepared.named.databaseUrl === null) unsetPostgresClients();

    if (fresh) await removeLeftovers(dataRoot, say);
    const held = await own(dataDir, say);
    owner = held;
    stops.unshift(held.release);
    const onPart = held.addPart;
    const giveUp = (): void => void held.endParts().catch(() => undefined);
    signal.addEventListener('abort', giveUp);
    const stack = await startStack({ dataDir, prepared, log: say, onPart });
    signal.removeEventListener('abort', giveUp);
    stops.unshift(() => stack.stop());
    signal.throwIfAborted();
    const processes = await startProcesses({
      dataDir,
      script: demo.script,
      env: { worker: { ...env, ...stack.env.worker }, bridge: { ...env, ...stack.env.bridge } },
      onPart,
    });
    stops.unshift(() => processes.stop());
    const views = await openViews(stack);
    stops.unshift(() => views.close());
    printAddresses(stack, processes, dataDir);

    const failed = Promise.race([stack.failed, processes.failed]);
    failed.catch(() => undefined);
    const ended = await Promise.race([follow(views, messages, limitMs, say), failed, stopped]);
    if (ended === 'stopped') {
      keep = false;
      return INTERRUPTED;
    }
    const { entries, faults } = ended;
    if (options.publish !== undefined) printEnds(entries);
    else {
      printLinks(stack, entries);
      await printPlansSelect(views.database);
    }
    const count = `${String(entries.length - faults.length)} of ${String(entries.length)} messages`;
    const how = options.publish === undefined ? 'ended as they should' : 'came to an end';
    say(faults.length === 0 ? `✓ ${count} ${how}` : `✗ only ${count} ${how}`);
    say(`${((performance.now() - began) / 1_000).toFixed(1)} s from the command to here`);
    keep = faults.length > 0;
    if (options.once) return faults.length === 0 ? 0 : 1;
    say('Everything stays up until Ctrl-C; what you publish now is shown below.');
    // Whatever ends it now but Ctrl-C is a failure, whose logs are wanted.
    keep = true;
    await Promise.race([tail(views, entries, say, signal), failed]);
    keep = false;
    return 0;
  } catch (error) {
    // What fails because it was stopped is no failure.
    if (!signal.aborted) throw error;
    return INTERRUPTED;
  } finally {
    if (stops.length > 0) say('stopping …');
    for (const each of stops) await stopOne(each);
    const logs = path.join(dataDir, 'logs');
    if (fresh && keep && existsSync(logs)) say(`what happened stands in ${logs} until the next start`);
    else if (fresh) rmSync(dataDir, { recursive: true, force: true });
  }
}

/** One that cannot stop must not keep the others up. */
async function stopOne(each: () => Promise<void> | void): Promise<void> {
  try {
    await each();
  } catch (error) {
    say(`not everything stopped: ${inWords(error)}`);
  }
}

/** Read by every client that we and PostgreSQL's own commands open. */
function unsetPostgresClients(): void {
  for (const name of Object.keys(process.env))
    if (OF_POSTGRES_CLIENTS.test(name)) Reflect.deleteProperty(process.env, name);
}

/** One JSON document, or any text, a line; empty lines are passed over. */
function readMessages(file: string): DemoMessage[] {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new StartError(`--publish: ${file} cannot be read (${codeOf(error) ?? inWords(error)}).`);
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new StartError(`--publish: ${file} holds no message; give one JSON object a line`);
  return lines.map((body, index) => ({ title: `line ${String(index + 1)}`, body, expected: null }));
}

const program = new Command('npm start --')
  .description('Everything on one machine: PostgreSQL, Temporal with its UI, the Pub/Sub emulator, worker and bridge.')
  .option('--once', 'exit when every message has ended: 0 when all ended as they should, else 1')
  .option('--publish <file.jsonl>', 'send your own messages, one a line, instead of the four of the demonstration')
  .option('--data <dir>', 'keep the data in this folder (fresh at each start otherwise)')
  .addOption(
    new Option('--generator <which>', 'template, or env: GENERATOR and its settings as your shell has them')
      .choices(['template', 'env'])
      .default('template'),
  )
  .allowExcessArguments(false)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse();

main(program.opts<Options>()).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const told = error instanceof StartError || error instanceof ConfigError;
    process.stderr.write(`${told ? error.message : ((error as Error).stack ?? String(error))}\n`);
    process.exit(error instanceof StartError ? error.exitCode : told ? 2 : 1);
  },
);
