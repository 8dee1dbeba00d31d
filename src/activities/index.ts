/** The only list of the worker's activities. */
import { ApplicationFailure } from '@temporalio/activity';
import { GENERATION_FAILURE } from '../contract/generation-failure.ts';
import type { WorkerActivities } from '../contract/workflow-io.ts';
import {
  cancelRequest,
  completeRequest,
  failRequest,
  recordRequest,
  rejectRequest,
  storeScript,
} from './content-requests.ts';
import { DatabaseError, type DatabasePool } from './db.ts';
import { generateContent } from './generate.ts';
import { awaitMedium, startMedium, type MediaDeps } from './media.ts';

export interface ActivityDeps extends MediaDeps {
  readonly database: DatabasePool;
}

export function createActivities(deps: ActivityDeps): WorkerActivities {
  const { database } = deps;
  return {
    recordRequest: (input) => rowWrite(() => recordRequest(database, input)),
    generateContent: (input) => rowWrite(() => generateContent(deps, input)),
    storeScript: (input) => rowWrite(() => storeScript(database, input)),
    startMedium: (input) => rowWrite(() => startMedium(deps, input)),
    awaitMedium: (input) => rowWrite(() => awaitMedium(deps, input)),
    completeRequest: (input) => rowWrite(() => completeRequest(database, input)),
    failRequest: (input) => rowWrite(() => failRequest(database, input)),
    cancelRequest: (input) => rowWrite(() => cancelRequest(database, input)),
    rejectRequest: (input) => rowWrite(() => rejectRequest(database, input)),
  };
}

/** What PostgreSQL refuses for good ends the activity; everything else about the database is retried. */
async function rowWrite<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    if (!error.permanent) throw ApplicationFailure.retryable(error.message, GENERATION_FAILURE.database);
    throw ApplicationFailure.nonRetryable(error.message, GENERATION_FAILURE.databaseRejected, {
      code: error.code,
      retryAfterMs: null,
    });
  }
}
