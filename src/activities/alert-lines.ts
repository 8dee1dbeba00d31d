/** The worker's lines that alerts read (contract/alert.ts). */
import { activityInfo } from '@temporalio/activity';
import type { Logger } from '../log.ts';
import { ALERT } from '../contract/alert.ts';
import type { CompleteInput, FailInput, FencedResult, RejectInput, RejectResult } from '../contract/workflow-io.ts';
import { DatabaseError } from './db.ts';

/** Field of a line about a failed statement; none where a lock, a right or the data is at fault. */
export function connectionAlert(error: unknown): { readonly alert?: typeof ALERT.databaseConnection } {
  return error instanceof DatabaseError && error.ofConnection ? { alert: ALERT.databaseConnection } : {};
}

/** Whatever the activity was about to do, Temporal tries it again: a line for each try that met no database. */
export function tellDatabaseTrouble(log: Logger, error: DatabaseError): void {
  const { activityType: activity, attempt, workflowExecution } = activityInfo();
  const fields = { activity, attempt, workflowId: workflowExecution?.workflowId };
  log.warn({ ...connectionAlert(error), ...fields, err: error }, 'database trouble; the activity is tried again');
}

/**
 * The ends of rows, for the failure ratio. It counts terminal writes that a worker has seen committed, each once: a write
 * that is tried again and finds itself done (`again`) is passed over. Its line was written by the try that did it; where
 * that try lost the commit's answer, or died before the line, there is none, for completed and failed alike.
 * So it counts ends, not requests: one that fails and is completed when it is replayed counts as both. What ends no row
 * (a duplicate, a late redelivery, a refusal because the row is another's) and what was cancelled are not in it.
 */
export function tellCompleted(log: Logger, input: CompleteInput, written: FencedResult): FencedResult {
  if (isNew(written)) {
    log.info({ alert: ALERT.requestCompleted, rowId: input.rowId, failures: input.failures }, 'request completed');
  }
  return written;
}

export function tellFailed(log: Logger, input: FailInput, written: FencedResult): FencedResult {
  if (isNew(written)) {
    const { rowId, code, stage, failures, workflowId } = input;
    log.warn({ alert: ALERT.requestFailed, rowId, code, stage, failures, workflowId }, 'request failed');
  }
  return written;
}

/** An invalid message that ended the row which waited for it. Where none waits, no request has ended. */
export function tellRejected(log: Logger, input: RejectInput, result: RejectResult): RejectResult {
  if (result.outcome === 'failed') {
    const { code, messageId, lookup } = input;
    const who = 'rowId' in lookup ? { rowId: lookup.rowId } : { correlation_id: lookup.correlationId };
    log.warn({ alert: ALERT.requestFailed, ...who, code, stage: 'validation', messageId }, 'request failed');
  }
  return result;
}

function isNew(written: FencedResult): boolean {
  return written.kind === 'written' && written.again !== true;
}
