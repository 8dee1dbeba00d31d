/**
 * What log-based metrics count: a line that an alert reads carries one of these as `alert`, whatever its words are.
 * terraform's filters name them (jsonPayload.alert="…"), so codes are added, never renamed.
 */
export const ALERT = {
  /** PostgreSQL could not be reached, or ended the connection: an activity's try, or a try of a worker to start. */
  databaseConnection: 'database_connection',
  /** A row's terminal write is committed; at most one line for each (docs/runbook.md, failure_ratio). */
  requestCompleted: 'request_completed',
  requestFailed: 'request_failed',
  /** Runs wait, and nobody polls their task queue. */
  noWorkerPolls: 'no_worker_polls',
  runsOpenTooLong: 'runs_open_too_long',
  /** Many of the last messages were invalid. */
  rejections: 'rejections',
} as const;

export type AlertCode = (typeof ALERT)[keyof typeof ALERT];
