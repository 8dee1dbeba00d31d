/** The product as it is deployed: servers of the test's own, bridge and worker as separate processes. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { Message } from '@google-cloud/pubsub';
import type { WorkflowHandle } from '@temporalio/client';
import pg from 'pg';
import { workflowId } from '../../src/contract/names.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { stopProcess } from '../../src/dev/process.ts';
import type { PubsubNames } from '../../src/dev/pubsub-resources.ts';
import type { Script } from '../../src/dev/scripted-generator.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';
import { LEASE_SECONDS, startTestPubsub, type TestPubsub } from './pubsub.ts';
import type { Row } from './stack.ts';
import { startTestTemporal, type TestTemporal } from './temporal.ts';
import { waitFor } from './wait-for.ts';

export interface Letter {
  readonly body: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Running {
  readonly pid: number;
  /** Everything it has written so far. */
  output(): string;
  /** Its JSON lines so far. */
  lines(): Record<string, unknown>[];
  /** Waits for a line that has these fields. */
  says(fields: Record<string, unknown>): Promise<Record<string, unknown>>;
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | string>;
}

export interface Deployment {
  readonly postgres: TestPostgres;
  readonly temporal: TestTemporal;
  readonly pubsub: TestPubsub;
  readonly names: PubsubNames;
  readonly databaseUrl: string;
  /** What both processes need to find everything; short waits. */
  readonly env: Readonly<Record<string, string>>;
  publish(body: object | string | Buffer, attributes?: Record<string, string>): Promise<string>;
  /** Letters of this message so far. */
  letters(messageId: string): readonly Letter[];
  allLetters(): readonly Letter[];
  run(rowId: string): WorkflowHandle;
  row(id: string): Promise<Row | undefined>;
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Message ids that nobody has acked. Takes them: only when no bridge runs. */
  remaining(): Promise<string[]>;
  worker(script: Script, env?: Record<string, string>): Promise<Running>;
  bridge(args: readonly string[], env?: Record<string, string>): Running;
  stop(): Promise<void>;
}

