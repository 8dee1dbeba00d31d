import type { Usage } from './workflow-io.ts';

/** How a failed generateContent tells the workflow what to do next: the ApplicationFailure's type and first detail. */
export const GENERATION_FAILURE = {
  /** Counted; tried again after the policy's wait. */
  transient: 'generation_transient',
  permanent: 'generation_permanent',
  /** Permanent, and not a fault: the provider's safety rules refuse the request or its answer. */
  blocked: 'content_blocked',
  /** Not counted; waits, up to the policy's maxAgeMs. */
  unavailable: 'provider_unavailable',
  tooLarge: 'result_too_large',
  rowAlreadyTerminal: 'row_already_terminal',
  rowLost: 'row_lost',
  /** Retried by Temporal inside the activity's options, never counted. */
  database: 'database_unavailable',
  databaseRejected: 'database_rejected',
  shutdown: 'worker_shutdown',
  /** No failure: the provider still makes the medium. Temporal asks again; nothing is counted. */
  mediaPending: 'media_pending',
  /** The question about a medium had no answer; asked again, nothing is counted. */
  mediaUnknown: 'media_unknown',
} as const;
export type GenerationFailureType = (typeof GENERATION_FAILURE)[keyof typeof GENERATION_FAILURE];

export interface GenerationFailureDetail {
  /** Stable code of the cause: http_500, generator_timeout, ECONNREFUSED, ... */
  readonly code: string;
  readonly retryAfterMs: number | null;
  /** What the failed attempt cost, where the provider said it. */
  readonly usage?: Usage;
}

/** Of the whole result as JSON; half of Temporal's 2 MB payload limit, so that the envelope fits as well. */
export const MAX_RESULT_BYTES = 1_048_576;
