/** One process's connections, preflight, letters' worker and loop, opened and closed in order. */
import type { Logger } from 'pino';
import type { BridgeConfig } from '../config.ts';
import { connectPubsub, connectTemporal, type PubsubConnection, type TemporalConnection } from './connect.ts';
import { systemClock, within } from './clock.ts';
import { createBridgeActivities, createLetterPublisher } from './dead-letter.ts';
import { letterBacklog, startDeadLetterWorker, type DeadLetterWorker } from './dead-letter-worker.ts';
import { classifyPubsub, describeError, type Trouble } from './grpc.ts';
import { keepWakingLetters } from './letter-wake.ts';
import { LetterWatch } from './letter-watch.ts';
import { checkPubsub } from './preflight-pubsub.ts';
import { checkTemporal, findPollers } from './preflight-temporal.ts';
import { preflightPatiently, problem, type Checked, type Preflight } from './preflight.ts';
import { Bridge } from './run.ts';
import { countRuns, keepWatch, tellRunsOpenTooLong, tellWarning } from './run-watch.ts';
import { createStarter, type Starter } from './start.ts';
import type { RunPlace } from './start-options.ts';
import { countLetter, newCounters, type Summary } from './summary.ts';
import { untilTemporalAnswers } from './temporal-answers.ts';

export interface Session {
  readonly pubsub: PubsubConnection;
  readonly temporal: TemporalConnection;
  readonly starter: Starter;
  close(): Promise<void>;
}

/** Of the eight seconds after SIGTERM, what is left when the messages are settled. */
const CLOSE_LIMIT_MS = 1_000;

export type Opened = { readonly kind: 'open'; readonly session: Session } | Exclude<Preflight, { kind: 'ok' }>;

/** Connects and looks at everything; tries again through an outage until `limitMs` is over. */
export async function openSession(
  config: BridgeConfig,
  limitMs: number,
  log: Logger,
  signal: AbortSignal,
): Promise<Opened> {
  const open: { pubsub: PubsubConnection | null; temporal: TemporalConnection | null } = {
    pubsub: null,
    temporal: null,
  };
  const close = async (): Promise<void> => {
    const closing = Promise.allSettled([open.pubsub?.close(), open.temporal?.close()]);
    // The process ends after it, and with it what cannot be closed now: a server that is gone must not delay that.
    await within(systemClock, CLOSE_LIMIT_MS, 'close', closing).catch(() => undefined);
  };
  const checks = {
    async pubsub(): Promise<Checked> {
      try {
        open.pubsub ??= await connectPubsub(config);
      } catch (error) {
        const trouble = classifyPubsub(error, 'Pub/Sub');
        return trouble.kind === 'outage' ? trouble : [problem(trouble.problem)];
      }
      return checkPubsub(open.pubsub.admin, config);
    },
    async temporal(): Promise<Checked> {
      try {
        open.temporal ??= await connectTemporal(config);
      } catch (error) {
        // The native client reports a refused key or certificate as it reports a dead host: text is all there is.
        const text = describeError(error);
        if (/unauthenticated|permission denied|invalid peer certificate|certificate/i.test(text)) {
          return [
            problem(`Temporal at ${config.temporal.address} refuses the connection (${text}). Check TEMPORAL_*.`),
          ];
        }
        return { kind: 'outage', error: `${config.temporal.address}: ${text}` };
      }
      return checkTemporal(open.temporal.client, config.temporal.taskQueue, systemClock);
    },
  };
  const result = await preflightPatiently(checks, limitMs, systemClock, signal, (outage) => {
    log.warn({ of: outage.of, error: outage.error }, 'preflight: not reachable; will try again');
  });
  for (const warning of result.kind === 'outage' ? [] : result.warnings) tellWarning(log, warning);
  const { pubsub, temporal } = open;
  if (result.kind !== 'ok' || pubsub === null || temporal === null) {
    await close();
    return result.kind === 'ok' ? { kind: 'outage', of: 'temporal', error: 'not connected' } : result;
  }
  const starter = createStarter(temporal.client, placeOf(config), config.startDeadlineMs, systemClock);
  return { kind: 'open', session: { pubsub, temporal, starter, close } };
}

