/** The loop: pull at most as many messages as there are free slots, handle each, leave nothing behind. */
import type { Logger } from 'pino';
import type { BridgeConfig } from '../config.ts';
import { ALERT } from '../contract/alert.ts';
import { Acks } from './acks.ts';
import { untilAborted, type Clock } from './clock.ts';
import { BACKOFF } from './breaker.ts';
import type { LetterPublisher } from './dead-letter.ts';
import { exitCodeOf, type ExitReason } from './exit.ts';
import { DEPENDENCIES, Gates, type Dependency } from './gates.ts';
import { Hand } from './hand.ts';
import { handle, type HandleDeps } from './handle.ts';
import { IdleWatch } from './idle.ts';
import { Leases } from './leases.ts';
import type { LetterWatch } from './letter-watch.ts';
import { subscriptionName } from './pubsub-names.ts';
import { pull, type SubscriberApi } from './pull.ts';
import { RejectAlarm } from './reject-alarm.ts';
import type { Starter } from './start.ts';
import { newCounters, type Counters, type Summary } from './summary.ts';

export interface BridgeDeps {
  readonly config: BridgeConfig;
  readonly follow: boolean;
  readonly subscriber: SubscriberApi;
  readonly starter: Starter;
  readonly publisher: LetterPublisher;
  readonly letters: LetterWatch;
  /** The server's count of letters that wait; a hint that lags, so it may only delay the end. Null = not known. */
  readonly letterBacklog: () => Promise<number | null>;
  readonly counters?: Counters;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

/** An empty answer faster than this was no long poll; asking again at once would be a busy loop. */
const FAST_EMPTY_MS = 250;
/** Temporal and Pub/Sub answered lately enough to be called ready. */
const READY_MS = 60_000;
const PING_MS = 15_000;
/** How often the hint of waiting letters may put off the end. */
const MAX_BACKLOG_DELAYS = 2;

export class Bridge {
  readonly counters: Counters;
  readonly gates: Gates;
  readonly #deps: BridgeDeps;
  readonly #subscription: string;
  readonly #leases: Leases;
  readonly #acks: Acks;
  readonly #alarm: RejectAlarm;
  readonly #idle: IdleWatch;
  readonly #hand: Hand;
  readonly #stop = new AbortController();
  readonly #leave = new AbortController();
  readonly #random: () => number;
  #reason: ExitReason | null = null;
  #detail: string | null = null;
  #tickAt: number;
  #pingAt: number;
  #backlogDelays = 0;

  constructor(deps: BridgeDeps) {
    const { config, clock, log, subscriber } = deps;
    this.#deps = deps;
    this.#random = deps.random ?? Math.random;
    this.counters = deps.counters ?? newCounters();
    this.#subscription = subscriptionName(config.project, config.subscription);
    this.#idle = new IdleWatch(config.idleWindowMs);
    this.#alarm = new RejectAlarm({ count: config.rejectAlarmCount, ratio: config.rejectAlarmRatio });
    this.#leases = new Leases(
      subscriber,
      { subscription: this.#subscription, ackDeadlineSeconds: config.ackDeadlineSeconds, renewMs: config.leaseRenewMs },
      clock,
      log,
    );
    this.#acks = new Acks(subscriber, this.#subscription, this.#leases, clock, log, this.#random);
    this.gates = new Gates(
      clock,
      { threshold: config.breakerThreshold, ...BACKOFF },
      this.#random,
      (dependency, state, error) => {
        if (state === 'open') log.error({ dependency, error }, 'outage: pulling stops');
        else if (state === 'closed') log.info({ dependency }, 'outage over: pulling goes on');
      },
    );
    const handleDeps = this.#handleDeps();
    this.#hand = new Hand(
      {
        leases: this.#leases,
        acks: this.#acks,
        counters: this.counters,
        clock,
        log,
        handle: (delivery, signal) => handle(delivery, handleDeps, signal),
        onMisconfigured: (problem) => this.stop('configuration', problem),
        onBug: (error) => this.stop('unexpected', stackOf(error)),
      },
      this.#stop.signal,
    );
    this.#tickAt = clock.now();
    this.#pingAt = clock.now();
  }

