import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  startChild,
  WorkflowIdReusePolicy,
  workflowInfo,
} from '@temporalio/workflow';
import { dlqIdOfRun } from '../contract/dead-letter.ts';
import type { DeadLetterReason } from '../contract/failure.ts';
import { workflowId } from '../contract/names.ts';
import type { Stage } from '../contract/status.ts';
import type { ProcessInput } from '../contract/workflow-io.ts';
import { forwardDeadLetter } from './forward-dead-letter.ts';

export interface DeadEnd {
  readonly code: DeadLetterReason;
  readonly message: string;
  readonly stage: Stage;
  readonly attempts: number;
  readonly rowIsOurs: boolean;
}

/** Hands the letter to a run of its own, which stays open until a bridge has published it. */
export async function sendDeadLetter(input: ProcessInput, end: DeadEnd): Promise<void> {
  const info = workflowInfo();
  // The first run's id survives a reset, so a run that is reset and fails again sends no second letter. A message that
  // is refused makes a run per delivery, so there the message itself tells the letter.
  const dlqId = dlqIdOfRun(info.workflowId, end.rowIsOurs ? info.firstExecutionRunId : input.source.messageId);
  const { body, ...message } = input.source;
  try {
    await startChild(forwardDeadLetter, {
      workflowId: workflowId.deadLetter(dlqId),
      workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
      parentClosePolicy: ParentClosePolicy.ABANDON,
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      staticSummary: `Dead letter: ${end.code}`,
      args: [
        {
          body,
          letter: {
            dlqId,
            reason: end.code,
            detail: end.message,
            source: 'workflow',
            stage: end.stage,
            attempts: end.attempts,
            workflowId: info.workflowId,
            runId: info.runId,
            correlationId: input.request.correlationId,
            time: new Date().toISOString(),
            message,
          },
        },
      ],
    });
  } catch (error) {
    // The letter is under way or published already.
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
