/** A circuit breaker as a pure state machine: an outage stops the pulling, never a message's life. */
export type Breaker =
  | { readonly state: 'closed'; readonly failures: number; readonly since: number | null }
  | { readonly state: 'open'; readonly since: number; readonly retryAt: number; readonly waitMs: number }
  | { readonly state: 'half-open'; readonly since: number; readonly waitMs: number };

export interface BreakerPolicy {
  /** Consecutive outage errors that open it. */
  readonly threshold: number;
  readonly firstWaitMs: number;
  readonly maxWaitMs: number;
}

/** 250 ms: a Temporal frontend that restarts is back within a second; 5 s: a probe costs one call. */
export const BACKOFF = { firstWaitMs: 250, maxWaitMs: 5_000 } as const;

export const CLOSED: Breaker = { state: 'closed', failures: 0, since: null };

/** Any answer of the dependency closes it, whoever asked. */
export function afterSuccess(): Breaker {
  return CLOSED;
}

export function afterOutage(breaker: Breaker, now: number, policy: BreakerPolicy, random: () => number): Breaker {
  switch (breaker.state) {
    case 'closed': {
      const failures = breaker.failures + 1;
      const since = breaker.since ?? now;
      if (failures < policy.threshold) return { state: 'closed', failures, since };
      return open(since, now, policy.firstWaitMs, random);
    }
    // Calls that were under way when it opened say nothing new.
    case 'open':
      return breaker;
    case 'half-open':
      return open(breaker.since, now, Math.min(policy.maxWaitMs, breaker.waitMs * 2), random);
    default:
      return breaker satisfies never;
  }
}

/** One caller may try when the wait is over; 'closed' lets everybody through. */
export function admit(breaker: Breaker, now: number): { readonly go: boolean; readonly next: Breaker } {
  switch (breaker.state) {
    case 'closed':
      return { go: true, next: breaker };
    case 'open':
      return now < breaker.retryAt
        ? { go: false, next: breaker }
        : { go: true, next: { state: 'half-open', since: breaker.since, waitMs: breaker.waitMs } };
    case 'half-open':
      return { go: false, next: breaker };
    default:
      return breaker satisfies never;
  }
}

/** How long the dependency has been failing without a success between; 0 when it works. */
export function troubledForMs(breaker: Breaker, now: number): number {
  return breaker.since === null ? 0 : now - breaker.since;
}

/** The wait before the n-th retry, n from 1: doubling, with a jitter of ± 20 % so that held messages do not march in step. */
export function backoffMs(retry: number, random: () => number): number {
  return jittered(Math.min(BACKOFF.maxWaitMs, BACKOFF.firstWaitMs * 2 ** Math.max(0, retry - 1)), random);
}

function open(since: number, now: number, waitMs: number, random: () => number): Breaker {
  return { state: 'open', since, waitMs, retryAt: now + jittered(waitMs, random) };
}

function jittered(ms: number, random: () => number): number {
  return Math.round(ms * (0.8 + 0.4 * random()));
}
