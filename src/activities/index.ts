/** The only list of the worker's activities. */
import { activityInfo, ApplicationFailure } from '@temporalio/activity';
import { GENERATION_FAILURE } from '../contract/generation-failure.ts';
import type { WorkerActivities } from '../contract/workflow-io.ts';
import { faultPoint, type FaultPoint } from '../fault-points.ts';
import type { Logger } from '../log.ts';
import {
  cancelRequest,
  completeRequest,
  failRequest,
  recordRequest,
  rejectRequest,
  storeScript,
} from './content-requests.ts';
import { tellCompleted, tellDatabaseTrouble, tellFailed, tellRejected } from './alert-lines.ts';
import { DatabaseError, type DatabasePool } from './db.ts';
import { generateContent } from './generate.ts';
import { awaitMedium, startMedium, type MediaDeps } from './media.ts';

export interface ActivityDeps extends MediaDeps {
  readonly database: DatabasePool;
}

export function createActivities(deps: ActivityDeps): WorkerActivities {
  const { database, log } = deps;
  const rowWrite = rowWriter(log);
  return {
    recordRequest: (input) => {
      const askedAt = new Date(activityInfo().scheduledTimestampMs).toISOString();
      return rowWrite(input.rowId, () => recordRequest(database, { ...input, askedAt }), {
        before: 'worker.recording',
        after: 'worker.recorded',
      });
    },
    generateContent: (input) => rowWrite(input.rowId, () => generateContent(deps, input)),
    storeScript: (input) =>
      rowWrite(input.rowId, () => storeScript(database, input), { after: 'worker.script-stored' }),
    startMedium: (input) => rowWrite(input.rowId, () => startMedium(deps, input)),
    awaitMedium: (input) => rowWrite(input.rowId, () => awaitMedium(deps, input)),
    completeRequest: (input) =>
      rowWrite(input.rowId, async () => tellCompleted(log, input, await completeRequest(database, input)), {
        before: 'worker.completing',
        after: 'worker.completed',
      }),
    failRequest: (input) =>
      rowWrite(input.rowId, async () => tellFailed(log, input, await failRequest(database, input)), {
        before: 'worker.failing',
        after: 'worker.failed',
      }),
    cancelRequest: (input) =>
      rowWrite(input.rowId, () => cancelRequest(database, input), { after: 'worker.cancelled' }),
    rejectRequest: (input) =>
      rowWrite(input.messageId, async () => tellRejected(log, input, await rejectRequest(database, input)), {
        after: 'worker.rejected',
      }),
  };
}

/** What PostgreSQL refuses for good ends the activity; everything else about the database is retried. */
function rowWriter(log: Logger) {
  return async <T>(
    key: string,
    write: () => Promise<T>,
    { before, after }: { readonly before?: FaultPoint; readonly after?: FaultPoint } = {},
  ): Promise<T> => {
    try {
      if (before !== undefined) await faultPoint(before, key);
      const result = await write();
      if (after !== undefined) await faultPoint(after, key);
      return result;
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      if (!error.permanent) {
        tellDatabaseTrouble(log, error);
        throw ApplicationFailure.retryable(error.message, GENERATION_FAILURE.database);
      }
      throw ApplicationFailure.nonRetryable(error.message, GENERATION_FAILURE.databaseRejected, {
        code: error.code,
        retryAfterMs: null,
      });
    }
  };
}
