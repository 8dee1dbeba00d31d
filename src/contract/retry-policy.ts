/**
 * How often, and how long apart, a failing generation is tried again. Fixed in the workflow's input at start, so a
 * changed environment never changes a run that is under way. Durations in milliseconds.
 */
export interface RetryPolicy {
  /** Counted attempts in all, the first included; 1..100. */
  readonly maxAttempts: number;
  readonly firstWaitMs: number;
  readonly factor: number;
  readonly maxWaitMs: number;
  /** How long waits that are not counted (429, 503, unreachable) may last in all before the run fails. */
  readonly maxAgeMs: number;
}

export const DEFAULT_RETRY_POLICY = {
  maxAttempts: 5,
  firstWaitMs: 10_000,
  factor: 2,
  maxWaitMs: 600_000,
  maxAgeMs: 3_600_000,
} as const satisfies RetryPolicy;

/** The wait after the n-th failure, n from 1. Bounded by maxWaitMs and never falling with n. */
export function waitAfterMs(policy: RetryPolicy, failures: number): number {
  return Math.round(Math.min(policy.maxWaitMs, policy.firstWaitMs * policy.factor ** Math.max(0, failures - 1)));
}
