/** The product as it is deployed, every connection of it through a gateway, and the harness's own undisturbed ones. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { v1, type PubSub } from '@google-cloud/pubsub';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { NAMES } from '../../src/contract/names.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { emulatorClient } from '../../src/dev/pubsub-emulator.ts';
import { createPubsubResources, type PubsubNames } from '../../src/dev/pubsub-resources.ts';
import { migrate } from '../../src/migrate/migrate.ts';
import { builtBundlePath } from '../../src/workflow-bundle.ts';
import { startGateway, type Gateway } from '../support/e2e-gateway.ts';
import { SECRET_KEY } from '../support/provider-config.ts';
import { LEASE_SECONDS } from '../support/pubsub.ts';
import { MAX_ATTEMPTS } from './mix.ts';
import { startProvider, type Provider } from './provider.ts';
import { startServers, type Servers } from './servers.ts';
import { Supervised } from './supervised.ts';

export interface Gates {
  readonly workersToPostgres: Gateway;
  readonly workersToTemporal: Gateway;
  readonly bridgesToTemporal: Gateway;
  readonly bridgesToPubsub: Gateway;
}

export interface World {
  /** Logs, and evidence when something is wrong. */
  readonly folder: string;
  readonly servers: Servers;
  readonly gates: Gates;
  readonly provider: Provider;
  readonly bridges: readonly Supervised[];
  readonly workers: readonly Supervised[];
  /** Until it is quiet: one bridge that ends when it finds nothing for a window longer than a lease. */
  readonly drain: Supervised;
  readonly temporal: Client;
  readonly pubsub: PubSub;
  readonly subscriber: v1.SubscriberClient;
  readonly names: PubsubNames;
  /** Topics and subscriptions, where they are not there. */
  makeTopics(): Promise<void>;
  readonly project: string;
  readonly databaseUrl: string;
  /** As the superuser, past the gateway; tries again while PostgreSQL is away. */
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** One more worker, not started; with more in its environment, such as armed faults. */
  extraWorker(name: string, env: Readonly<Record<string, string>>): Supervised;
  stop(): Promise<void>;
}

export interface WorldOptions {
  readonly folder: string;
  /** Sources that bridges and workers are run from, in place of what is built: a broken copy must be caught. */
  readonly root?: string;
  readonly bridges?: number;
  readonly workers?: number;
  readonly workerSlots?: number;
  /** The subscription's ack deadline. */
  readonly leaseSeconds?: number;
  /** More in the environment of bridges, and of workers. */
  readonly bridgeEnv?: Readonly<Record<string, string>>;
  readonly workerEnv?: Readonly<Record<string, string>>;
}

/** Not a superuser: connection limits and read-only defaults do not bind one. */
const ROLE = 'content_worker';
const ROLE_PASSWORD = 'content_worker';
const DATABASE = 'chaos';
const PROJECT = 'chaos-project';
const POOL = 8;

/** Every write on a row that has ended, whoever makes it: what the product promises never to do but for a take-over. */
const AUDIT = `
  create table chaos_late_writes (
    request_id uuid not null, old_status text not null, new_status text not null, old_owner text, new_owner text,
    at timestamptz not null default clock_timestamp());
  create function chaos_note_late_write() returns trigger language plpgsql security definer as $$
  begin
    insert into chaos_late_writes (request_id, old_status, new_status, old_owner, new_owner)
    values (new.id, old.status::text, new.status::text, old.owner_token, new.owner_token);
    return null;
  end $$;
  create trigger chaos_note_late_write after update on content_requests for each row
    when (old.status::text in ('completed', 'failed', 'cancelled')) execute function chaos_note_late_write();
`;

