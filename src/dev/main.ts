/** `npm start`: everything on one machine, four messages on their way, and what became of them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { SingleBar } from 'cli-progress';
import { Command } from 'commander';
import getPort from 'get-port';
import pg from 'pg';
import { NAMES } from '../contract/names.ts';
import { demoMessages, type DemoMessage } from './demo.ts';
import { dataRoot, projectRoot } from './paths.ts';
import { stopProcess } from './process.ts';
import { openPubsub, StartError, startStack, type Stack } from './stack.ts';
import { StatusTable } from './table.ts';
import { hasEnded, look, verdict, watched, watchLetters, type Watched } from './watch.ts';

interface Options {
  readonly once?: true;
  readonly publish?: string;
  readonly data?: string;
}

/** The demonstration's waits; the product's own are 10 s doubling to 600 s. */
const SHORT_WAITS = { RETRY_FIRST_WAIT_MS: '200', RETRY_MAX_WAIT_MS: '1000' };
/** --once gives up after this long. */
const ONCE_LIMIT_MS = 120_000;

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

async function main(options: Options): Promise<number> {
  const began = performance.now();
  const fresh = options.data === undefined;
  const dataDir = path.resolve(options.data ?? path.join(dataRoot, `run-${String(process.pid)}`));
  if (fresh) removeLeftovers();
  const messages = options.publish === undefined ? null : readMessages(options.publish);
  const demo = demoMessages();

  const stops: (() => Promise<void> | void)[] = [];
  const interrupted = new Promise<'interrupted'>((resolve) => {
    const onSignal = (): void => {
      resolve('interrupted');
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
  try {
    const stack = await startStack({ dataDir, env: process.env, log: say });
    stops.unshift(() => stack.stop());
    const processes = await startProcesses(stack, dataDir, demo.script);
    stops.unshift(() => processes.stop());
    printAddresses(stack, processes, dataDir);
    const ended = await Promise.race([
      follow(stack, messages ?? demo.messages, options, stops).then((ok) => ({ ok })),
      processes.failed,
      interrupted,
    ]);
    if (ended === 'interrupted') return 0;
    say(`${((performance.now() - began) / 1_000).toFixed(1)} s from the command to here`);
    if (options.once) return ended.ok ? 0 : 1;
    say('Everything stays up until Ctrl-C.');
    await Promise.race([interrupted, processes.failed]);
    return 0;
  } finally {
    say('stopping …');
    for (const stop of stops) await stop();
    if (fresh) rmSync(dataDir, { recursive: true, force: true });
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

interface Processes {
  readonly workerHealth: string;
  readonly bridgeHealth: string;
  /** Rejects when one of them ends by itself. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

async function startProcesses(stack: Stack, dataDir: string, script: object): Promise<Processes> {
  const logs = path.join(dataDir, 'logs');
  mkdirSync(logs, { recursive: true });
  const children: ChildProcess[] = [];
  let stopping = false;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // Nobody may be waiting yet when a child ends early.
  failed.catch(() => undefined);
  const start = async (name: string, file: string, args: string[], env: Record<string, string>): Promise<string> => {
    const port = await getPort({ host: '127.0.0.1' });
    const child = spawn(process.execPath, ['--import', 'tsx', path.join(projectRoot, file), ...args], {
      cwd: projectRoot,
      env: { ...process.env, LOG_FORMAT: 'json', ...SHORT_WAITS, ...stack.env, ...env, PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    children.push(child);
    const log = createWriteStream(path.join(logs, `${name}.log`));
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.pipe(log, { end: false });
      stream.on('data', (chunk: Buffer) => {
        tail = (tail + chunk.toString('utf8')).slice(-2_000);
      });
    }
    child.once('exit', (code, signal) => {
      if (!stopping) fail(new StartError(`the ${name} ended by itself (${String(signal ?? code)}):\n${tail}`));
    });
    return `http://127.0.0.1:${String(port)}/health/ready`;
  };
  const workerHealth = await start('worker', 'src/dev/worker.ts', [], { DEV_GENERATOR_SCRIPT: JSON.stringify(script) });
  const bridgeHealth = await start('bridge', 'src/bridge/main.ts', ['--follow'], {});
  return {
    workerHealth,
    bridgeHealth,
    failed,
    stop: async () => {
      stopping = true;
      await Promise.all(children.map((child) => stopProcess(child)));
    },
  };
}

function printAddresses(stack: Stack, processes: Processes, dataDir: string): void {
  say('');
  if (stack.temporalUi !== null) say(`  Temporal UI    ${stack.temporalUi}/namespaces/${NAMES.namespace}/workflows`);
  say(`  psql           psql '${stack.databaseUrl}'`);
  say(`  temporal       temporal workflow list --address ${stack.temporalAddress}`);
  say(
    `  gcloud pubsub  CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://${stack.pubsubHost}/ gcloud pubsub topics publish \\`,
  );
  say(`                   ${NAMES.topic} --project=${NAMES.project} --message='{"correlation_id": …}'`);
  say(`  health         worker ${processes.workerHealth} · bridge ${processes.bridgeHealth}`);
  say(`  logs           ${path.join(dataDir, 'logs')}`);
  say('');
}

/** Publishes, shows what happens until every message has ended, and says whether each ended as it should. */
async function follow(
  stack: Stack,
  messages: readonly DemoMessage[],
  options: Options,
  stops: (() => Promise<void> | void)[],
): Promise<boolean> {
  const pubsub = openPubsub(stack.pubsubHost);
  const connection = await Connection.connect({ address: stack.temporalAddress });
  const client = new Client({ connection, namespace: NAMES.namespace });
  const database = new pg.Client({ connectionString: stack.databaseUrl });
  await database.connect();
  const byMessageId = new Map<string, Watched>();
  const early: { readonly messageId: string; readonly dlqId: string; readonly reason: string }[] = [];
  const stopLetters = await watchLetters(pubsub, ({ attributes }) => {
    const { dlq_message_id: messageId = '', dlq_id: dlqId = '', dlq_reason: reason = '' } = attributes;
    const entry = byMessageId.get(messageId);
    if (entry === undefined) early.push({ messageId, dlqId, reason });
    else entry.letters.set(dlqId, reason);
  });
  stops.unshift(async () => {
    await stopLetters();
    await pubsub.close();
    await database.end();
    await connection.close();
  });

  const entries = await publish(pubsub, messages, options.publish !== undefined);
  for (const entry of entries) byMessageId.set(entry.messageId, entry);
  for (const { messageId, dlqId, reason } of early) byMessageId.get(messageId)?.letters.set(dlqId, reason);

  // A file may hold thousands: those are counted, not drawn.
  const table = entries.length <= 40 ? new StatusTable(process.stdout) : null;
  const until = performance.now() + ONCE_LIMIT_MS;
  for (;;) {
    await look(entries, client, database);
    table?.show(entries);
    if (entries.every(hasEnded)) break;
    if (options.once && performance.now() > until) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  table?.finish(entries);
  printLinks(stack, table === null ? [] : entries);
  if (options.publish === undefined) await printPlansSelect(database);
  const faults = entries.flatMap((entry) => {
    const fault = verdict(entry);
    return fault === null ? [] : [`${entry.message.title}: ${fault}`];
  });
  for (const fault of faults.slice(0, 20)) say(`✗ ${fault}`);
  const count = `${String(entries.length - faults.length)} of ${String(entries.length)} messages`;
  say(faults.length === 0 ? `✓ ${count} ended as they should` : `✗ only ${count} ended as they should`);
  return faults.length === 0;
}

async function publish(
  pubsub: ReturnType<typeof openPubsub>,
  messages: readonly DemoMessage[],
  withBar: boolean,
): Promise<Watched[]> {
  const topic = pubsub.topic(NAMES.topic);
  const bar = withBar ? new SingleBar({ format: 'published {bar} {value}/{total}', noTTYOutput: false }) : null;
  bar?.start(messages.length, 0);
  try {
    return await Promise.all(
      messages.map(async (message) => {
        const messageId = await topic.publishMessage({ data: Buffer.from(message.body) });
        bar?.increment();
        return watched(message, messageId);
      }),
    );
  } finally {
    bar?.stop();
  }
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
