/** How a run ends Failed: with a letter and a failed row, or in silence where nothing was lost. */
import { ApplicationFailureCategory } from '@temporalio/common';
import { ActivityFailure, ApplicationFailure, CancellationScope, patched, workflowInfo } from '@temporalio/workflow';
import type { FailureCode, QuietFailureCode } from '../contract/failure.ts';
import { GENERATION_FAILURE } from '../contract/generation-failure.ts';
import type { Stage } from '../contract/status.ts';
import type { FencedResult, ProcessInput, SpentUsage } from '../contract/workflow-io.ts';
import { rowActivities } from './activities.ts';
import { sendDeadLetter } from './dead-letter.ts';
import type { ProgressTracker } from './progress.ts';

export interface End {
  readonly code: FailureCode;
  readonly message: string;
  readonly stage: Stage;
  readonly attempts: number;
  /** By failed attempts. */
  readonly spent?: SpentUsage | null;
  readonly rowIsOurs: boolean;
  /** It was refused before it became ours, and an API that made it may be waiting. */
  readonly rowMayWait?: true;
}

const NOT_OURS = { kind: 'not-ours' } as const;

/** The letter first, in a run of its own, then the row, then this run: each outlives a loss of the next. */
export async function endInFailure(input: ProcessInput, progress: ProgressTracker, end: End): Promise<never> {
  const { workflowId, runId, firstExecutionRunId } = workflowInfo();
  const failedAt = new Date().toISOString();
  const row = await CancellationScope.nonCancellable(async () => {
    await sendDeadLetter(input, end);
    const waits = end.rowMayWait === true && patched('fail-the-row-that-waits');
    if (!end.rowIsOurs && !waits) return NOT_OURS;
    const written = await rowActivities(`Mark the row failed: ${end.code}`).failRequest({
      rowId: input.request.rowId,
      ownerToken: firstExecutionRunId,
      code: end.code,
      stage: end.stage,
      message: end.message,
      failures: end.attempts,
      workflowId,
      runId,
      failedAt,
      ...(end.spent ? { spent: end.spent } : {}),
      ...(waits ? { neverOwned: true } : {}),
    });
    return waits && written.kind !== 'written' ? NOT_OURS : written;
  });
  progress.says(`Failed in ${end.stage}: ${end.code}`);
  throw ApplicationFailure.nonRetryable(end.message, end.code, {
    stage: end.stage,
    attempts: end.attempts,
    // Anything but 'written' says that the row does not tell of this failure; the letter does.
    row: row.kind,
  });
}

/** A row write that PostgreSQL refused for good; any other error passes on. */
export async function endAsRefused(
  input: ProcessInput,
  progress: ProgressTracker,
  error: unknown,
  stage: Stage,
  attempts = 0,
): Promise<never> {
  const cause = error instanceof ActivityFailure ? error.cause : undefined;
  if (!(cause instanceof ApplicationFailure) || cause.type !== GENERATION_FAILURE.databaseRejected) throw error;
  return endInFailure(input, progress, {
    code: 'database_rejected',
    message: cause.message,
    stage,
    attempts,
    ...(stage === 'request_received' ? { rowIsOurs: false, rowMayWait: true } : { rowIsOurs: true }),
  });
}

export function refuseUnlessWritten(result: FencedResult): void {
  if (result.kind === 'row-already-terminal')
    throw quiet('row_already_terminal', `the row is ${result.status} already`);
  if (result.kind === 'row-lost') throw quiet('row_lost', 'the row is gone or another run owns it');
}

/** A failed run that lost nothing: no letter, and no alarm in the worker's logs. */
export function quiet(type: QuietFailureCode, message: string): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
  });
}
