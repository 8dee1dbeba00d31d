/** One request, from its row to its end. Design: record, generate, complete; or fail with a letter; or cancelled. */
import { CancellationScope, isCancellation, workflowInfo } from '@temporalio/workflow';
import type { ProcessInput, ProcessResult } from '../contract/workflow-io.ts';
import { rowActivities } from './activities.ts';
import { endAsRefused, endInFailure, quiet, refuseUnlessWritten } from './failed-end.ts';
import { generate } from './generation.ts';
import { trackProgress } from './progress.ts';

export async function processContentRequest(input: ProcessInput): Promise<ProcessResult> {
  const owner = { rowId: input.request.rowId, ownerToken: workflowInfo().firstExecutionRunId };
  const progress = trackProgress(input);

  // Not cancellable: after a cancel it must be known whether the row is ours, so that it can be closed.
  const decision = await CancellationScope.nonCancellable(() =>
    rowActivities('Record the request').recordRequest({
      ...owner,
      request: input.request,
      contentHash: input.contentHash,
      messageId: input.source.messageId,
      publishTime: input.source.publishTime,
      replayed: input.source.attributes['dlq_id'] !== undefined,
    }),
  ).catch((error: unknown) => endAsRefused(input, progress, error, 'request_received'));

  switch (decision.kind) {
    case 'duplicate':
      progress.says('A duplicate: the row has ended with the same content');
      return { outcome: 'duplicate', rowId: owner.rowId };
    case 'late-redelivery':
      progress.says('A late redelivery of a message whose request has failed already');
      throw quiet('Duplicate', 'published before the row failed; re-publish it to try again');
    case 'row-already-terminal':
      throw quiet(
        'row_already_terminal',
        `the row is ${decision.status} already; publish the request again to have it tried again`,
      );
    case 'conflict':
      progress.says(`Refused: ${decision.detail}`);
      return await endInFailure(input, progress, {
        code: decision.code,
        message: decision.detail,
        stage: 'request_received',
        attempts: 0,
        rowIsOurs: false,
      });
    case 'owned':
      break;
    default:
      return decision satisfies never;
  }

  try {
    const generated = await generate(input, owner, progress);
    if (generated.kind === 'not-ours') throw quiet(generated.code, generated.message);
    if (generated.kind === 'failed') {
      const { code, message, stage, failures: attempts, spent } = generated;
      return await endInFailure(input, progress, { code, message, stage, attempts, spent, rowIsOurs: true });
    }
    progress.stage('completion', 'Storing the result');
    // Not cancellable: the result is paid for, so a cancel from here on ends Completed.
    const written = await CancellationScope.nonCancellable(() =>
      rowActivities('Store the result').completeRequest({
        ...owner,
        result: generated.result,
        requestedModalities: input.request.requestedModalities,
        failures: generated.failures,
        ...(generated.spent === null ? {} : { spent: generated.spent }),
      }),
    ).catch((error: unknown) => endAsRefused(input, progress, error, 'completion', generated.failures));
    refuseUnlessWritten(written);
    progress.stage('done', 'Completed');
    return { outcome: 'completed', rowId: owner.rowId, retryCount: generated.failures };
  } catch (error) {
    if (!isCancellation(error)) throw error;
    progress.says('Cancelled');
    await CancellationScope.nonCancellable(() => rowActivities('Mark the row cancelled').cancelRequest(owner));
    throw error;
  }
}
