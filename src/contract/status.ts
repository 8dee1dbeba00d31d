/**
 * The values of PostgreSQL's enum content_request_status, in its order. The worker refuses to start against a
 * database that lacks one: a status the enum did not know was the original worker's second outage.
 */
export const STATUSES = [
  'pending',
  'validating',
  'retrieving',
  'generating_script',
  'generating_video',
  'processing_video',
  'notifying',
  'completed',
  'failed',
  'cancelled',
] as const;
export type Status = (typeof STATUSES)[number];

export const TERMINAL_STATUSES = ['completed', 'failed', 'cancelled'] as const satisfies readonly Status[];
export type TerminalStatus = (typeof TERMINAL_STATUSES)[number];

/** Statuses that a run may leave: every one that is not terminal. */
export const OPEN_STATUSES = STATUSES.filter(
  (status): status is Exclude<Status, TerminalStatus> => !(TERMINAL_STATUSES as readonly Status[]).includes(status),
);

/** Machine ids of current_stage and error_stage; what people read is in the workflow's current details. */
export const STAGES = [
  'validation',
  'request_received',
  'script_generation',
  'audio_generation',
  'video_generation',
  'completion',
] as const;
export type Stage = (typeof STAGES)[number];
