/** One medium of a request: asks the provider for it, and looks whether it is done. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import { GENERATION_FAILURE } from '../contract/generation-failure.ts';
import type { AwaitMediumInput, MadeMedium, StartedMedium, StartMediumInput } from '../contract/workflow-io.ts';
import { GeneratorError, type MediaGenerator, type MediumAnswer } from '../generators/generator.ts';
import { classify } from './classify.ts';
import { markMedium, startMediumStage } from './content-requests.ts';
import {
  abortable,
  callProvider,
  cancellation,
  explained,
  refuseUnlessOurs,
  type ProviderDeps,
} from './provider-call.ts';
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
  const answer = await callProvider(deps, input, (context) =>
    mediaOf(deps).start(input.medium, input.request, scriptText, context),
  );
  if (answer.kind === 'made') return { kind: 'made', made: storable(answer.made) };
  await mark(deps, input, answer.progress);
  return {
    kind: 'pending',
    statusUrl: answer.statusUrl,
    retryAfterMs: within(answer.retryAfterMs ?? FIRST_WAIT_MS),
    limitMs: deps.mediaTimeoutMs,
  };
}

export async function awaitMedium(deps: MediaDeps, input: AwaitMediumInput): Promise<MadeMedium> {
  const answer = await look(deps, input);
  if (answer.kind === 'made') return storable(answer.made);
  await mark(deps, input, answer.progress);
  throw ApplicationFailure.create({
    type: GENERATION_FAILURE.mediaPending,
    message: `the provider still makes the ${input.medium}`,
    // Expected: neither an error in the worker's log nor a failure in its metrics.
    category: ApplicationFailureCategory.BENIGN,
    ...askAgain(answer.retryAfterMs),
  });
}

async function look(deps: MediaDeps, input: AwaitMediumInput): Promise<MediumAnswer> {
  const context = Context.current();
  const timeout = AbortSignal.timeout(LOOK_TIMEOUT_MS);
  const signal = AbortSignal.any([context.cancellationSignal, timeout]);
  try {
    const answer = await abortable(mediaOf(deps).look(input.statusUrl, input.medium, input.rowId, { signal }), signal);
    deps.onProvider?.(null);
    return answer;
  } catch (error) {
    if (context.cancellationSignal.aborted) throw await cancellation(context);
    // The provider's verdict on the medium counts; an answer that did not come says nothing about it.
    if (error instanceof GeneratorError && error.kind !== 'unavailable' && error.kind !== 'configuration') {
      throw await explained(deps, { ...input, attempt: 0 }, error);
    }
    const verdict = classify(error);
    if (verdict.kind !== 'database') deps.onProvider?.(verdict);
    throw ApplicationFailure.create({
      type: GENERATION_FAILURE.mediaUnknown,
      message: `${verdict.code}: ${error instanceof Error ? error.message : 'no answer'}`
        .toWellFormed()
        .slice(0, 2_000),
      category: ApplicationFailureCategory.BENIGN,
      ...askAgain(verdict.kind === 'unavailable' ? verdict.retryAfterMs : null),
    });
  }
}

/** A worker that was configured anew may meet a run of a provider that it no longer has. */
function mediaOf({ generator }: MediaDeps): MediaGenerator {
  if (generator.media !== undefined) return generator.media;
  throw new GeneratorError('configuration', 'no_media_provider', `the generator ${generator.name} makes no media`);
}

async function mark(deps: MediaDeps, input: AwaitMediumInput | StartMediumInput, progress: number): Promise<void> {
  refuseUnlessOurs(await markMedium(deps.database, input, input.medium, progress));
}

/** Without a word of the provider, the activity's own intervals hold. */
function askAgain(retryAfterMs: number | null): { nextRetryDelay?: number } {
  return retryAfterMs === null ? {} : { nextRetryDelay: within(retryAfterMs) };
}

function within(milliseconds: number): number {
  return Math.min(Math.max(milliseconds, SHORTEST_WAIT_MS), LONGEST_WAIT_MS);
}
