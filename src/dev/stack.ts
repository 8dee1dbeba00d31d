/** Everything on one machine: starts each part that is not named, migrates, and says where it is. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import type { TemporalConfig } from '../config.ts';
import { NAMES } from '../contract/names.ts';
import { migrate } from '../migrate/migrate.ts';
import { connectionOf } from '../postgres-connection.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import type { Part } from './left-parts.ts';
import { pubsubSettings } from './named-parts.ts';
import { cacheDir, homeFolder } from './paths.ts';
import { onFreePort, portNear } from './ports.ts';
import type { Prepared } from './prepare.ts';
import { emulatorClient, startPubsubEmulator } from './pubsub-emulator.ts';
import { createPubsubResources } from './pubsub-resources.ts';
import { inWords, StartError } from './start-error.ts';
import { startTemporalServer } from './temporal-server.ts';

export interface Stack {
  readonly databaseUrl: string;
  /** For a command line; the password of somebody else's URL is not shown. */
  readonly psqlTarget: string;
  /** How to connect to Temporal, and its namespace. */
  readonly temporal: Pick<TemporalConfig, 'connection' | 'address' | 'namespace'>;
  /** Null when Temporal is somebody else's. */
  readonly temporalUi: string | null;
  /** How to call Temporal's CLI here. */
  readonly temporalCli: string;
  readonly pubsubHost: string;
  /** What each needs to find the parts. The worker has nothing of Pub/Sub: its project is the generator's. */
  readonly env: Readonly<Record<'worker' | 'bridge', Readonly<Record<string, string>>>>;
  /** Rejects when a server that was started here ends by itself. */
  readonly failed: Promise<never>;
  /** Stops what was started here, in reverse order; what the environment named stays. */
  stop(): Promise<void>;
}

export interface StackOptions {
  readonly dataDir: string;
  readonly prepared: Prepared;
  readonly log: (line: string) => void;
  /** Told of each process that was started. */
  readonly onPart: (name: Part['name'], pid: number) => void;
}

interface Server {
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

interface Starting extends StackOptions {
  readonly started: <T extends Server>(what: string, part: Promise<T>) => Promise<T>;
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const stops: (() => Promise<void>)[] = [];
  const failures: Promise<never>[] = [];
  const starting: Starting = {
    ...options,
    started: async (what, part) => {
      const begun = performance.now();
      const ready = await part;
      stops.unshift(() => ready.stop());
      const failure = ready.ended.then(() => {
        throw new StartError(`${what} ended by itself: start again.`, { exitCode: 1 });
      });
      // Stopping ends it too, and then nobody listens.
      failure.catch(() => undefined);
      failures.push(failure);
      options.log(`${what} ready in ${((performance.now() - begun) / 1_000).toFixed(1)} s`);
      return ready;
    },
  };
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0)) await each();
  };

  const parts = await Promise.allSettled([startDatabase(starting), startTemporal(starting), startPubsub(starting)]);
  const [database, temporal, pubsub] = parts;
  if (database.status === 'rejected' || temporal.status === 'rejected' || pubsub.status === 'rejected') {
    await stop();
    const reasons = parts.flatMap((part) => (part.status === 'rejected' ? [part.reason as Error] : []));
    const unexpected = reasons.find((reason) => !(reason instanceof StartError));
    throw unexpected ?? new StartError(reasons.map(({ message }) => message).join('\n'));
  }
  try {
    await migrate(database.value, { log: () => undefined });
  } catch (error) {
    await stop();
    throw new StartError(`PostgreSQL: the migrations cannot be applied (${inWords(error)}).`, { cause: error });
  }
  // With nothing started here there is nothing to fail.
  const failed = Promise.race(failures);
  failed.catch(() => undefined);
  const ofTemporal = {
    TEMPORAL_ADDRESS: temporal.value.address,
    ...(options.prepared.named.temporal === null && { TEMPORAL_CONFIG_FILE: emptyProfile(options.dataDir) }),
  };
  return {
    failed,
    databaseUrl: database.value,
    psqlTarget: options.prepared.named.databaseUrl === null ? `'${database.value}'` : '"$DATABASE_URL"',
    temporal: temporal.value,
    temporalUi: temporal.value.uiUrl,
    temporalCli: temporal.value.cli,
    pubsubHost: pubsub.value,
    env: {
      worker: { ...ofTemporal, DATABASE_URL: database.value },
      // Without credentials every Google client would probe the metadata server first.
      bridge: { ...ofTemporal, METADATA_SERVER_DETECTION: 'none', ...pubsubSettings(pubsub.value) },
    },
    stop,
  };
}

async function startDatabase({ dataDir, prepared, started, onPart }: Starting): Promise<string> {
  if (prepared.named.databaseUrl !== null) return prepared.named.databaseUrl;
  const start = onFreePort(5432, (port) =>
    startEmbeddedPostgres({
      dataDir: path.join(dataDir, 'postgres'),
      port,
      log: () => undefined,
      onSpawn: (pid) => onPart('postgres', pid),
      ...(prepared.postgres && { binaries: prepared.postgres }),
    }),
  );
  const server = await started('PostgreSQL', start);
  await createDatabase(server.url('postgres'));
  return server.url(NAMES.database);
}

async function createDatabase(adminUrl: string): Promise<void> {
  const client = new pg.Client(connectionOf(adminUrl));
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [NAMES.database]);
    if (rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(NAMES.database)}`);
  } catch (error) {
    throw new StartError(`PostgreSQL: its database could not be made (${inWords(error)}).`, { cause: error });
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Without it the config file in the user's home would be read, though no variable names it. */
function emptyProfile(dataDir: string): string {
  const file = path.join(dataDir, 'temporal.toml');
  writeFileSync(file, '[profile.default]\n');
  return file;
}

type TemporalPlace = Stack['temporal'] & { readonly uiUrl: string | null; readonly cli: string };

async function startTemporal({ dataDir, prepared, started, log, onPart }: Starting): Promise<TemporalPlace> {
  const { named } = prepared;
  if (named.temporal !== null) return { ...named.temporal, uiUrl: null, cli: 'temporal' };
  const start = onFreePort(7233, async (port) =>
    startTemporalServer({
      port,
      uiPort: await portNear(8233),
      dbFile: path.join(dataDir, 'temporal.db'),
      cacheDir: cacheDir(process.env, homeFolder()),
      log,
      onSpawn: (pid) => onPart('temporal', pid),
      ...(prepared.temporalCli !== null && { cli: prepared.temporalCli }),
    }),
  );
  const { address, uiUrl, cli } = await started('Temporal', start);
  return { address, connection: { address }, namespace: NAMES.namespace, uiUrl, cli };
}

async function startPubsub({ dataDir, prepared, started, onPart }: Starting): Promise<string> {
  const emulator = (): Promise<Server & { host: string }> =>
    onFreePort(8085, (port) =>
      startPubsubEmulator({
        port,
        host: '127.0.0.1',
        log: () => undefined,
        dataDir: path.join(dataDir, 'pubsub'),
        onSpawn: (pid) => onPart('emulator', pid),
        ...(prepared.emulator && { command: prepared.emulator }),
      }),
    );
  const host = prepared.named.pubsubHost ?? (await started('Pub/Sub emulator', emulator())).host;
  const pubsub = emulatorClient(host, NAMES.project);
  try {
    await createPubsubResources(pubsub, NAMES);
    return host;
  } catch (error) {
    throw new StartError(`Pub/Sub emulator: topics could not be made on ${host} (${inWords(error)}).`, {
      cause: error,
    });
  } finally {
    await pubsub.close();
  }
}
