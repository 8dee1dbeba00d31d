/** One request, from its row to its end. Design: record, generate, complete; or fail with a letter; or cancelled. */
import { ApplicationFailureCategory } from '@temporalio/common';
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { FailureCode, QuietFailureCode } from '../contract/failure.ts';
import { GENERATION_FAILURE } from '../contract/generation-failure.ts';
import type { Stage } from '../contract/status.ts';
import type { FencedResult, ProcessInput, ProcessResult, Progress } from '../contract/workflow-io.ts';
import { rowActivities } from './activities.ts';
import { sendDeadLetter } from './dead-letter.ts';
import { generateWithRetries } from './generation.ts';
import { progressQuery } from './messages.ts';

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
    }),
  ).catch((error: unknown) => endAsRefused(input, error, 'request_received'));

  switch (decision.kind) {
    case 'duplicate':
      progress.says('A duplicate: the row has ended with the same content');
      return { outcome: 'duplicate', rowId: owner.rowId };
    case 'late-redelivery':
      progress.says('A late redelivery of a message whose request has failed already');
      throw quiet('Duplicate', 'published before the row failed; re-publish it to try again');
    case 'row-already-terminal':
      throw quiet('row_already_terminal', `the row is ${decision.status} already; use ops retry`);
    case 'conflict':
      progress.says(`Refused: ${decision.detail}`);
      return await endInFailure(input, {
        code: decision.code,
        message: decision.detail,
        stage: 'request_received',
        attempts: 0,
        rowIsOurs: false,
      });
    case 'owned':
      progress.stage('script_generation', 'Writing the script');
      break;
    default:
      return decision satisfies never;
  }

  try {
    const generated = await generateWithRetries({ ...owner, request: input.request }, input.retry, progress);
    if (generated.kind === 'not-ours') throw quiet(generated.code, generated.message);
    if (generated.kind === 'failed') {
      const { code, message, failures: attempts } = generated;
      return await endInFailure(input, { code, message, stage: 'script_generation', attempts, rowIsOurs: true });
    }
    progress.stage('completion', 'Storing the result');
    // Not cancellable: the result is paid for, so a cancel from here on ends Completed.
    const written = await CancellationScope.nonCancellable(() =>
      rowActivities('Store the result').completeRequest({
        ...owner,
        result: generated.result,
        requestedModalities: input.request.requestedModalities,
        failures: generated.failures,
      }),
    ).catch((error: unknown) => endAsRefused(input, error, 'completion', generated.failures));
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

interface End {
  readonly code: FailureCode;
  readonly message: string;
  readonly stage: Stage;
  readonly attempts: number;
  readonly rowIsOurs: boolean;
}

/** The letter first, in a run of its own, then the row, then this run: each outlives a loss of the next. */
async function endInFailure(input: ProcessInput, end: End): Promise<never> {
  const { workflowId, runId, firstExecutionRunId } = workflowInfo();
  const row = await CancellationScope.nonCancellable(async () => {
    await sendDeadLetter(input, end);
    if (!end.rowIsOurs) return { kind: 'not-ours' } as const;
    return rowActivities(`Mark the row failed: ${end.code}`).failRequest({
      rowId: input.request.rowId,
      ownerToken: firstExecutionRunId,
      code: end.code,
      stage: end.stage,
      message: end.message,
      failures: end.attempts,
      workflowId,
      runId,
    });
  });
  setCurrentDetails(`Failed in ${end.stage}: ${end.code}`);
  throw ApplicationFailure.nonRetryable(end.message, end.code, {
    stage: end.stage,
    attempts: end.attempts,
    // Anything but 'written' says that the row does not tell of this failure; the letter does.
    row: row.kind,
  });
}

/** A row write that PostgreSQL refused for good; any other error passes on. */
async function endAsRefused(input: ProcessInput, error: unknown, stage: Stage, attempts = 0): Promise<never> {
  const cause = error instanceof ActivityFailure ? error.cause : undefined;
  if (!(cause instanceof ApplicationFailure) || cause.type !== GENERATION_FAILURE.databaseRejected) throw error;
  return endInFailure(input, {
    code: 'database_rejected',
    message: cause.message,
    stage,
    attempts,
    rowIsOurs: stage !== 'request_received',
  });
}

function refuseUnlessWritten(result: FencedResult): void {
  if (result.kind === 'row-already-terminal')
    throw quiet('row_already_terminal', `the row is ${result.status} already`);
  if (result.kind === 'row-lost') throw quiet('row_lost', 'the row is gone or another run owns it');
}

/** A failed run that lost nothing: no letter, and no alarm in the worker's logs. */
function quiet(type: QuietFailureCode, message: string): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
  });
}

/** Keeps the progress query and the UI's current details in step. */
function trackProgress(input: ProcessInput) {
  let current: Progress = {
    stage: 'request_received',
    failures: 0,
    maxAttempts: input.retry.maxAttempts,
    lastFailure: null,
    text: 'Recording the request',
  };
  const set = (change: Partial<Progress>): void => {
    current = { ...current, ...change };
    setCurrentDetails(current.text);
  };
  set({});
  setHandler(progressQuery, () => current);
  return {
    says: (text: string) => {
      set({ text });
    },
    failed: (failures: number, lastFailure: string) => {
      set({ failures, lastFailure });
    },
    stage: (stage: Progress['stage'], text: string) => {
      set({ stage, text });
    },
  };
}
