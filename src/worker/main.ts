/** `npm run worker`. Exit 0 after a drain; 1 unexpected; 2 configuration, or a schema the worker cannot work with. */
import { Runtime } from '@temporalio/worker';
import { ConfigError, readWorkerConfig } from '../config.ts';
import { createGenerator } from '../generators/index.ts';
import { createLogger } from '../log.ts';
import { readVersion } from '../version.ts';
import { startWorker } from './run.ts';
import { temporalLogger } from './temporal-logger.ts';

async function main(): Promise<void> {
  const config = readWorkerConfig(process.env);
  const version = readVersion(process.env);
  const log = createLogger(config.log, { process: 'worker', version });
  // One owner of signals: the Runtime would install handlers of its own.
  Runtime.install({
    shutdownSignals: [],
    logger: temporalLogger(log),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } } },
  });
  const worker = await startWorker({ config, log, version, generator: createGenerator(config.generator) });
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      log.warn({ signal }, 'second signal: leaving at once; Temporal gives the work to another worker');
      process.exit(0);
    }
    stopping = true;
    log.info({ signal }, 'draining');
    worker.stop();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  await worker.ended;
  log.info('worker stopped');
}

main().then(
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
