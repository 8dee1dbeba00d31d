/** Goes through the letters' subscription to its end: what nobody has settled by then is given back. */
import type { Logger } from 'pino';
import { backoffMs } from '../bridge/breaker.ts';
import type { Clock } from '../bridge/clock.ts';
import type { Delivery } from '../bridge/delivery.ts';
import type { Trouble } from '../bridge/grpc.ts';
import { IdleWatch, MIN_EMPTY_ANSWERS } from '../bridge/idle.ts';
import { Leases } from '../bridge/leases.ts';
import { pull, type SubscriberApi } from '../bridge/pull.ts';

export interface WalkDeps {
  readonly subscriber: SubscriberApi;
  /** Full name. */
  readonly subscription: string;
  /** Silent for so long = read to its end. */
  readonly silentMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Looks at what came, and settles of it what it will. What ends the walk is its answer. */
export type Take = (deliveries: readonly Delivery[], leases: Leases) => Promise<'more' | 'enough' | Trouble>;

export type Walked = { readonly kind: 'read' | 'enough' | 'stopped' } | Trouble;

/**
 * Bodies of this many are in memory at once, and so many letters are published side by side. What has not come within one
 * call's time (a third of the silence) is leased to nobody, and looks like none: ten of 512 KiB in 3.3 s are 12 Mbit/s.
 */
const BATCH = 10;
const ACK_DEADLINE_SECONDS = 30;
/** The first comes before the shortest lease that a subscription may have is over (10 s). */
const RENEW_MS = 4_000;
const SHORTEST_PULL_MS = 250;
/** Four seconds in all: somebody waits for the answer. */
const OUTAGE_TRIES = 5;

export async function walk(deps: WalkDeps, take: Take, signal: AbortSignal): Promise<Walked> {
  const { subscriber, subscription, clock, log } = deps;
  const leases = new Leases(
    subscriber,
    { subscription, ackDeadlineSeconds: ACK_DEADLINE_SECONDS, renewMs: RENEW_MS },
    clock,
    log,
  );
  const seen = new Set<string>();
  const end = new AbortController();
  const renewal = leases.keepRenewing(end.signal);
  try {
    return await readOn(deps, take, leases, seen, signal);
  } finally {
    end.abort();
    await renewal;
    await leases.giveBack([...seen].filter((ackId) => leases.holds(ackId)));
  }
}

async function readOn(
  deps: WalkDeps,
  take: Take,
  leases: Leases,
  seen: Set<string>,
  signal: AbortSignal,
): Promise<Walked> {
  const { subscriber, subscription, silentMs, clock } = deps;
  const idle = new IdleWatch(silentMs);
  const pullMs = Math.max(SHORTEST_PULL_MS, Math.ceil(silentMs / MIN_EMPTY_ANSWERS));
  for (let outages = 0; !isAborted(signal);) {
    const askedAt = clock.now();
    const answer = await pull(subscriber, subscription, BATCH, pullMs, signal);
    if (answer.kind === 'messages') {
      for (const { ackId } of answer.deliveries) {
        seen.add(ackId);
        leases.hold(ackId);
      }
    }
    // A poll that the signal has ended looks like an outage.
    if (isAborted(signal)) break;
    switch (answer.kind) {
      case 'messages': {
        outages = 0;
        idle.reset();
        const wanted = await take(answer.deliveries, leases);
        if (wanted === 'enough') return { kind: 'enough' };
        if (wanted !== 'more') return wanted;
        break;
      }
      case 'empty':
        outages = 0;
        idle.empty(askedAt);
        if (idle.isIdle(clock.now())) return { kind: 'read' };
        // An answer that came at once was no long poll.
        if (clock.now() - askedAt < SHORTEST_PULL_MS) await clock.sleep(SHORTEST_PULL_MS, signal);
        break;
      case 'outage':
        outages += 1;
        idle.reset();
        if (outages >= OUTAGE_TRIES) return answer;
        await clock.sleep(
          backoffMs(outages, () => 0.5),
          signal,
        );
        break;
      case 'misconfigured':
        return answer;
      default:
        answer satisfies never;
    }
  }
  return { kind: 'stopped' };
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;
