/** One attempt at the content: marks the row, calls the generator, and says what a failure means. */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import { z } from 'zod';
import {
  GENERATION_FAILURE,
  MAX_RESULT_BYTES,
  type GenerationFailureDetail,
  type GenerationFailureType,
} from '../contract/generation-failure.ts';
import type { FencedResult, GenerateInput, GenerationResult } from '../contract/workflow-io.ts';
import type { Generator } from '../generators/generator.ts';
import { classify } from './classify.ts';
import { countFailure, startGeneration } from './content-requests.ts';
import type { Database } from './db.ts';
import { storable } from './storable.ts';

/**
 * Each heartbeat that reaches the server is a billed action and brings news of a cancel. None before 10 s: a short
 * generation costs none. After that the SDK sends one per 24 s at the most (0.8 x heartbeatTimeout).
 */
const HEARTBEAT_MS = 10_000;

export interface GenerateDeps {
  readonly database: Database;
  readonly generator: Generator;
  /** A generation that is slower is a counted failure, so that a hanging provider cannot hold a request for ever. */
  readonly generatorTimeoutMs: number;
  readonly log: Logger;
}

export async function generateContent(deps: GenerateDeps, input: GenerateInput): Promise<GenerationResult> {
  refuseUnlessOurs(await startGeneration(deps.database, input, input.failures));
  const result = await sound(deps, input, await callGenerator(deps, input));
  const bytes = Buffer.byteLength(JSON.stringify(result));
  if (bytes > MAX_RESULT_BYTES) {
    throw failure(
      GENERATION_FAILURE.tooLarge,
      `the result is ${String(bytes)} bytes, more than ${String(MAX_RESULT_BYTES)}`,
      {
        code: 'result_too_large',
        retryAfterMs: null,
      },
    );
  }
  return result;
}

/** A generator's answer comes from outside: what is stored must have its shape, and hold nothing PostgreSQL refuses. */
const RESULT = z.object({
  scriptText: z.string().min(1),
  media: z.object({ videoUrl: z.string().nullable(), thumbnailUrl: z.string().nullable() }),
  usage: z.object({
    provider: z.string(),
    model: z.string().nullable(),
    inputTokens: z.number().nullable(),
    outputTokens: z.number().nullable(),
  }),
  delivered: z.array(z.string()),
});

async function sound(deps: GenerateDeps, input: GenerateInput, result: unknown): Promise<GenerationResult> {
  const parsed = RESULT.safeParse(result);
  if (parsed.success) return storable(parsed.data);
  const fields = parsed.error.issues.map(({ path }) => path.join('.') || 'result').join(', ');
  await noteFailure(deps, input);
  // Counted, not permanent: a provider that answers half a message may answer a whole one next time.
  throw failure(GENERATION_FAILURE.transient, `the generator's answer has no sound ${fields}`, {
    code: 'bad_result',
    retryAfterMs: null,
  });
}

async function callGenerator(deps: GenerateDeps, input: GenerateInput): Promise<GenerationResult> {
  const context = Context.current();
  const timeout = AbortSignal.timeout(deps.generatorTimeoutMs);
  const signal = AbortSignal.any([context.cancellationSignal, timeout]);
  const beat = setInterval(() => {
    context.heartbeat();
  }, HEARTBEAT_MS);
  try {
    return await abortable(
      deps.generator.generate(input.request, {
        attempt: input.attempt,
        signal,
        heartbeat: (detail) => {
          context.heartbeat(detail);
        },
      }),
      signal,
    );
  } catch (error) {
    if (context.cancellationSignal.aborted) throw await cancellation(context);
    if (timeout.aborted) {
      const message = `no answer within ${String(deps.generatorTimeoutMs)} ms`;
      await noteFailure(deps, input);
      throw failure(GENERATION_FAILURE.transient, message, { code: 'generator_timeout', retryAfterMs: null });
    }
    throw await explained(deps, input, error);
  } finally {
    clearInterval(beat);
  }
}

/** A generator that ignores its signal must not hold the slot: the attempt ends with the signal. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}

/** A worker that is told to stop gives the attempt back uncounted; a cancel of the run is a cancellation. */
async function cancellation(context: Context): Promise<Error> {
  const reason: unknown = await context.cancelled.catch((error: unknown) => error);
  if (reason instanceof CancelledFailure && context.cancellationDetails?.workerShutdown !== true) return reason;
  return ApplicationFailure.retryable('the worker was stopped during the generation', GENERATION_FAILURE.shutdown);
}

async function explained(deps: GenerateDeps, input: GenerateInput, error: unknown): Promise<Error> {
  const verdict = classify(error);
  const message = wordsOf(error);
  switch (verdict.kind) {
    case 'transient':
      await noteFailure(deps, input);
      return failure(GENERATION_FAILURE.transient, message, { code: verdict.code, retryAfterMs: null }, error);
    case 'permanent':
      await noteFailure(deps, input);
      return failure(GENERATION_FAILURE.permanent, message, { code: verdict.code, retryAfterMs: null }, error);
    case 'unavailable':
      return failure(
        GENERATION_FAILURE.unavailable,
        message,
        { code: verdict.code, retryAfterMs: verdict.retryAfterMs },
        error,
      );
    case 'database':
      return ApplicationFailure.retryable(message, GENERATION_FAILURE.database);
    default:
      return verdict satisfies never;
  }
}

/** A provider's library may throw anything, also what has no text; an error on top would escape the count. */
function wordsOf(thrown: unknown): string {
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
async function noteFailure(deps: GenerateDeps, input: GenerateInput): Promise<void> {
  try {
    await countFailure(deps.database, input, input.failures + 1);
  } catch (error) {
    deps.log.warn({ err: error, rowId: input.rowId }, 'retry_count not written; the next write carries it');
  }
}

function refuseUnlessOurs(result: FencedResult): void {
  switch (result.kind) {
    case 'written':
      return;
    case 'row-already-terminal':
      throw failure(GENERATION_FAILURE.rowAlreadyTerminal, `the row is ${result.status} already`, {
        code: result.status,
        retryAfterMs: null,
      });
    case 'row-lost':
      throw failure(GENERATION_FAILURE.rowLost, 'the row is gone or another run owns it', {
        code: 'row_lost',
        retryAfterMs: null,
      });
    default:
      result satisfies never;
  }
}

/** Never retried by Temporal itself: the workflow counts and waits, so that each failure stands in the history. */
function failure(
  type: GenerationFailureType,
  message: string,
  detail: GenerationFailureDetail,
  cause?: unknown,
): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message: message.toWellFormed().slice(0, 2_000),
    nonRetryable: true,
    details: [detail],
    ...(cause instanceof Error && cause.cause instanceof Error ? { cause: shortened(cause.cause) } : {}),
  });
}

/** A provider's page of HTML as a message would pass Temporal's limit, and the failure itself would be lost. */
function shortened(cause: Error): Error {
  return Object.assign(new Error(cause.message.toWellFormed().slice(0, 2_000)), { name: cause.name, stack: '' });
}
