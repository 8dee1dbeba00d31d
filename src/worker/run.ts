/** The worker: takes work from the task queue until it is told to stop, then gives back what it cannot finish. */
import { NativeConnection, Worker } from '@temporalio/worker';
import { createActivities } from '../activities/index.ts';
import { openDatabase, type DatabasePool } from '../activities/db.ts';
import { schemaFaults } from '../activities/schema.ts';
import { ConfigError, type WorkerConfig } from '../config.ts';
import type { Generator } from '../generators/generator.ts';
import { startHealth } from '../health.ts';
import type { Logger } from '../log.ts';
import { placeOf, tlsTrouble } from '../postgres-connection.ts';
import { workflowBundle } from '../workflow-bundle.ts';
import { ProviderState } from './provider-state.ts';

export interface WorkerDeps {
  readonly config: WorkerConfig;
  readonly generator: Generator;
  readonly log: Logger;
  readonly version: string;
}

export interface RunningWorker {
  /** Ends when the worker has stopped; rejects when it died. */
  readonly ended: Promise<void>;
  /** Drains: finishes what it can within shutdownGraceMs, gives back the rest. */
  stop(): void;
  /** The health port that was bound, or null. */
  readonly port: number | null;
}

export async function startWorker(deps: WorkerDeps): Promise<RunningWorker> {
  const { config, generator, log } = deps;
  const database = openDatabase(config.database, {
    applicationName: 'content-processor-worker',
    onIdleError: (error) => {
      log.warn({ err: error }, 'an idle database connection was lost; the pool replaces it');
    },
  });
  const provider = new ProviderState(generator, log);
  let connection: NativeConnection | undefined;
  try {
    await requireSchema(database, config.database.url);
    // Not waited for: a provider that is silent, away or refuses does not hold up the start, and requests wait uncounted.
    provider.look().catch(() => undefined);
    connection = await NativeConnection.connect(config.temporal.connection);
    const worker = await Worker.create({
      connection,
      namespace: config.temporal.namespace,
      taskQueue: config.temporal.taskQueue,
      // On Cloud Run the SDK's default is 1@localhost for every instance.
      identity: `worker@${process.pid.toString()}@${deps.version}`,
      workflowBundle: await workflowBundle(config.workflowBundle),
      activities: createActivities({
        database,
        generator,
        generatorTimeoutMs: config.generatorTimeoutMs,
        mediaTimeoutMs: config.mediaTimeoutMs,
        log,
        onProvider: (failure) => {
          provider.report(failure);
        },
      }),
      maxConcurrentActivityTaskExecutions: config.activitySlots,
      maxCachedWorkflows: config.maxCachedWorkflows,
      shutdownGraceTime: config.shutdownGraceMs,
      shutdownForceTime: config.shutdownForceMs,
    });
    const health =
      config.port === null
        ? null
        : await startHealth({
            port: config.port,
            host: config.healthHost,
            version: deps.version,
            live: () => worker.getState() !== 'FAILED',
            ready: () => readiness(worker, database, provider),
          });
    const opened = connection;
    const ended = worker.run().finally(async () => {
      await health?.close();
      await database.close();
      await opened.close();
    });
    log.info(
      {
        taskQueue: config.temporal.taskQueue,
        namespace: config.temporal.namespace,
        generator: generator.name,
        healthPort: health?.port ?? null,
      },
      'worker polls',
    );
    return {
      ended,
      port: health?.port ?? null,
      stop: () => {
        if (worker.getState() === 'RUNNING') worker.shutdown();
      },
    };
  } catch (error) {
    await connection?.close();
    await database.close();
    throw error;
  }
}

async function requireSchema(database: DatabasePool, url: string): Promise<void> {
  const faults = await schemaFaults(database).catch((error: unknown) => {
    const trouble = tlsTrouble(error, placeOf(url));
    throw trouble === null ? error : new ConfigError([trouble]);
  });
  if (faults.length === 0) return;
  throw new ConfigError([
    `the database at ${placeOf(url)} does not fit this worker:`,
    ...faults.map((fault) => `  ${fault}`),
    '  mend it with: npm run migrate',
    // Its ledger knows what was applied, not what was changed by hand since.
    '  where it has nothing left to apply: psql -v ON_ERROR_STOP=1 -f migrations/create_content_requests.sql "$DATABASE_URL"',
  ]);
}

/** Ready = polling, the database answers, and the provider does not refuse these settings. */
async function readiness(
  worker: Worker,
  database: DatabasePool,
  provider: ProviderState,
): Promise<{ ok: boolean; checks: Record<string, string> }> {
  const polling = worker.getState() === 'RUNNING';
  const database_ = await schemaFaults(database).then(
    (faults) => (faults.length === 0 ? 'ok' : 'schema does not fit'),
    () => 'no answer',
  );
  provider.lookAgainIfDue();
  return {
    ok: polling && database_ === 'ok' && provider.ready,
    checks: {
      polling: polling ? 'ok' : worker.getState().toLowerCase(),
      database: database_,
      provider: provider.word,
    },
  };
}
