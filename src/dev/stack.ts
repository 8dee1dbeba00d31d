/** Everything on one machine: finds or starts each part, migrates, and says where it is. */
import { mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PubSub } from '@google-cloud/pubsub';
import getPort from 'get-port';
import pg from 'pg';
import { NAMES } from '../contract/names.ts';
import { migrate } from '../migrate/migrate.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { cacheDir } from './paths.ts';
import { startPubsubEmulator } from './pubsub-emulator.ts';
import { createPubsubResources } from './pubsub-resources.ts';
import { startTemporalServer } from './temporal-server.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface Stack {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  /** Null when Temporal is somebody else's. */
  readonly temporalUi: string | null;
  /** How to call Temporal's CLI here. */
  readonly temporalCli: string;
  readonly pubsubHost: string;
  /** What bridge and worker need to find the parts. */
  readonly env: Readonly<Record<string, string>>;
  /** Stops what was started here, in reverse order; what the environment named stays. */
  stop(): Promise<void>;
}

export interface StackOptions {
  readonly dataDir: string;
  readonly env: Env;
  readonly log: (line: string) => void;
}

export async function startStack({ dataDir, env, log }: StackOptions): Promise<Stack> {
  mkdirSync(dataDir, { recursive: true });
  const stops: (() => Promise<void>)[] = [];
  const started = async <T extends { stop(): Promise<void> }>(what: string, part: Promise<T>): Promise<T> => {
    const begun = performance.now();
    const ready = await part;
    stops.unshift(() => ready.stop());
    log(`${what} ready in ${((performance.now() - begun) / 1_000).toFixed(1)} s`);
    return ready;
  };
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0)) await each();
  };

  const parts = await Promise.allSettled([
    startDatabase(dataDir, env, started),
    startTemporal(dataDir, env, started, log),
    startPubsub(env, started),
  ]);
  const [database, temporal, pubsub] = parts;
  if (database.status === 'rejected' || temporal.status === 'rejected' || pubsub.status === 'rejected') {
    await stop();
    const reasons = parts.filter((part) => part.status === 'rejected').map((part) => (part.reason as Error).message);
    throw new StartError(reasons.join('\n'));
  }
  try {
    await migrate(database.value, { log: () => undefined });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    databaseUrl: database.value,
    temporalAddress: temporal.value.address,
    temporalUi: temporal.value.uiUrl,
    temporalCli: temporal.value.cli,
    pubsubHost: pubsub.value,
    env: {
      DATABASE_URL: database.value,
      TEMPORAL_ADDRESS: temporal.value.address,
      PUBSUB_EMULATOR_HOST: pubsub.value,
      // Without credentials every Google client would probe the metadata server first.
      METADATA_SERVER_DETECTION: 'none',
      GOOGLE_CLOUD_PROJECT: NAMES.project,
      PUBSUB_TOPIC: NAMES.topic,
      PUBSUB_SUBSCRIPTION: NAMES.subscription,
      PUBSUB_DLQ_TOPIC: NAMES.deadLetterTopic,
      PUBSUB_DLQ_SUBSCRIPTION: NAMES.deadLetterSubscription,
    },
    stop,
  };
}

/** A part that cannot be had: the message says what to do, so no stack trace is owed. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

type Started = <T extends { stop(): Promise<void> }>(what: string, part: Promise<T>) => Promise<T>;

const named = (env: Env, name: string): string | undefined => {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
};

/** 5432, 7233, 8233 and 8085 are where people look first; any free port does when one is taken. */
const portNear = (port: number): Promise<number> => getPort({ host: '127.0.0.1', port: [port, port + 1, port + 2] });

async function startDatabase(dataDir: string, env: Env, started: Started): Promise<string> {
  const url = named(env, 'DATABASE_URL');
  if (url !== undefined) return url;
  const port = await portNear(5432);
  const server = await started(
    'PostgreSQL',
    startEmbeddedPostgres({ dataDir: path.join(dataDir, 'postgres'), port, log: () => undefined }),
  );
  await createDatabase(server.url('postgres'));
  return server.url(NAMES.database);
}

async function createDatabase(adminUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [NAMES.database]);
    if (rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(NAMES.database)}`);
  } finally {
    await client.end();
  }
}

async function startTemporal(
  dataDir: string,
  env: Env,
  started: Started,
  log: (line: string) => void,
): Promise<{ address: string; uiUrl: string | null; cli: string }> {
  const address = named(env, 'TEMPORAL_ADDRESS');
  if (address !== undefined) return { address, uiUrl: null, cli: 'temporal' };
  return started(
    'Temporal',
    startTemporalServer({
      port: await portNear(7233),
      uiPort: await portNear(8233),
      dbFile: path.join(dataDir, 'temporal.db'),
      cacheDir: cacheDir(env, os.homedir()),
      log,
    }),
  );
}

async function startPubsub(env: Env, started: Started): Promise<string> {
  let host = named(env, 'PUBSUB_EMULATOR_HOST');
  if (host === undefined) {
    const emulator = startPubsubEmulator({ port: await portNear(8085), host: '127.0.0.1', log: () => undefined });
    host = (await started('Pub/Sub emulator', emulator)).host;
  }
  const pubsub = openPubsub(host);
  try {
    await createPubsubResources(pubsub, NAMES);
  } finally {
    await pubsub.close();
  }
  return host;
}

/** A client of the emulator, without probing for credentials. */
export function openPubsub(host: string): PubSub {
  return new PubSub({ projectId: NAMES.project, apiEndpoint: host, emulatorMode: true });
}
