/** The retry policy: one activity per attempt, a timer with a summary between, so that each failure is history. */
import { ActivityFailure, ApplicationFailure, isCancellation, sleep, TimeoutFailure } from '@temporalio/workflow';
import type { FailureCode, QuietFailureCode } from '../contract/failure.ts';
import { GENERATION_FAILURE, type GenerationFailureDetail } from '../contract/generation-failure.ts';
import { waitAfterMs, type RetryPolicy } from '../contract/retry-policy.ts';
import { addSpent } from '../contract/usage.ts';
import type { SpentUsage } from '../contract/workflow-io.ts';
import { inWords } from './in-words.ts';

export interface Observer {
  /** Counted failures of the run so far. */
  failed(failures: number, message: string): void;
  says(text: string): void;
}

export interface Tries {
  /** What current details say: `Writing the script`. */
  readonly doing: string;
  readonly policy: RetryPolicy;
  /** Of the stages before: the policy's attempts are for each stage, retry_count is the run's. */
  readonly before: Counts;
  readonly observer: Observer;
}

export interface Attempt {
  /** From 1. */
  readonly number: number;
  /** Counted failures of the run before it. */
  readonly failures: number;
  /** `attempt 1 of 5`. */
  readonly words: string;
}

export interface Counts {
  /** Counted failures of the run so far. */
  readonly failures: number;
  /** By the attempts that failed; null = nothing, or not told. */
  readonly spent: SpentUsage | null;
}

export type Tried<T> =
  | ({ readonly kind: 'done'; readonly value: T } & Counts)
  | ({ readonly kind: 'failed'; readonly code: FailureCode; readonly message: string } & Counts)
  | { readonly kind: 'not-ours'; readonly code: QuietFailureCode; readonly message: string };

type Verdict =
  | { readonly kind: 'counted'; readonly message: string }
  | { readonly kind: 'unavailable'; readonly message: string; readonly retryAfterMs: number }
  | { readonly kind: 'again'; readonly message: string }
  | { readonly kind: 'dead'; readonly code: FailureCode; readonly message: string; readonly counts: boolean }
  | { readonly kind: 'not-ours'; readonly code: QuietFailureCode; readonly message: string };

/** The provider's waits are at least this part of maxAgeMs: 500 rounds of one absence at the most, 5,500 events of 51,200. */
const MAX_UNAVAILABLE_ROUNDS = 500;

export async function withRetries<T>(tries: Tries, attempt: (attempt: Attempt) => Promise<T>): Promise<Tried<T>> {
  const { doing, policy, before, observer } = tries;
  let failed = 0;
  let { spent } = before;
  let unavailableSince: number | null = null;
  let unavailableRounds = 0;
  const total = (): number => before.failures + failed;
  const counts = (): Counts => ({ failures: total(), spent });
  const wordsOf = (number: number): string => `attempt ${String(number)} of ${String(policy.maxAttempts)}`;
  for (;;) {
    const words = wordsOf(failed + 1);
    observer.says(`${doing}, ${words}`);
    let verdict: Verdict;
    try {
      const value = await attempt({ number: failed + 1, failures: total(), words });
      return { kind: 'done', value, ...counts() };
    } catch (error) {
      if (isCancellation(error)) throw error;
      verdict = judge(error);
      spent = addSpent(spent, detailOf(error)?.usage);
    }
    switch (verdict.kind) {
      case 'not-ours':
        return verdict;
      case 'dead':
        if (verdict.counts) failed += 1;
        observer.failed(total(), verdict.message);
        return { kind: 'failed', code: verdict.code, message: verdict.message, ...counts() };
      case 'again':
        observer.says(`Waiting for the database, ${words}`);
        break;
      case 'counted':
        failed += 1;
        unavailableSince = null;
        observer.failed(total(), verdict.message);
        if (failed >= policy.maxAttempts) {
          return { kind: 'failed', code: 'attempts_exhausted', message: verdict.message, ...counts() };
        }
        await pause(waitAfterMs(policy, failed), wordsOf(failed + 1), observer);
        break;
      case 'unavailable': {
        if (unavailableSince === null) unavailableRounds = 0;
        unavailableSince ??= Date.now();
        unavailableRounds += 1;
        const left = unavailableSince + policy.maxAgeMs - Date.now();
        observer.failed(total(), verdict.message);
        if (left <= 0) {
          return { kind: 'failed', code: 'provider_unavailable', message: verdict.message, ...counts() };
        }
        const wait = Math.max(
          waitAfterMs(policy, unavailableRounds),
          verdict.retryAfterMs,
          policy.maxAgeMs / MAX_UNAVAILABLE_ROUNDS,
        );
        await pause(Math.min(wait, left), `${words}, provider unavailable,`, observer);
        break;
      }
      default:
        verdict satisfies never;
    }
  }
}

async function pause(milliseconds: number, what: string, observer: Observer): Promise<void> {
  const summary = `${what} in ${inWords(milliseconds)}`;
  observer.says(`Waiting: ${summary}`);
  await sleep(Math.ceil(milliseconds), { summary });
}

function judge(error: unknown): Verdict {
  if (!(error instanceof ActivityFailure)) throw error;
  const { cause } = error;
  // Workers were lost, one after the other, on this one attempt.
  if (cause instanceof TimeoutFailure) return { kind: 'counted', message: `worker lost: ${cause.message}` };
  if (!(cause instanceof ApplicationFailure)) return { kind: 'counted', message: cause?.message ?? error.message };
  const detail = detailOf(error);
  const message = `${detail?.code ?? cause.type ?? 'unknown'}: ${cause.message}`;
  switch (cause.type) {
    // Its looks had no answer until the limit was over: the provider was away, or refused us.
    case GENERATION_FAILURE.mediaUnknown:
    case GENERATION_FAILURE.unavailable:
      return { kind: 'unavailable', message, retryAfterMs: detail?.retryAfterMs ?? 0 };
    case GENERATION_FAILURE.database:
    case GENERATION_FAILURE.shutdown:
      return { kind: 'again', message };
    case GENERATION_FAILURE.permanent:
      return { kind: 'dead', code: 'generation_failed', message, counts: true };
    case GENERATION_FAILURE.blocked:
      return { kind: 'dead', code: 'content_blocked', message, counts: true };
    case GENERATION_FAILURE.tooLarge:
      return { kind: 'dead', code: 'result_too_large', message, counts: true };
    case GENERATION_FAILURE.databaseRejected:
      return { kind: 'dead', code: 'database_rejected', message, counts: false };
    case GENERATION_FAILURE.rowAlreadyTerminal:
      return { kind: 'not-ours', code: 'row_already_terminal', message };
    case GENERATION_FAILURE.rowLost:
      return { kind: 'not-ours', code: 'row_lost', message };
    default:
      return { kind: 'counted', message };
  }
}

function detailOf(error: unknown): GenerationFailureDetail | undefined {
  if (!(error instanceof ActivityFailure) || !(error.cause instanceof ApplicationFailure)) return undefined;
  return error.cause.details?.[0] as GenerationFailureDetail | undefined;
}
