/** The failures that tell the workflow what to do next. */
import { ApplicationFailure } from '@temporalio/activity';
import {
  GENERATION_FAILURE,
  type GenerationFailureDetail,
  type GenerationFailureType,
} from '../contract/generation-failure.ts';
import type { FencedResult } from '../contract/workflow-io.ts';

export function refuseUnlessOurs(result: FencedResult): void {
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
export function failure(
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
