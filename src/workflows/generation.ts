/** The stages that a provider is paid for: the script, then each medium that was asked for and is offered. */
import { CancellationScope, sleep } from '@temporalio/workflow';
import type { FailureCode, QuietFailureCode } from '../contract/failure.ts';
import type { Stage } from '../contract/status.ts';
import {
  MEDIA,
  type GenerationResult,
  type MadeMedium,
  type Medium,
  type Ownership,
  type ProcessInput,
} from '../contract/workflow-io.ts';
import { awaitActivity, providerActivity, rowActivities } from './activities.ts';
import { endAsRefused, refuseUnlessWritten } from './failed-end.ts';
import { inWords } from './in-words.ts';
import type { ProgressTracker } from './progress.ts';
import { withRetries, type Counts, type Tried } from './retries.ts';

export type Generated =
  | ({ readonly kind: 'generated'; readonly result: GenerationResult } & Counts)
  | ({ readonly kind: 'failed'; readonly stage: Stage; readonly code: FailureCode; readonly message: string } & Counts)
  | { readonly kind: 'not-ours'; readonly code: QuietFailureCode; readonly message: string };

const NOTHING: Counts = { failures: 0, spent: null };

export async function generate(input: ProcessInput, owner: Ownership, progress: ProgressTracker): Promise<Generated> {
  progress.stage('script_generation');
  const script = await withRetries(
    { doing: 'Writing the script', policy: input.retry, before: NOTHING, observer: progress },
    ({ number: attempt, failures, words }) =>
      providerActivity(`Write the script, ${words}`).generateContent({
        ...owner,
        request: input.request,
        attempt,
        failures,
      }),
  );
  if (script.kind !== 'done') return ended(script, 'script_generation');

  let result = script.value;
  let counts: Counts = script;
  const wanted = wantedMedia(input, result);
  if (wanted.length > 0) await storeScript(input, owner, progress, result, counts.failures);
  for (const medium of wanted) {
    progress.stage(`${medium}_generation`);
    const made = await makeMedium(input, owner, progress, medium, counts);
    if (made.kind !== 'done') return ended(made, `${medium}_generation`);
    counts = made;
    result = withMedium(result, medium, made.value);
  }
  return { kind: 'generated', result, failures: counts.failures, spent: counts.spent };
}

function ended(tried: Exclude<Tried<unknown>, { kind: 'done' }>, stage: Stage): Generated {
  return tried.kind === 'failed' ? { ...tried, stage } : tried;
}

/** Asked for, offered, and not made together with the script. What is not offered, request_metadata names. */
function wantedMedia(input: ProcessInput, result: GenerationResult): Medium[] {
  return MEDIA.filter(
    (medium) =>
      input.request.requestedModalities.includes(medium) &&
      result.offers?.includes(medium) === true &&
      !result.delivered.includes(medium),
  );
}

/** Not cancellable, as every write of what is paid for. */
async function storeScript(
  input: ProcessInput,
  owner: Ownership,
  progress: ProgressTracker,
  { scriptText, usage }: GenerationResult,
  failures: number,
): Promise<void> {
  const written = await CancellationScope.nonCancellable(() =>
    rowActivities('Store the script').storeScript({ ...owner, scriptText, failures, usage }),
  ).catch((error: unknown) => endAsRefused(input, progress, error, 'script_generation', failures));
  refuseUnlessWritten(written);
}

function makeMedium(
  input: ProcessInput,
  owner: Ownership,
  progress: ProgressTracker,
  medium: Medium,
  before: Counts,
): Promise<Tried<MadeMedium>> {
  return withRetries(
    { doing: `Asking for the ${medium}`, policy: input.retry, before, observer: progress },
    async ({ failures, words }) => {
      const started = await providerActivity(`Ask for the ${medium}, ${words}`).startMedium({
        ...owner,
        request: input.request,
        medium,
        failures,
      });
      if (started.kind === 'made') return started.made;
      const { statusUrl, retryAfterMs, limitMs } = started;
      progress.says(`The provider makes the ${medium}, ${words}`);
      await sleep(Math.ceil(retryAfterMs), { summary: `first look at the ${medium} in ${inWords(retryAfterMs)}` });
      return awaitActivity(`Wait for the ${medium}, ${words}`, limitMs, input.retry.maxAgeMs).awaitMedium({
        ...owner,
        medium,
        statusUrl,
        failures,
        limitMs,
      });
    },
  );
}

function withMedium(result: GenerationResult, medium: Medium, made: MadeMedium): GenerationResult {
  const media =
    medium === 'audio'
      ? { ...result.media, audioUrl: made.url }
      : { ...result.media, videoUrl: made.url, thumbnailUrl: made.thumbnailUrl };
  return {
    ...result,
    media,
    delivered: [...result.delivered, medium],
    ...(made.usage === null ? {} : { mediaUsage: { ...result.mediaUsage, [medium]: made.usage } }),
  };
}
