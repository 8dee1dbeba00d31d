/** `npm start`: everything on one machine, four messages on their way, and what became of them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import type pg from 'pg';
import { NAMES } from '../contract/names.ts';
import { demoMessages, type DemoMessage } from './demo.ts';
import { follow } from './follow.ts';
import { dataRoot } from './paths.ts';
import { startProcesses, type Processes } from './processes.ts';
import { StartError, startStack, type Stack } from './stack.ts';
import { tail } from './tail.ts';
import { openViews } from './views.ts';
import type { Watched } from './watch.ts';

interface Options {
  readonly once?: true;
  readonly publish?: string;
  readonly data?: string;
}

/** --once gives up after this long, and a second for every ten messages of a file. */
const ONCE_LIMIT_MS = 120_000;
const ONCE_LIMIT_PER_MESSAGE_MS = 100;

/** Letters of a file that are named; all are counted. */
const MOST_LETTERS = 20;

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

async function main(options: Options): Promise<number> {
  const began = performance.now();
  const fresh = options.data === undefined;
  const dataDir = path.resolve(options.data ?? path.join(dataRoot, `run-${String(process.pid)}`));
  if (fresh) removeLeftovers();
  const demo = demoMessages();
  const messages = options.publish === undefined ? demo.messages : readMessages(options.publish);
  const limitMs = options.once ? ONCE_LIMIT_MS + messages.length * ONCE_LIMIT_PER_MESSAGE_MS : Infinity;

  const stop = new AbortController();
  const stopped = new Promise<'stopped'>((resolve) => {
    stop.signal.addEventListener('abort', () => resolve('stopped'));
  });
  // SIGHUP: the terminal was closed; the parts are in groups of their own and would live on.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  // A closed terminal fails every write to it; that must not end us before the parts are stopped.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stop.abort());

  const stops: (() => Promise<void>)[] = [];
  let keep = true;
  try {
    const stack = await startStack({ dataDir, env: process.env, log: say });
    stops.unshift(() => stack.stop());
    const processes = await startProcesses(stack, dataDir, demo.script);
    stops.unshift(() => processes.stop());
    const views = await openViews(stack);
    stops.unshift(() => views.close());
    printAddresses(stack, processes, dataDir);

    const ended = await Promise.race([follow(views, messages, limitMs, say), processes.failed, stopped]);
    if (ended === 'stopped') {
      keep = false;
      return 0;
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
    await Promise.race([tail(views, entries, say, stop.signal), processes.failed]);
    keep = false;
    return 0;
  } finally {
    stop.abort();
    say('stopping …');
    for (const each of stops) await each();
    const logs = path.join(dataDir, 'logs');
    if (fresh && keep && existsSync(logs)) say(`what happened stands in ${logs} until the next start`);
    else if (fresh) rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Data of starts that were killed: their process is gone. */
function removeLeftovers(): void {
  mkdirSync(dataRoot, { recursive: true });
  for (const name of readdirSync(dataRoot)) {
    const pid = Number(/^run-(\d+)$/.exec(name)?.[1]);
    if (!Number.isInteger(pid)) continue;
    try {
      process.kill(pid, 0);
    } catch {
      // Signal 0 throws when there is no such process.
      rmSync(path.join(dataRoot, name), { recursive: true, force: true });
    }
  }
}

/** One JSON document, or any text, a line; empty lines are passed over. */
function readMessages(file: string): DemoMessage[] {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new StartError(`--publish: ${(error as Error).message}`);
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new StartError(`--publish: ${file} holds no message; give one JSON object a line`);
  return lines.map((body, index) => ({ title: `line ${String(index + 1)}`, body, expected: null }));
}

function printAddresses(stack: Stack, processes: Processes, dataDir: string): void {
  const emulator = `CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://${stack.pubsubHost}/`;
  const body = '{"correlation_id": "my-first", "student_id": "me", "topic": "Volcanoes", "interest": "Basketball"}';
  say('');
  if (stack.temporalUi !== null) say(`  Temporal UI    ${stack.temporalUi}/namespaces/${NAMES.namespace}/workflows`);
  say(`  psql           psql '${stack.databaseUrl}'`);
  say(`  temporal       ${stack.temporalCli} workflow list --address ${stack.temporalAddress}`);
  say(`  gcloud pubsub  ${emulator} \\`);
  say(`                   gcloud pubsub topics publish ${NAMES.topic} --project=${NAMES.project} \\`);
  say(`                   --message='${body}'`);
  say(`  health         worker ${processes.workerHealth} · bridge ${processes.bridgeHealth}`);
  say(`  logs           ${path.join(dataDir, 'logs')}`);
  say('');
}

function printLinks(stack: Stack, entries: readonly Watched[]): void {
  if (stack.temporalUi === null) return;
  for (const { message, workflowId } of entries) {
    if (workflowId === null) continue;
    say(
      `  ${message.title}: ${stack.temporalUi}/namespaces/${NAMES.namespace}/workflows/${encodeURIComponent(workflowId)}`,
    );
  }
}

/** A file's messages have no expected end: how many came to which, and the lines that ended as letters. */
function printEnds(entries: readonly Watched[]): void {
  const counts = new Map<string, number>();
  for (const { row, letters } of entries) {
    const [letter] = letters.values();
    const end = letter === undefined ? `row ${row?.status ?? 'absent'}` : `dead letter ${letter}`;
    counts.set(end, (counts.get(end) ?? 0) + 1);
  }
  for (const [end, count] of counts) say(`  ${String(count).padStart(6)}  ${end}`);
  const dead = entries.filter(({ letters }) => letters.size > 0);
  for (const { message, letters } of dead.slice(0, MOST_LETTERS))
    say(`  ${message.title}: ${[...letters.values()].join()}`);
  if (dead.length > MOST_LETTERS) say(`  … and ${String(dead.length - MOST_LETTERS)} letters more`);
}

/** The plan's own check, step 6.3. */
async function printPlansSelect(database: pg.Client): Promise<void> {
  const select = `select id, correlation_id, status, created_at, retry_count
from content_requests
where correlation_id = 'test-001';`;
  const { rows } = await database.query<Record<string, unknown>>(select);
  say(`\n${select}\n`);
  for (const row of rows) {
    for (const [column, value] of Object.entries(row)) {
      say(`  ${column.padEnd(16)}${value instanceof Date ? value.toISOString() : String(value)}`);
    }
  }
  say('');
}

const program = new Command('npm start --')
  .description('Everything on one machine: PostgreSQL, Temporal with its UI, the Pub/Sub emulator, worker and bridge.')
  .option('--once', 'exit when every message has ended: 0 when all ended as they should, else 1')
  .option('--publish <file.jsonl>', 'send your own messages, one a line, instead of the four of the demonstration')
  .option('--data <dir>', 'keep the data in this folder (fresh at each start otherwise)')
  .parse();

main(program.opts<Options>()).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const known = error instanceof StartError;
    process.stderr.write(`${known ? error.message : ((error as Error).stack ?? String(error))}\n`);
    process.exit(known ? 2 : 1);
  },
);
