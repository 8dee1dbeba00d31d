/**
 * The bridge as a process: options, signals, exit code. Exits: 0 drained, max runtime or signal; 1 unexpected;
 * 2 configuration or preflight; 3 Temporal unavailable; 4 Pub/Sub unavailable; 5 drained, but rejections passed the alarm.
 */
import { Command } from 'commander';
import { Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';
import { ConfigError, readBridgeConfig, type BridgeConfig, type Env } from '../config.ts';
import { startHealth, type Health } from '../health.ts';
import { createLogger } from '../log.ts';
import { readCommit, readVersion } from '../version.ts';
import { temporalLogger } from '../worker/temporal-logger.ts';
import { systemClock } from './clock.ts';
import { dryRun } from './dry-run.ts';
import { EXIT_CODE, type ExitReason } from './exit.ts';
import { problemsMessage } from './preflight.ts';
import type { Bridge } from './run.ts';
import { openSession, startBridge } from './session.ts';
import { ownSignals } from './signals.ts';

interface Options {
  readonly follow?: boolean;
  readonly check?: boolean;
  readonly dryRun?: boolean;
}

/** --check and --dry-run are asked by people: they hear of an outage soon. */
const ASKED_LIMIT_MS = 10_000;

async function run(options: Options, env: Env): Promise<number> {
  const config = readBridgeConfig(env);
  const version = readVersion(env);
  const log = createLogger(config.log, { process: 'bridge', version });
  log.info({ commit: readCommit(env), node: process.version }, 'bridge starts');
  for (const warning of config.warnings) log.warn(warning);
  Runtime.install({
    // One owner of signals: the Runtime would install handlers of its own.
    shutdownSignals: [],
    logger: temporalLogger(log, config.log.project),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } } },
  });
  const signals = ownSignals(log);
  const running: { bridge: Bridge | null } = { bridge: null };
  const health =
    config.port === null ? null : await openHealth(config.port, config.healthHost, version, () => running.bridge);
  try {
    return await work(config, options, log, signals, running, health?.port ?? null, identity(env));
  } finally {
    await health?.close();
  }
}

async function work(
  config: BridgeConfig,
  options: Options,
  log: Logger,
  signals: ReturnType<typeof ownSignals>,
  running: { bridge: Bridge | null },
  healthPort: number | null,
  who: string,
): Promise<number> {
  const asked = options.check === true || options.dryRun === true;
  const follow = options.follow === true;
  const limitMs = follow ? Infinity : asked ? Math.min(config.outageLimitMs, ASKED_LIMIT_MS) : config.outageLimitMs;
  const opened = await openSession(config, limitMs, log, signals.first);
  if (opened.kind === 'problems') return refuse('configuration', problemsMessage(opened.problems));
  if (opened.kind === 'outage') {
    if (signals.first.aborted) return ended(log, 'signal', null);
    return ended(log, opened.of === 'temporal' ? 'temporal_unavailable' : 'pubsub_unavailable', opened.error);
  }
  const { session } = opened;
  try {
    if (options.check === true) {
      process.stdout.write('preflight passed\n');
      return EXIT_CODE.drained;
    }
    if (options.dryRun === true) {
      const print = (line: string): void => void process.stdout.write(`${line}\n`);
      const { subscriber } = session.pubsub;
      const result = await dryRun(
        { config, subscriber, starter: session.starter, clock: systemClock, log, print },
        signals.first,
      );
      return result.detail === null ? EXIT_CODE[result.reason] : refuse(result.reason, result.detail);
    }
    const started = await startBridge(session, config, { follow, identity: who, limitMs }, log, signals.first);
    if (started.kind === 'misconfigured') return refuse('configuration', problemsMessage([started.problem]));
    if (started.kind === 'outage') {
      return ended(log, signals.first.aborted ? 'signal' : 'temporal_unavailable', started.error);
    }
    const { bridge, ended: end } = started;
    running.bridge = bridge;
    const { namespace } = config.temporal;
    log.info(
      { project: config.project, subscription: config.subscription, namespace, follow, healthPort },
      'bridge polls',
    );
    signals.onFirst(() => bridge.stop('signal'));
    signals.onSecond(() => bridge.leaveNow());
    const summary = await end;
    if (summary.exitReason === 'configuration') process.stderr.write(`${summary.detail ?? ''}\n`);
    log[summary.exitCode === 0 ? 'info' : 'error']({ ...summary }, 'bridge ended');
    return summary.exitCode;
  } finally {
    await session.close();
  }
}

function ended(log: Logger, exitReason: ExitReason, detail: string | null): number {
  const exitCode = EXIT_CODE[exitReason];
  log[exitCode === 0 ? 'info' : 'error']({ exitReason, exitCode, detail, pulled: 0 }, 'bridge ended');
  return exitCode;
}

/** On Cloud Run the SDK's default is 1@localhost for every instance. */
function identity(env: Env): string {
  return `bridge@${env['CLOUD_RUN_EXECUTION'] ?? String(process.pid)}`;
}

function refuse(reason: ExitReason, message: string): number {
  process.stderr.write(`${message}\n`);
  return EXIT_CODE[reason];
}

async function openHealth(port: number, host: string, version: string, current: () => Bridge | null): Promise<Health> {
  try {
    return await startHealth({
      port,
      host,
      version,
      // During the preflight there is no loop yet; a startup probe must not fail for that.
      live: () => current()?.live ?? true,
      ready: () => {
        const bridge = current();
        const word = (ok: boolean): string => (ok ? 'ok' : 'unreachable');
        const temporal = bridge?.answers('temporal') ?? false;
        const pubsub = bridge?.answers('pull') ?? false;
        return Promise.resolve({
          ok: temporal && pubsub,
          checks: { temporal: word(temporal), pubsub: word(pubsub) },
        });
      },
    });
  } catch (error) {
    throw new ConfigError([
      `PORT: ${String(port)} cannot be used (${error instanceof Error ? error.message : String(error)}); set another, or unset it`,
    ]);
  }
}

/** @param argv As process.argv. Ends the process. */
export function runBridgeProcess(argv: readonly string[], env: Env): void {
  const command = new Command('bridge')
    .description('Pulls content requests from Pub/Sub and starts one Temporal workflow for each. Drains, then exits.')
    // A typing slip is a configuration fault; 1 would say that something unexpected happened.
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT_CODE.drained : EXIT_CODE.configuration))
    .option('--follow', 'no idle exit, and no exit for an outage')
    .option('--check', 'only the preflight: exit 0 when everything is there')
    .option('--dry-run', 'say what would become of each message, and give all back')
    .action(async (options: Options) => {
      process.exitCode = await run(options, env);
    });

  command.parseAsync(argv).then(
    // A native connection that is slow to close must not keep a finished job alive.
    () => process.exit(),
    (error: unknown) => {
      if (error instanceof ConfigError) {
        process.stderr.write(`${error.message}\n`);
        process.exit(EXIT_CODE.configuration);
      }
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.stderr.write(`${JSON.stringify({ severity: 'CRITICAL', message: 'bridge failed', error: message })}\n`);
      process.exit(EXIT_CODE.unexpected);
    },
  );
}