/** A process of the product. Its environment is `env` and PATH, nothing of the test's own. */
export function startProcess(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Running {
  const command = file.endsWith('.ts') ? ['--import', 'tsx', file] : [file];
  const child = spawn(process.execPath, [...command, ...args], {
    cwd: projectRoot,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} could not be started`);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => (output += chunk));
  }
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'nothing'));
  });
  const dieWithTest = (): void => void child.kill('SIGKILL');
  process.once('exit', dieWithTest);
  const lines = (): Record<string, unknown>[] =>
    output.split('\n').flatMap((line) => {
      // The last line may be half written.
      if (!line.startsWith('{') || !line.endsWith('}')) return [];
      return [JSON.parse(line) as Record<string, unknown>];
    });
  return {
    pid,
    output: () => output,
    lines,
    ended: ended.finally(() => process.removeListener('exit', dieWithTest)),
    says: (fields) =>
      waitFor(`${path.basename(file)} says ${JSON.stringify(fields)}; it said:\n${output.slice(-600)}`, () => {
        const match = (line: Record<string, unknown>): boolean =>
          Object.entries(fields).every(([key, value]) => line[key] === value);
        const found = lines().find(match);
        if (found === undefined && child.exitCode !== null) throw new Error(`it has ended:\n${output.slice(-600)}`);
        return found;
      }),
    kill: (signal) => void child.kill(signal),
    stop: async () => {
      await stopProcess(child);
      return ended;
    },
  };
}

const source = (file: string): string => path.join(projectRoot, 'src', file);

export interface DeploymentOptions {
  /** Of Temporal's server, besides the tests' own. */
  readonly dynamicConfig?: readonly string[];
}

export async function startDeployment({ dynamicConfig = [] }: DeploymentOptions = {}): Promise<Deployment> {
  const [postgres, temporal, pubsub] = await Promise.all([
    startPostgres(),
    startTestTemporal(dynamicConfig),
    startTestPubsub(),
  ]);
  const template = await postgres.templateDatabase();
  const databaseUrl = await postgres.createDatabase(`e2e_${randomUUID().replaceAll('-', '')}`, template);
  const names = await pubsub.resources();
  const letters: Letter[] = [];
  const [watch] = await pubsub.client
    .topic(names.deadLetterTopic)
    .createSubscription(`watch-${randomUUID()}`, { enableMessageOrdering: false });
  watch.on('message', (message: Message) => {
    letters.push({ body: message.data, attributes: message.attributes });
    message.ack();
  });
  const client = new pg.Client({ connectionString: databaseUrl });
  // A test may stop the server under it.
  client.on('error', () => undefined);
  await client.connect();
  const running: Running[] = [];
  const env = {
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporal.address,
    PUBSUB_EMULATOR_HOST: pubsub.emulator.host,
    METADATA_SERVER_DETECTION: 'none',
    GOOGLE_CLOUD_PROJECT: pubsub.project,
    PUBSUB_TOPIC: names.topic,
    PUBSUB_SUBSCRIPTION: names.subscription,
    PUBSUB_DLQ_TOPIC: names.deadLetterTopic,
    PUBSUB_DLQ_SUBSCRIPTION: names.deadLetterSubscription,
    BRIDGE_ACK_DEADLINE_SECONDS: String(LEASE_SECONDS),
    BRIDGE_LEASE_RENEW_MS: '3000',
    BRIDGE_PULL_TIMEOUT_MS: '1500',
    BRIDGE_IDLE_WINDOW_MS: '1500',
    RETRY_FIRST_WAIT_MS: '20',
    RETRY_MAX_WAIT_MS: '100',
    LOG_FORMAT: 'json',
    LOG_LEVEL: 'debug',
  };
  const keep = (started: Running): Running => {
    running.push(started);
    return started;
  };
  const query = async (text: string, values?: unknown[]): Promise<Record<string, unknown>[]> =>
    (await client.query<Record<string, unknown>>(text, values)).rows;
  return {
    postgres,
    temporal,
    pubsub,
    names,
    databaseUrl,
    env,
    publish: (body, attributes = {}) => {
      const data = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
      return pubsub.client.topic(names.topic).publishMessage({ data, attributes });
    },
    letters: (messageId) => letters.filter(({ attributes }) => attributes['dlq_message_id'] === messageId),
    allLetters: () => letters,
    run: (rowId) => temporal.client.workflow.getHandle(workflowId.process(rowId)),
    row: async (id) => (await query('select * from content_requests where id = $1', [id]))[0] as Row | undefined,
    query,
    remaining: async () => {
      const subscription = `projects/${pubsub.project}/subscriptions/${names.subscription}`;
      const [{ receivedMessages }] = await pubsub.subscriber.pull(
        { subscription, maxMessages: 1_000 },
        { timeout: 2_500, retry: null },
      );
      return (receivedMessages ?? []).map(({ message }) => message?.messageId ?? '').sort();
    },
    worker: async (script, more = {}) => {
      const started = keep(
        startProcess(source('dev/worker.ts'), [], { ...env, DEV_GENERATOR_SCRIPT: JSON.stringify(script), ...more }),
      );
      await started.says({ message: 'worker polls' });
      return started;
    },
    bridge: (args, more = {}) => {
      // Fault points can be armed in src/dev only.
      const file = more['DEV_FAULTS'] === undefined ? 'bridge/main.ts' : 'dev/bridge.ts';
      return keep(startProcess(source(file), args, { ...env, ...more }));
    },
    stop: async () => {
      await Promise.all(running.map((each) => each.stop()));
      await watch.close();
      await client.end();
      await Promise.all([pubsub.stop(), temporal.stop(), postgres.stop()]);
    },
  };
}
