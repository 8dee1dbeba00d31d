/** One call of the provider inside an activity: its limit of time, its heartbeats, and what its failure means. */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import {
  GENERATION_FAILURE,
  type GenerationFailureDetail,
  type GenerationFailureType,
} from '../contract/generation-failure.ts';
import type { Ownership } from '../contract/workflow-io.ts';
import { abortable } from '../generators/abortable.ts';
import { GeneratorError, type GenerationContext, type Generator } from '../generators/generator.ts';
import { connectionAlert } from './alert-lines.ts';
import { classify, type Failure } from './classify.ts';
import { countFailure } from './content-requests.ts';
import type { Database } from './db.ts';
import { failure } from './generation-failed.ts';

/**
 * Each heartbeat that reaches the server is a billed action and brings news of a cancel. None before 10 s: a short
 * generation costs none. After that the SDK sends one per 20 s at the most (0.8 x heartbeatTimeout).
 */
const HEARTBEAT_MS = 10_000;

export interface ProviderDeps {
  readonly database: Database;
  readonly generator: Generator;
  /** A generation that is slower is a counted failure, so that a hanging provider cannot hold a request for ever. */
  readonly generatorTimeoutMs: number;
  readonly log: Logger;
  /** Told after each call how it ended; null = it was answered. The worker's readiness listens. */
  readonly onProvider?: (failure: Failure | null) => void;
}

export interface CountedCall extends Ownership {
  /** Counted failures of the run before this call. */
  readonly failures: number;
}

/** Calls, and turns every way to fail into what the workflow does next. A counted failure is written to the row. */
export async function callProvider<T>(
  deps: ProviderDeps,
  input: CountedCall,
  call: (context: GenerationContext) => Promise<T>,
): Promise<T> {
  const context = Context.current();
  const timeout = AbortSignal.timeout(deps.generatorTimeoutMs);
  const signal = AbortSignal.any([context.cancellationSignal, timeout]);
  const beat = setInterval(() => {
    context.heartbeat();
  }, HEARTBEAT_MS);
  try {
    const answer = await abortable(call({ signal }), signal);
    deps.onProvider?.(null);
    return answer;
  } catch (error) {
    if (context.cancellationSignal.aborted) throw await cancellation(context);
    if (timeout.aborted) {
      // Silence is counted, and says as much of the provider as no connection does.
      deps.onProvider?.({ kind: 'unavailable', code: 'generator_timeout', retryAfterMs: null });
      const message = `no answer within ${String(deps.generatorTimeoutMs)} ms`;
      throw await explained(deps, input, new GeneratorError('transient', 'generator_timeout', message));
    }
    throw await explained(deps, input, error);
  } finally {
    clearInterval(beat);
  }
}

/** A worker that is told to stop gives the attempt back uncounted; a cancel of the run is a cancellation. */
export async function cancellation(context: Context): Promise<Error> {
  const reason: unknown = await context.cancelled.catch((error: unknown) => error);
  if (reason instanceof CancelledFailure && context.cancellationDetails?.workerShutdown !== true) return reason;
  return ApplicationFailure.retryable('the worker was stopped during the generation', GENERATION_FAILURE.shutdown);
}

/**
 * Permanent ends that have a code of their own in row and letter. A Map, since the code may be a provider's own word, and
 * `constructor` is a key of every object: as one it ended the whole worker.
 */
const PERMANENT_TYPES: ReadonlyMap<string, GenerationFailureType> = new Map([
  ['content_blocked', GENERATION_FAILURE.blocked],
  ['result_too_large', GENERATION_FAILURE.tooLarge],
]);

/** For readiness and the log; nothing is decided by it. */
export function hear(deps: ProviderDeps, verdict: Failure, message: string): void {
  deps.onProvider?.(verdict);
  if (verdict.kind !== 'configuration') return;
  deps.log.error(
    { code: verdict.code, reason: message },
    'provider refuses this configuration: npm run worker -- --check tells',
  );
}

export async function explained(deps: ProviderDeps, input: CountedCall, error: unknown): Promise<Error> {
  const verdict = classify(error);
  const message = wordsOf(error);
  const { code } = verdict;
  const detail: GenerationFailureDetail = {
    code,
    retryAfterMs: verdict.kind === 'unavailable' ? verdict.retryAfterMs : null,
    ...(error instanceof GeneratorError && error.usage !== undefined ? { usage: error.usage } : {}),
  };
  hear(deps, verdict, message);
  switch (verdict.kind) {
    case 'transient':
      await noteFailure(deps, input);
      return failure(GENERATION_FAILURE.transient, message, detail, error);
    case 'permanent':
      await noteFailure(deps, input);
      return failure(PERMANENT_TYPES.get(code) ?? GENERATION_FAILURE.permanent, message, detail, error);
    case 'configuration':
    case 'unavailable':
      return failure(GENERATION_FAILURE.unavailable, message, detail, error);
    case 'database':
      return ApplicationFailure.retryable(message, GENERATION_FAILURE.database);
    default:
      return verdict satisfies never;
  }
}

/** A provider's library may throw anything, also what has no text; an error on top would escape the count. */
export function wordsOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return 'what was thrown has no text';
  }
}

/**
 * retry_count as it happens. When the write fails, the report is late, not lost: the next attempt, completeRequest
 * and failRequest all carry the workflow's own count.
 */
async function noteFailure(deps: ProviderDeps, input: CountedCall): Promise<void> {
  try {
    await countFailure(deps.database, input, input.failures + 1);
  } catch (error) {
    deps.log.warn(
      { ...connectionAlert(error), err: error, rowId: input.rowId },
      'retry_count not written; the next write carries it',
    );
  }
}
