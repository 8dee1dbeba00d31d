/**
 * Every way a request can end badly, as a stable code that stands in the row (error_details.code), in the dead
 * letter (dlq_reason) and in the failed run (ApplicationFailure.type). Codes are added, never renamed.
 */
export const REJECTION_CODES = ['too_large', 'not_utf8', 'not_json', 'not_an_object', 'invalid_fields'] as const;
export type RejectionCode = (typeof REJECTION_CODES)[number];

/** Ends of a valid message's run that are written as a dead letter. */
export const FAILURE_CODES = [
  'conflicting_duplicate',
  'correlation_id_taken',
  'student_mismatch',
  'database_rejected',
  'generation_failed',
  'content_blocked',
  'attempts_exhausted',
  'provider_unavailable',
  'result_too_large',
] as const;
export type FailureCode = (typeof FAILURE_CODES)[number];

/** Ends of a run that are failures in Temporal but send no letter: nothing was lost by them. */
export const QUIET_FAILURE_CODES = ['Duplicate', 'row_already_terminal', 'row_lost'] as const;
export type QuietFailureCode = (typeof QUIET_FAILURE_CODES)[number];

export type DeadLetterReason = RejectionCode | FailureCode;
