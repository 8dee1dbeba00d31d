/**
 * The worker as a process: configuration, signals, exit code. Exit 0 after a drain; 1 unexpected; 2 configuration, or
 * a schema the worker cannot work with.
 */
import { Runtime } from '@temporalio/worker';
import { ConfigError, readWorkerConfig, type WorkerConfig } from '../config.ts';
import type { Generator } from '../generators/generator.ts';
import { createLogger } from '../log.ts';
import { readVersion } from '../version.ts';
import { startWorker } from './run.ts';
import { temporalLogger } from './temporal-logger.ts';

/** The native worker takes leave of Temporal, for 30 s where that does not answer: the platform kills sooner. */
const LEAVE_MS = 500;

type Env = Readonly<Record<string, string | undefined>>;

async function run(env: Env, makeGenerator: (config: WorkerConfig) => Generator): Promise<void> {
  const config = readWorkerConfig(env);
  const version = readVersion(env);
  const log = createLogger(config.log, { process: 'worker', version });
  // One owner of signals: the Runtime would install handlers of its own.
  Runtime.install({
    shutdownSignals: [],
    logger: temporalLogger(log, config.log.project),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } } },
  });
  const starting = startWorker({ config, log, version, generator: makeGenerator(config) });
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      log.warn({ signal }, 'second signal: leaving at once; Temporal gives the work to another worker');
      process.exit(0);
    }
    stopping = true;
    log.info({ signal }, 'draining');
    setTimeout(() => {
      log.warn('not stopped in time: leaving; Temporal gives the work to another worker');
      process.exit(0);
    }, config.shutdownForceMs + LEAVE_MS).unref();
    starting.then(
      (worker) => {
        worker.stop();
      },
      // A start that fails while draining is reported where it is awaited, below.
      () => undefined,
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const worker = await starting;
  await worker.ended;
  log.info('worker stopped');
}

export function runWorkerProcess(env: Env, makeGenerator: (config: WorkerConfig) => Generator): void {
  run(env, makeGenerator).then(
    () => process.exit(0),
    (error: unknown) => {
      if (error instanceof ConfigError) {
        process.stderr.write(`${error.message}\n`);
        process.exit(2);
      }
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.stderr.write(`${JSON.stringify({ severity: 'CRITICAL', message: 'worker failed', error: message })}\n`);
      process.exit(1);
    },
  );
}