  /** The loop turns: every wait in it is bounded. */
  get live(): boolean {
    return this.#deps.clock.now() - this.#tickAt <= this.#deps.config.pullTimeoutMs + READY_MS;
  }

  /** Answered lately, and nothing since says otherwise. */
  answers(dependency: Dependency): boolean {
    return this.gates.state(dependency) === 'closed' && this.gates.answeredWithin(dependency, READY_MS);
  }

  onStop(then: () => void): void {
    this.#stop.signal.addEventListener('abort', then, { once: true });
  }

  /** The first reason counts. Messages that wait are given back, calls under way may end within shutdownMs. */
  stop(reason: ExitReason, detail: string | null = null): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#detail = detail;
    this.#stop.abort();
    this.#hand.bell.ring();
  }

  /** Ends the patience of stop(): give back and go. */
  leaveNow(): void {
    this.#leave.abort();
  }

  async run(): Promise<Summary> {
    const renewing = new AbortController();
    const renewal = this.#leases.keepRenewing(renewing.signal);
    const startedAt = this.#deps.clock.now();
    try {
      while (this.#reason === null) {
        this.#tickAt = this.#deps.clock.now();
        const { config, follow } = this.#deps;
        if (!follow && this.#tickAt - startedAt >= config.maxRuntimeMs) this.stop('max_runtime');
        else await this.#turn();
      }
    } catch (error) {
      // A bug, not an outage; the messages go back before the process ends with it.
      this.stop('unexpected', stackOf(error));
    }
    await this.#hand.empty(this.#deps.config.shutdownMs, this.#leave.signal);
    renewing.abort();
    // Nothing is held any more: a renewal that is still under way says nothing, and its server may be silent.
    renewal.catch((error: unknown) => this.#deps.log.warn({ error: stackOf(error) }, 'lease renewal ended badly'));
    return this.#summarise(this.#reason ?? 'unexpected');
  }

  async #turn(): Promise<void> {
    const { config, clock } = this.#deps;
    if (this.#outlasted()) return;
    await this.#pingIfQuiet();
    const wanted = this.#mayPull();
    if (wanted === 0) {
      const limitReached = config.maxMessages > 0 && this.counters.pulled >= config.maxMessages;
      if (limitReached && this.#hand.size === 0) this.stop('max_messages');
      else await this.#hand.bell.wait(BACKOFF.firstWaitMs);
      return;
    }
    if (!this.gates.tryAdmit('pull')) return this.#hand.bell.wait(BACKOFF.firstWaitMs);

    const askedAt = clock.now();
    const pulling = pull(this.#deps.subscriber, this.#subscription, wanted, config.pullTimeoutMs, this.#stop.signal);
    const answer = await untilAborted(this.#stop.signal, pulling);
    if (answer === 'aborted') {
      // Its messages may still come: they go straight back.
      pulling
        .then((late) =>
          late.kind === 'messages' ? this.#hand.giveBack(late.deliveries.map(({ ackId }) => ackId)) : undefined,
        )
        .catch((error: unknown) => this.#deps.log.warn({ error: stackOf(error) }, 'late messages not given back'));
      return;
    }
    switch (answer.kind) {
      case 'messages':
        this.gates.success('pull');
        this.#idle.reset();
        this.#hand.take(answer.deliveries);
        return;
      case 'empty':
        this.gates.success('pull');
        return this.#foundNothing(askedAt);
      case 'outage':
        this.gates.outage('pull', answer.error);
        this.#idle.reset();
        this.#deps.log.warn({ error: answer.error }, 'pull failed');
        return clock.sleep(BACKOFF.firstWaitMs, this.#stop.signal);
      case 'misconfigured':
        this.stop('configuration', answer.problem);
        return;
      default:
        return answer satisfies never;
    }
  }

  /** How many messages may be asked for now: none while anything is out of order. */
  #mayPull(): number {
    const { config } = this.#deps;
    if (this.#hand.suspects > 0) return 0;
    const limit = config.maxMessages === 0 ? Infinity : config.maxMessages - this.counters.pulled;
    const free = Math.min(config.concurrency - this.#hand.size, limit);
    const troubled = DEPENDENCIES.filter((dependency) => this.gates.state(dependency) !== 'closed');
    if (troubled.length === 0) return Math.max(0, free);
    // A held message is the probe; with none in hand, one is pulled for it.
    const ownProbe = troubled.every((dependency) => dependency === 'pull') || this.#hand.size === 0;
    return ownProbe && free > 0 ? 1 : 0;
  }

  #handleDeps(): HandleDeps {
    const { config, starter, publisher, clock, log } = this.#deps;
    return {
      config,
      starter,
      publisher,
      clock,
      log,
      subscription: this.#subscription,
      gates: this.gates,
      counters: this.counters,
      random: this.#random,
      onVerdict: (rejected) => {
        if (!this.#alarm.record(rejected)) return;
        log.error(
          {
            alert: ALERT.rejections,
            count: config.rejectAlarmCount,
            ratio: config.rejectAlarmRatio,
            stopping: config.rejectStop,
          },
          'many messages are invalid: has the schema of the publisher changed?',
        );
        if (config.rejectStop) this.stop('reject_alarm', 'rejections passed the alarm and BRIDGE_REJECT_STOP=1');
      },
    };
  }

  async #foundNothing(askedAt: number): Promise<void> {
    const { config, clock, letters, follow } = this.#deps;
    if (this.#hand.size > 0) this.#idle.reset();
    else this.#idle.empty(askedAt);
    const idle = this.#idle.isIdle(clock.now()) && this.#hand.size === 0 && letters.idleFor(config.idleWindowMs);
    if (idle && !follow && !(await this.#lettersExpected())) {
      this.stop('drained');
      return;
    }
    if (clock.now() - askedAt < FAST_EMPTY_MS) await clock.sleep(FAST_EMPTY_MS, this.#stop.signal);
  }

  async #lettersExpected(): Promise<boolean> {
    if (this.#backlogDelays >= MAX_BACKLOG_DELAYS) return false;
    const backlog = await this.#deps.letterBacklog();
    if (backlog === null || backlog === 0) return false;
    this.#backlogDelays += 1;
    this.#deps.letters.expect();
    this.#deps.log.info({ backlog }, 'letters of runs wait; staying for another idle window');
    return true;
  }

  /** A drain does not sit out an outage; the scheduler starts the next one. */
  #outlasted(): boolean {
    const { config, follow } = this.#deps;
    if (follow) return false;
    for (const dependency of DEPENDENCIES) {
      if (this.gates.state(dependency) === 'closed') continue;
      if (this.gates.troubledForMs(dependency) <= config.outageLimitMs) continue;
      this.stop(dependency === 'temporal' ? 'temporal_unavailable' : 'pubsub_unavailable', `${dependency} outage`);
      return true;
    }
    return false;
  }

  /** Readiness knows of Temporal even while no message comes. */
  async #pingIfQuiet(): Promise<void> {
    const { clock, starter } = this.#deps;
    if (this.#hand.size > 0 || clock.now() - this.#pingAt < PING_MS) return;
    this.#pingAt = clock.now();
    const trouble = await untilAborted(this.#stop.signal, starter.ping());
    if (trouble === 'aborted') return;
    if (trouble === null) this.gates.success('temporal');
    else this.#deps.log.warn(trouble, 'Temporal does not answer');
  }

  #summarise(exitReason: ExitReason): Summary {
    return {
      ...this.counters,
      acked: this.#acks.acked,
      ackFailures: this.#acks.failed,
      exitReason,
      exitCode: exitCodeOf(exitReason, this.#alarm.raised),
      detail: this.#detail,
    };
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