function placeOf(config: BridgeConfig): RunPlace {
  return { taskQueue: config.temporal.taskQueue, logsProject: config.emulator ? null : config.project };
}

export type Started =
  | { readonly kind: 'running'; readonly bridge: Bridge; readonly ended: Promise<Summary> }
  /** Temporal was there in the preflight, and is not now. */
  | Trouble;

/** Runs the loop beside the letters' worker; both have ended when `ended` resolves. */
export async function startBridge(
  session: Session,
  config: BridgeConfig,
  { follow, identity, limitMs }: { readonly follow: boolean; readonly identity: string; readonly limitMs: number },
  log: Logger,
  signal: AbortSignal,
): Promise<Started> {
  const { pubsub, temporal, starter } = session;
  const counters = newCounters();
  const letters = new LetterWatch(systemClock);
  const publisher = createLetterPublisher(
    pubsub.letterTopic,
    config.deadLetterTopic,
    config.publishDeadlineMs,
    systemClock,
  );
  const activities = createBridgeActivities(publisher, letters, (reason) => countLetter(counters, reason), log);
  const { namespace } = config.temporal;
  const made = await untilTemporalAnswers(
    () => startDeadLetterWorker(temporal.connection, namespace, activities, identity, systemClock),
    { namespace, limitMs, clock: systemClock, log },
    signal,
  );
  if (made.kind !== 'done') return made;
  const worker = made.value;
  const bridge = new Bridge({
    config,
    follow,
    subscriber: pubsub.subscriber,
    starter,
    publisher,
    letters,
    letterBacklog: () => letterBacklog(temporal.client, systemClock),
    counters,
    clock: systemClock,
    log,
  });
  bridge.gates.success('temporal');
  worker.ended.catch((error: unknown) => {
    bridge.stop('unexpected', `the letters' worker failed: ${describeError(error)}`);
  });
  const stopped = new AbortController();
  bridge.onStop(() => stopped.abort());
  const wake = { client: temporal.client, clock: systemClock, log, onWoken: () => letters.expect() };
  // Nobody waits for it: what it is at when the bridge stops, the next bridge does.
  keepWakingLetters(wake, follow, stopped.signal).catch((error: unknown) => {
    bridge.stop('unexpected', `the look for letters failed: ${describeError(error)}`);
  });
  const watch = {
    count: countRuns(temporal.client),
    findPollers: () => findPollers(temporal.client, config.temporal.taskQueue, systemClock),
    openTooLongMs: config.openTooLongMs,
    clock: systemClock,
    log,
  };
  if (follow)
    keepWatch(watch, stopped.signal).catch((error: unknown) =>
      log.warn({ error: describeError(error) }, 'watch ended'),
    );
  const ended = runBoth(bridge, worker, log).then(async (summary) => {
    if (!follow && hasTime(summary)) await tellRunsOpenTooLong(watch, signal);
    return summary;
  });
  return { kind: 'running', bridge, ended };
}

/** Whoever was told to stop has seconds, and whom Temporal does not answer need not ask it. */
const hasTime = ({ exitReason }: Summary): boolean =>
  exitReason === 'drained' || exitReason === 'max_runtime' || exitReason === 'max_messages';

async function runBoth(bridge: Bridge, worker: DeadLetterWorker, log: Logger): Promise<Summary> {
  // A signal stops both at once: together they have shutdownMs.
  bridge.onStop(() => {
    worker.stop().catch((error: unknown) => log.warn({ error: describeError(error) }, "letters' worker stopped badly"));
  });
  const summary = await bridge.run();
  // Its failure has been logged above; the messages are settled whatever it says.
  await worker.stop().catch(() => undefined);
  return summary;
}
