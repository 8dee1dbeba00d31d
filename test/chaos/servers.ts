/** PostgreSQL, Temporal and Pub/Sub of a run: each on one port for its whole life, whatever is done to it. */
import { chmod, mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import getPort from 'get-port';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { cacheDir } from '../../src/dev/paths.ts';
import { startPubsubEmulator, type PubsubEmulator } from '../../src/dev/pubsub-emulator.ts';
import { startTemporalServer, type TemporalServer } from '../../src/dev/temporal-server.ts';

export interface Server {
  readonly address: string;
  /** Ends it by this signal, and waits until it is gone. */
  end(signal: NodeJS.Signals): Promise<void>;
  /** After end(); with what is given in place of what it was started with. */
  start(options?: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

interface Part {
  readonly pid: number;
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** A server that was killed may leave children that hold its port or its lock for a moment. */
const START_TRIES = 40;
const TRY_AGAIN_MS = 500;

async function managed(address: string, launch: (options: readonly string[]) => Promise<Part>): Promise<Server> {
  let part: Part | null = await launch([]);
  return {
    address,
    end: async (signal) => {
      if (part === null) return;
      const ending = part;
      part = null;
      process.kill(ending.pid, signal);
      await ending.ended;
    },
    start: async (options = []) => {
      for (let attempt = 1; part === null; attempt += 1) {
        try {
          part = await launch(options);
        } catch (error) {
          if (attempt === START_TRIES) throw error;
          await sleep(TRY_AGAIN_MS);
        }
      }
    },
    stop: async () => {
      await part?.stop();
      part = null;
    },
  };
}

export interface Servers {
  readonly postgres: Server;
  readonly adminUrl: (database: string) => string;
  readonly temporal: Server;
  readonly pubsub: Server;
  stop(): Promise<void>;
}

export async function startServers(folder: string): Promise<Servers> {
  const data = path.join(folder, 'data');
  await mkdir(data, { recursive: true });
  // As root the server runs as another user.
  await chmod(folder, 0o711);
  await chmod(data, 0o711);
  const [postgresPort, temporalPort, pubsubPort] = await Promise.all([
    getPort({ host: '127.0.0.1' }),
    getPort({ host: '127.0.0.1' }),
    getPort({ host: '127.0.0.1' }),
  ]);
  let embedded: EmbeddedPostgres | undefined;
  const postgres = managed(`127.0.0.1:${String(postgresPort)}`, async () => {
    embedded = await startEmbeddedPostgres({
      dataDir: path.join(data, 'postgres'),
      port: postgresPort,
      log: () => undefined,
      // The machine does not crash, so fsync may be off; the server is killed, so commits are written before they are told.
      settings: { fsync: 'off', full_page_writes: 'off', max_connections: '200' },
    });
    return embedded;
  });
  const temporal = managed(`127.0.0.1:${String(temporalPort)}`, (dynamicConfig): Promise<TemporalServer> =>
    startTemporalServer({
      port: temporalPort,
      uiPort: null,
      dbFile: path.join(data, 'temporal.db'),
      cacheDir: cacheDir(process.env, os.homedir()),
      log: () => undefined,
      dynamicConfig,
    }),
  );
  const pubsub = managed(`127.0.0.1:${String(pubsubPort)}`, (): Promise<PubsubEmulator> =>
    startPubsubEmulator({
      port: pubsubPort,
      host: '127.0.0.1',
      log: () => undefined,
      dataDir: path.join(data, 'pubsub'),
    }),
  );
  const [first, second, third] = await Promise.all([postgres, temporal, pubsub]);
  return {
    postgres: first,
    adminUrl: (database) => embedded?.url(database) ?? '',
    temporal: second,
    pubsub: third,
    stop: async () => {
      await Promise.all([third.stop(), second.stop(), first.stop()]);
    },
  };
}
