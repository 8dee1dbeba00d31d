/** The retry policy: one activity per attempt, a timer with a summary between, so that each failure is history. */
import { ActivityFailure, ApplicationFailure, isCancellation, sleep, TimeoutFailure } from '@temporalio/workflow';
import type { FailureCode, QuietFailureCode } from '../contract/failure.ts';
import { GENERATION_FAILURE, type GenerationFailureDetail } from '../contract/generation-failure.ts';
import { waitAfterMs, type RetryPolicy } from '../contract/retry-policy.ts';
import type { GenerateInput, GenerationResult } from '../contract/workflow-io.ts';
import { generationActivity } from './activities.ts';

export interface Observer {
  /** Counted failures so far. */
  failed(failures: number, message: string): void;
  says(text: string): void;
}

export type Generated =
  | { readonly kind: 'generated'; readonly result: GenerationResult; readonly failures: number }
  | { readonly kind: 'failed'; readonly code: FailureCode; readonly message: string; readonly failures: number }
  | { readonly kind: 'not-ours'; readonly code: QuietFailureCode; readonly message: string };

type Verdict =
  | { readonly kind: 'counted'; readonly message: string }
  | { readonly kind: 'unavailable'; readonly message: string; readonly retryAfterMs: number }
  | { readonly kind: 'again'; readonly message: string }
  | { readonly kind: 'dead'; readonly code: FailureCode; readonly message: string; readonly counts: boolean }
  | { readonly kind: 'not-ours'; readonly code: QuietFailureCode; readonly message: string };

/** The provider's waits are at least this part of maxAgeMs, which bounds the history to 500 rounds (of 51,200 events). */
const MAX_UNAVAILABLE_ROUNDS = 500;

export async function generateWithRetries(
  input: Omit<GenerateInput, 'attempt' | 'failures'>,
  policy: RetryPolicy,
  observer: Observer,
): Promise<Generated> {
  let failures = 0;
  let unavailableSince: number | null = null;
  let unavailableRounds = 0;
  for (;;) {
    const attempt = failures + 1;
    const ofAll = `attempt ${String(attempt)} of ${String(policy.maxAttempts)}`;
    observer.says(`Writing the script, ${ofAll}`);
    let verdict: Verdict;
    try {
      const result = await generationActivity(`Write the script, ${ofAll}`).generateContent({
        ...input,
        attempt,
        failures,
      });
      return { kind: 'generated', result, failures };
    } catch (error) {
      if (isCancellation(error)) throw error;
      verdict = judge(error);
    }
    switch (verdict.kind) {
      case 'not-ours':
        return verdict;
      case 'dead':
        if (verdict.counts) failures += 1;
        observer.failed(failures, verdict.message);
        return { kind: 'failed', code: verdict.code, message: verdict.message, failures };
      case 'again':
        observer.says(`Waiting for the database, ${ofAll}`);
        break;
      case 'counted': {
        failures += 1;
        unavailableSince = null;
        observer.failed(failures, verdict.message);
        if (failures >= policy.maxAttempts) {
          return { kind: 'failed', code: 'attempts_exhausted', message: verdict.message, failures };
        }
        const next = `attempt ${String(failures + 1)} of ${String(policy.maxAttempts)}`;
        await pause(waitAfterMs(policy, failures), next, observer);
        break;
      }
      case 'unavailable': {
        if (unavailableSince === null) unavailableRounds = 0;
        unavailableSince ??= Date.now();
        unavailableRounds += 1;
        const left = unavailableSince + policy.maxAgeMs - Date.now();
        observer.failed(failures, verdict.message);
        if (left <= 0) return { kind: 'failed', code: 'provider_unavailable', message: verdict.message, failures };
        const wait = Math.max(
          waitAfterMs(policy, unavailableRounds),
          verdict.retryAfterMs,
          policy.maxAgeMs / MAX_UNAVAILABLE_ROUNDS,
        );
        await pause(Math.min(wait, left), `${ofAll}, provider unavailable,`, observer);
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

function inWords(milliseconds: number): string {
  if (milliseconds < 10_000) return `${String(Math.round(milliseconds / 100) / 10)} s`;
  return milliseconds < 120_000
    ? `${String(Math.round(milliseconds / 1_000))} s`
    : `${String(Math.round(milliseconds / 60_000))} min`;
}

function judge(error: unknown): Verdict {
  if (!(error instanceof ActivityFailure)) throw error;
  const { cause } = error;
  // Workers were lost, one after the other, on this one attempt.
  if (cause instanceof TimeoutFailure) return { kind: 'counted', message: `worker lost: ${cause.message}` };
  if (!(cause instanceof ApplicationFailure)) return { kind: 'counted', message: cause?.message ?? error.message };
  const detail = cause.details?.[0] as GenerationFailureDetail | undefined;
  const message = `${detail?.code ?? cause.type ?? 'unknown'}: ${cause.message}`;
  switch (cause.type) {
    case GENERATION_FAILURE.unavailable:
      return { kind: 'unavailable', message, retryAfterMs: detail?.retryAfterMs ?? 0 };
    case GENERATION_FAILURE.database:
    case GENERATION_FAILURE.shutdown:
      return { kind: 'again', message };
    case GENERATION_FAILURE.permanent:
      return { kind: 'dead', code: 'generation_failed', message, counts: true };
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