export async function startWorld(options: WorldOptions): Promise<World> {
  const { folder, root = projectRoot, leaseSeconds = LEASE_SECONDS } = options;
  await mkdir(folder, { recursive: true });
  if (!existsSync(builtBundlePath)) throw new Error('there is no dist/: run npm run build');
  const [servers, provider] = await Promise.all([startServers(folder), startProvider()]);

  const adminPool = new pg.Pool({ connectionString: servers.adminUrl('postgres'), max: 1 });
  adminPool.on('error', () => undefined);
  await adminPool.query(`create role ${ROLE} login password '${ROLE_PASSWORD}'`);
  await adminPool.query(`create database ${DATABASE}`);
  await adminPool.end();
  const databaseUrl = servers.adminUrl(DATABASE);
  await migrate(databaseUrl, { log: () => undefined });
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 3, connectionTimeoutMillis: 2_000 });
  // A lost connection shows at the next query, which is tried again.
  pool.on('error', () => undefined);
  const query: World['query'] = async (text, values = []) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await pool.query<Record<string, unknown>>(text, values)).rows;
      } catch (error) {
        if (attempt === 60 || !isAway(error)) throw error;
        await sleep(500);
      }
    }
  };
  await query(AUDIT);
  // All that a worker needs.
  await query(`grant select, insert, update on content_requests to ${ROLE}; grant insert on request_events to ${ROLE}`);

  const pubsub = emulatorClient(servers.pubsub.address, PROJECT);
  const names = {
    topic: NAMES.topic,
    subscription: NAMES.subscription,
    deadLetterTopic: NAMES.deadLetterTopic,
    deadLetterSubscription: NAMES.deadLetterSubscription,
  };
  const makeTopics = async (): Promise<void> => {
    await createPubsubResources(pubsub, names);
    await pubsub.subscription(names.subscription).setMetadata({ ackDeadlineSeconds: leaseSeconds });
  };
  await makeTopics();
  const subscriber = new v1.SubscriberClient(
    (await pubsub.getClientConfig()) as ConstructorParameters<typeof v1.SubscriberClient>[0],
  );
  const connection = await Connection.connect({ address: servers.temporal.address });
  const temporal = new Client({ connection, namespace: NAMES.namespace });

  const [workersToPostgres, workersToTemporal, bridgesToTemporal, bridgesToPubsub] = await Promise.all([
    startGateway(servers.postgres.address),
    startGateway(servers.temporal.address),
    startGateway(servers.temporal.address),
    startGateway(servers.pubsub.address),
  ]);
  const gates = { workersToPostgres, workersToTemporal, bridgesToTemporal, bridgesToPubsub };

  const common = { LOG_FORMAT: 'json', LOG_LEVEL: 'debug', METADATA_SERVER_DETECTION: 'none' };
  const bridgeEnv = {
    ...common,
    TEMPORAL_ADDRESS: bridgesToTemporal.address,
    PUBSUB_EMULATOR_HOST: bridgesToPubsub.address,
    GOOGLE_CLOUD_PROJECT: PROJECT,
    PUBSUB_TOPIC: names.topic,
    PUBSUB_SUBSCRIPTION: names.subscription,
    PUBSUB_DLQ_TOPIC: names.deadLetterTopic,
    PUBSUB_DLQ_SUBSCRIPTION: names.deadLetterSubscription,
    BRIDGE_ACK_DEADLINE_SECONDS: String(leaseSeconds),
    BRIDGE_LEASE_RENEW_MS: '3000',
    BRIDGE_PULL_TIMEOUT_MS: '1500',
    BRIDGE_IDLE_WINDOW_MS: '4500',
    BRIDGE_START_DEADLINE_MS: '4000',
    BRIDGE_PUBLISH_DEADLINE_MS: '4000',
    BRIDGE_OUTAGE_LIMIT_MS: '15000',
    RETRY_MAX_ATTEMPTS: String(MAX_ATTEMPTS),
    RETRY_FIRST_WAIT_MS: '200',
    RETRY_MAX_WAIT_MS: '1000',
    ...options.bridgeEnv,
  };
  const workerEnv = (number: number): Record<string, string> => ({
    ...common,
    TEMPORAL_ADDRESS: workersToTemporal.address,
    DATABASE_URL: `postgresql://${ROLE}:${ROLE_PASSWORD}@${workersToPostgres.address}/${DATABASE}`,
    DATABASE_POOL_SIZE: String(POOL),
    DATABASE_CONNECT_TIMEOUT_MS: '2000',
    DATABASE_STATEMENT_TIMEOUT_MS: '3000',
    // Of bridges every delivery is read from the log; of workers nothing.
    LOG_LEVEL: 'info',
    GENERATOR: 'http',
    GENERATOR_URL: provider.url(number),
    SECRET_KEY,
    WORKER_ACTIVITY_SLOTS: String(options.workerSlots ?? 30),
    WORKER_WORKFLOW_BUNDLE: builtBundlePath,
    ...options.workerEnv,
  });
  const main = (process_: string): string =>
    options.root === undefined
      ? path.join(root, 'dist', process_, 'main.js')
      : path.join(root, 'src', process_, 'main.ts');
  const log = (name: string): string => path.join(folder, `${name}.log`);
  const bridge = (name: string, args: readonly string[], more: Record<string, string> = {}): Supervised =>
    new Supervised('bridge', name, 0, log(name), () => ({
      file: main('bridge'),
      args,
      cwd: root,
      env: { ...bridgeEnv, ...more },
    }));
  let workerNumber = 0;
  const worker = (name: string, file: string, more: Readonly<Record<string, string>> = {}): Supervised => {
    workerNumber += 1;
    const env = { ...workerEnv(workerNumber), ...more };
    return new Supervised('worker', name, workerNumber, log(name), () => ({ file, args: [], cwd: root, env }));
  };
  return {
    folder,
    servers,
    gates,
    provider,
    // The first follows, the others are what a scheduler starts again and again.
    bridges: Array.from({ length: options.bridges ?? 2 }, (_, n) =>
      bridge(`bridge-${String(n + 1)}`, n === 0 ? ['--follow'] : []),
    ),
    workers: Array.from({ length: options.workers ?? 3 }, (_, n) => worker(`worker-${String(n + 1)}`, main('worker'))),
    drain: bridge('bridge-drain', [], { BRIDGE_IDLE_WINDOW_MS: String((leaseSeconds + 3) * 1_000) }),
    temporal,
    pubsub,
    subscriber,
    names,
    makeTopics,
    project: PROJECT,
    databaseUrl,
    query,
    // Fault points can be armed in src/dev only, and that is never built.
    extraWorker: (name, env) => worker(name, path.join(root, 'src/dev/worker.ts'), env),
    stop: async () => {
      await pool.end();
      await connection.close();
      await subscriber.close();
      await pubsub.close();
      for (const gate of Object.values(gates)) gate.up();
      await Promise.all(Object.values(gates).map((gate) => gate.close()));
      await servers.stop();
      await provider.stop();
    },
  };
}

/** 57P0x: shutdown and start; 53300: too many connections; no SQLSTATE: no connection. */
function isAway(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return !/^[0-9A-Z]{5}$/.test(code) || /^(57P0|53|08)|^E[A-Z]{4}$/.test(code);
}
