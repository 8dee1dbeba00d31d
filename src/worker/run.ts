/** The worker: takes work from the task queue until it is told to stop, then gives back what it cannot finish. */
import {
  Worker,
  type NativeConnection,
  type WorkerDeploymentOptions,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import { createActivities } from '../activities/index.ts';
import { openDatabase, type DatabasePool } from '../activities/db.ts';
import { schemaFaults } from '../activities/schema.ts';
import { ConfigError, type WorkerConfig, type WorkerVersion } from '../config.ts';
import { ALERT } from '../contract/alert.ts';
import { abortable } from '../generators/abortable.ts';
import type { Generator } from '../generators/generator.ts';
import { startHealth, type Health, type HealthOptions } from '../health.ts';
import type { Logger } from '../log.ts';
import { workflowBundle } from '../workflow-bundle.ts';
import { untilAnswered } from './patience.ts';
import { ProviderState } from './provider-state.ts';
import { askServers, DatabaseRefuses, ofTemporal } from './servers.ts';

export interface WorkerDeps {
  readonly config: WorkerConfig;
  readonly generator: Generator;
  readonly log: Logger;
  readonly version: string;
}

export interface RunningWorker {
  /** Ends when the worker has stopped; rejects when it died. */
  readonly ended: Promise<void>;
}

/**
 * Waits for PostgreSQL and Temporal, alive and not ready, until both answer: an outage at the start is borne as any later
 * one. Null = told to stop before. Rejects with a ConfigError for what no wait mends.
 *
 * @param stop From then on it drains: finishes what it can within shutdownGraceMs, gives back the rest.
 */
export async function startWorker(deps: WorkerDeps, stop: AbortSignal): Promise<RunningWorker | null> {
  const { config, generator, log } = deps;
  const database = openDatabase(config.database, {
    applicationName: 'content-processor-worker',
    onIdleError: (error) => {
      log.warn({ err: error }, 'an idle database connection was lost; the pool replaces it');
    },
  });
  const provider = new ProviderState(generator, log);
  const current: { worker: Worker | null } = { worker: null };
  const health = await openHealth(deps, {
    live: () => current.worker?.getState() !== 'FAILED',
    ready: () => readiness(current.worker, database, provider),
  });
  const bundle = once(() => workflowBundle(config.workflowBundle));
  const started = await untilAnswered(
    async () => {
      const connection = await askServers(database, config.database.url, config.temporal);
      // Not waited for: a provider that is silent, away or refuses does not hold up the start, and requests wait uncounted.
      provider.lookAgainIfDue();
      return { connection, worker: await createWorker(deps, connection, await bundle(), database, provider) };
    },
    stop,
    ({ away, ...wait }) => {
      const alert = away.includes('database') ? { alert: ALERT.databaseConnection } : {};
      log.warn({ ...alert, ...wait }, 'the worker cannot start yet: it tries again');
    },
  ).catch((error: unknown) => {
    // What to mend is said by whoever ends the process with it.
    if (error instanceof DatabaseRefuses)
      log.error({ alert: ALERT.databaseConnection }, 'the database refuses the worker');
    throw error;
  });
  if (started === null) {
    // The pool is not waited for: a server that says nothing would hold it up for its timeout.
    await health?.close();
    return null;
  }
  const { connection, worker } = started;
  current.worker = worker;
  const ended = worker.run().finally(async () => {
    await health?.close();
    await database.close();
    await connection.close();
  });
  const drain = (): void => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  if (stop.aborted) drain();
  else stop.addEventListener('abort', drain, { once: true });
  log.info(
    {
      taskQueue: config.temporal.taskQueue,
      namespace: config.temporal.namespace,
      generator: generator.name,
      healthPort: health?.port ?? null,
    },
    'worker polls',
  );
  return { ended };
}

async function createWorker(
  { config, generator, log, version }: WorkerDeps,
  connection: NativeConnection,
  bundle: WorkflowBundleOption,
  database: DatabasePool,
  provider: ProviderState,
): Promise<Worker> {
  try {
    return await Worker.create({
      connection,
      namespace: config.temporal.namespace,
      taskQueue: config.temporal.taskQueue,
      // On Cloud Run the SDK's default is 1@localhost for every instance.
      identity: `worker@${process.pid.toString()}@${version}`,
      workflowBundle: bundle,
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
      ...(config.versioning !== null && { workerDeploymentOptions: pinnedTo(config.versioning) }),
    });
  } catch (error) {
    await connection.close();
    throw ofTemporal(error, config.temporal);
  }
}

async function openHealth(
  { config, version }: WorkerDeps,
  answers: Pick<HealthOptions, 'live' | 'ready'>,
): Promise<Health | null> {
  const { port } = config;
  if (port === null) return null;
  try {
    return await startHealth({ port, host: config.healthHost, version, ...answers });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`PORT: ${String(port)} cannot be used (${reason}); set another, or unset it.`]);
  }
}

/**
 * A run ends on the build that it began on: minutes as a rule, hours where a provider is away. Of another kind are only
 * runs of before, which move to the current build (docs/decisions.md, "A run stays with its build").
 */
function pinnedTo(version: WorkerVersion): WorkerDeploymentOptions {
  return { version, useWorkerVersioning: true, defaultVersioningBehavior: 'PINNED' };
}

/** Bundling the sources takes seconds: not again for each try. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** Below the health server's own limit, so that a silent database is named. */
const DATABASE_ANSWERS_WITHIN_MS = 1_500;

/** Ready = polling, the database answers, and the provider does not refuse these settings. */
async function readiness(
  worker: Worker | null,
  database: DatabasePool,
  provider: ProviderState,
): Promise<{ ok: boolean; checks: Record<string, string> }> {
  const polling = worker?.getState() === 'RUNNING';
  const database_ = await abortable(schemaFaults(database), AbortSignal.timeout(DATABASE_ANSWERS_WITHIN_MS)).then(
    (faults) => (faults.length === 0 ? 'ok' : 'schema does not fit'),
    () => 'no answer',
  );
  provider.lookAgainIfDue();
  return {
    ok: polling && database_ === 'ok' && provider.ready,
    checks: {
      polling: polling ? 'ok' : (worker?.getState().toLowerCase() ?? 'starting'),
      database: database_,
      provider: provider.word,
    },
  };
}
