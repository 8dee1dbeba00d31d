/**
 * The worker as a process: configuration, signals, exit code. Exit 0 after a drain; 1 unexpected; 2 configuration, or
 * a server that refuses it. A server that is away is waited for. With --check see check.ts.
 */
import { Runtime } from '@temporalio/worker';
import { ConfigError, readWorkerConfig, type WorkerConfig } from '../config.ts';
import type { Generator } from '../generators/generator.ts';
import { createLogger } from '../log.ts';
import { readCommit, readVersion } from '../version.ts';
import { check } from './check.ts';
import { startWorker } from './run.ts';
import { temporalLogger } from './temporal-logger.ts';

/** The native worker takes leave of Temporal, for 30 s where that does not answer: the platform kills sooner. */
const LEAVE_MS = 500;

type Env = Readonly<Record<string, string | undefined>>;

type MakeGenerator = (config: WorkerConfig) => Generator;

async function run(env: Env, makeGenerator: MakeGenerator): Promise<number> {
  const config = readWorkerConfig(env);
  const version = readVersion(env);
  const log = createLogger(config.log, { process: 'worker', version });
  log.info({ commit: readCommit(env), node: process.version, versioning: config.versioning }, 'worker starts');
  for (const warning of config.warnings) log.warn(warning);
  // One owner of signals: the Runtime would install handlers of its own.
  Runtime.install({
    shutdownSignals: [],
    logger: temporalLogger(log, config.log.project),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } } },
  });
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stop.signal.aborted) {
      log.warn({ signal }, 'second signal: leaving at once; Temporal gives the work to another worker');
      process.exit(0);
    }
    log.info({ signal }, 'draining');
    setTimeout(() => {
      log.warn('not stopped in time: leaving; Temporal gives the work to another worker');
      process.exit(0);
    }, config.shutdownForceMs + LEAVE_MS).unref();
    stop.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const worker = await startWorker({ config, log, version, generator: makeGenerator(config) }, stop.signal);
  try {
    await worker?.ended;
  } catch (error) {
    // Told to stop, it stops: what it had not given back, Temporal gives to another worker. The SDK throws here when it
    // is cut off in the middle of its own shutdown ("Worker still in use", "context should have been disposed").
    if (!stop.signal.aborted) throw error;
    log.warn({ err: error }, 'the worker did not stop cleanly; Temporal gives the work to another worker');
  }
  log.info('worker stopped');
  return 0;
}

async function runCheck(env: Env, makeGenerator: MakeGenerator, probe: boolean): Promise<number> {
  const config = readWorkerConfig(env);
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  return check(config, makeGenerator(config), { probe, print });
}

/** @param asked null = work; else only look, with or without a generation. */
export function runWorkerProcess(
  env: Env,
  makeGenerator: MakeGenerator,
  asked: { readonly probe: boolean } | null = null,
): void {
  const running = asked === null ? run(env, makeGenerator) : runCheck(env, makeGenerator, asked.probe);
  running.then(
    (code) => process.exit(code),
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
