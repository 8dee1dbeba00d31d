/** One medium of a request: asks the provider for it, and looks whether it is done. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import { GENERATION_FAILURE, type GenerationFailureType } from '../contract/generation-failure.ts';
import type {
  AwaitMediumInput,
  FencedResult,
  MadeMedium,
  Ownership,
  StartedMedium,
  StartMediumInput,
} from '../contract/workflow-io.ts';
import { abortable } from '../generators/abortable.ts';
import { faultPoint } from '../fault-points.ts';
import { GeneratorError, PROVIDER_MOVED, type MediaGenerator, type MediumAnswer } from '../generators/generator.ts';
import { connectionAlert } from './alert-lines.ts';
import { classify } from './classify.ts';
import { markMedium, startMediumStage, storeMedium } from './content-requests.ts';
import { DatabaseError } from './db.ts';
import { failure, refuseUnlessOurs } from './generation-failed.ts';
import { callProvider, cancellation, explained, hear, wordsOf, type ProviderDeps } from './provider-call.ts';
import { storable } from './storable.ts';

export interface MediaDeps extends ProviderDeps {
  /** How long a provider may take over one medium, from when it has taken it. */
  readonly mediaTimeoutMs: number;
}

/** One look is one small answer. */
const LOOK_TIMEOUT_MS = 30_000;
/** What a provider asks us to wait is honoured between these: none makes us spin, none puts a request to sleep. */
const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 10 * 60_000;
const FIRST_WAIT_MS = 5_000;

export async function startMedium(deps: MediaDeps, input: StartMediumInput): Promise<StartedMedium> {
  const { written, scriptText } = await startMediumStage(deps.database, input, input.medium, input.failures);
  refuseUnlessOurs(written);
  const media = mediaOf(deps);
  const answer = await callProvider(deps, input, (context) =>
    media.start(input.medium, input.request, scriptText, context),
  );
  await faultPoint('worker.medium-answered', input.rowId);
  if (answer.kind === 'made') return { kind: 'made', made: await keep(deps, input, answer.made) };
  await mark(deps, input, answer.progress);
  return {
    kind: 'pending',
    statusUrl: answer.statusUrl,
    retryAfterMs: within(answer.retryAfterMs ?? FIRST_WAIT_MS),
    limitMs: deps.mediaTimeoutMs,
  };
}

export async function awaitMedium(deps: MediaDeps, input: AwaitMediumInput): Promise<MadeMedium> {
  const answer = await look(deps, mediaOf(deps), input);
  if (answer.kind === 'made') {
    await faultPoint('worker.medium-answered', input.rowId);
    return keep(deps, input, answer.made);
  }
  await mark(deps, input, answer.progress);
  const message = `the provider still makes the ${input.medium}`;
  throw again(input, GENERATION_FAILURE.mediaPending, message, answer.retryAfterMs);
}

async function look(deps: MediaDeps, media: MediaGenerator, input: AwaitMediumInput): Promise<MediumAnswer> {
  const context = Context.current();
  const timeout = AbortSignal.timeout(LOOK_TIMEOUT_MS);
  const signal = AbortSignal.any([context.cancellationSignal, timeout]);
  try {
    const answer = await abortable(media.look(input.statusUrl, input.medium, input.rowId, { signal }), signal);
    deps.onProvider?.(null);
    return answer;
  } catch (error) {
    if (context.cancellationSignal.aborted) throw await cancellation(context);
    const slow = new GeneratorError('unavailable', 'no_answer', `no answer within ${String(LOOK_TIMEOUT_MS)} ms`);
    throw await meaningOfLook(deps, input, timeout.aborted ? slow : error);
  }
}

/** The provider's verdict on the medium counts; an answer that did not come, or refuses us, says nothing about it. */
async function meaningOfLook(deps: MediaDeps, input: AwaitMediumInput, error: unknown): Promise<Error> {
  const verdict = classify(error);
  const message = `${verdict.code}: ${wordsOf(error)}`.toWellFormed().slice(0, 2_000);
  if (verdict.code === PROVIDER_MOVED) {
    deps.log.warn({ rowId: input.rowId, medium: input.medium }, 'medium was taken by another provider: asked for anew');
    return failure(GENERATION_FAILURE.unavailable, message, { code: verdict.code, retryAfterMs: null });
  }
  const isVerdict = error instanceof GeneratorError && error.kind !== 'unavailable' && error.kind !== 'configuration';
  if (isVerdict || verdict.kind === 'permanent') return explained(deps, input, error);
  hear(deps, verdict, message);
  const retryAfterMs = verdict.kind === 'unavailable' ? verdict.retryAfterMs : null;
  return again(input, GENERATION_FAILURE.mediaUnknown, message, retryAfterMs);
}

/**
 * Temporal asks again: after the provider's own words or when the limit is over, else at the activity's own intervals.
 * What is answered after the limit is the last word.
 */
function again(
  { limitMs = Infinity }: AwaitMediumInput,
  type: GenerationFailureType,
  message: string,
  retryAfterMs: number | null,
): ApplicationFailure {
  const leftMs = Context.current().info.scheduledTimestampMs + limitMs - Date.now();
  const isLast = leftMs <= 0;
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: isLast,
    // Expected: neither an error in the worker's log nor a failure in its metrics.
    category: ApplicationFailureCategory.BENIGN,
    ...(isLast || retryAfterMs === null ? {} : { nextRetryDelay: within(Math.min(retryAfterMs, leftMs)) }),
  });
}

/** A worker that was configured anew may meet a run of a provider that it no longer has. Its own generator is sound. */
function mediaOf({ generator, log }: MediaDeps): MediaGenerator {
  if (generator.media !== undefined) return generator.media;
  const message = `the generator ${generator.name} makes no media, and this request waits for one`;
  log.error({ generator: generator.name }, 'no media provider: set GENERATOR as it was, or cancel the run');
  throw failure(GENERATION_FAILURE.unavailable, message, { code: 'no_media_provider', retryAfterMs: null });
}

/** What is paid for is in the row at once, whatever becomes of the stages after it. */
async function keep(
  deps: MediaDeps,
  input: AwaitMediumInput | StartMediumInput,
  made: MadeMedium,
): Promise<MadeMedium> {
  const clean = storable(made);
  await report(deps, input, storeMedium(deps.database, input, input.medium, clean));
  return clean;
}

function mark(deps: MediaDeps, input: AwaitMediumInput | StartMediumInput, progress: number): Promise<void> {
  return report(deps, input, markMedium(deps.database, input, input.medium, progress));
}

/**
 * Ends the attempt when the row is not ours any more. When the database is away, the report is late, not lost:
 * completeRequest carries all of it, and a retry here would ask the provider once more for what it has just given.
 */
async function report(deps: MediaDeps, input: Ownership, write: Promise<FencedResult>): Promise<void> {
  let written: FencedResult;
  try {
    written = await write;
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.permanent) throw error;
    deps.log.warn(
      { ...connectionAlert(error), err: error, rowId: input.rowId },
      'medium not written; the end of the run carries it',
    );
    return;
  }
  refuseUnlessOurs(written);
}

function within(milliseconds: number): number {
  return Math.min(Math.max(milliseconds, SHORTEST_WAIT_MS), LONGEST_WAIT_MS);
}
