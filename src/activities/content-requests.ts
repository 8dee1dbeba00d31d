/** The row: who may own it, and every write to it. The row decides; a run's memo only saves a start. */
import type { FailureCode } from '../contract/failure.ts';
import { OPEN_STATUSES, TERMINAL_STATUSES, type Status } from '../contract/status.ts';
import type {
  CompleteInput,
  FailInput,
  FencedResult,
  MadeMedium,
  Medium,
  Ownership,
  RecordDecision,
  RecordRequestInput,
  RejectInput,
  RejectResult,
  StoreScriptInput,
} from '../contract/workflow-io.ts';
import { DatabaseError, type Database, type DatabasePool } from './db.ts';
import * as sql from './sql.ts';
import { storable } from './storable.ts';

export interface FoundRow {
  readonly status: Status;
  readonly owner_token: string | null;
  readonly student_id: string;
  readonly topic: string;
  readonly grade_level: string | null;
  readonly content_sha256: string | null;
  /** Of the message that the row's last run was started for. */
  readonly message_id: string | null;
  readonly publish_time: string | null;
  /** When the run that owns it asked for it; null before the first owner, and for rows of earlier versions. */
  readonly owned_since: string | null;
  readonly published_after_failure: boolean;
}

export interface RecordInput extends RecordRequestInput {
  /**
   * ISO 8601 in UTC with milliseconds, by Temporal's clock: when the run asked for the row first. Only one run of a row is
   * open at a time, so whoever asked earlier than the row's owner is a try of a run that is gone.
   */
  readonly askedAt: string;
}

export type RowDecision =
  | RecordDecision
  | { readonly kind: 'take-over' }
  /** A later run owns it. */
  | { readonly kind: 'too-late' };

const isTerminal = (status: Status): boolean => (TERMINAL_STATUSES as readonly Status[]).includes(status);

/** What becomes of a message whose row exists already; a pure function. */
export function decideOnRow(row: FoundRow, input: RecordInput): RowDecision {
  const decision = decideOnContent(row, input);
  // Text, compared as text: all of one form.
  const isLater = row.owned_since !== null && row.owned_since > input.askedAt;
  return decision.kind === 'take-over' && isLater ? { kind: 'too-late' } : decision;
}

function decideOnContent(row: FoundRow, input: RecordRequestInput): RowDecision {
  if (row.owner_token === input.ownerToken) {
    // Our own earlier write, whose answer was lost; or a reset of a run that had ended.
    return isTerminal(row.status) ? { kind: 'row-already-terminal', status: row.status } : { kind: 'owned' };
  }
  if (row.student_id !== input.request.studentId) {
    return conflict('student_mismatch', 'the row belongs to another student');
  }
  const same = sameContent(row, input);
  switch (row.status) {
    case 'completed':
    case 'cancelled':
      return same
        ? { kind: 'duplicate' }
        : conflict('conflicting_duplicate', `the row is ${row.status} with other content`);
    case 'failed':
      // The very delivery that failed comes again. By its id, for its time and failed_at come from two clocks.
      if (row.message_id === input.messageId && row.publish_time === input.publishTime) {
        return { kind: 'late-redelivery' };
      }
      // By its attributes, too: clocks may disagree on what a letter that comes back at once was published after.
      if (row.published_after_failure || input.replayed === true) return { kind: 'take-over' };
      // No run has ever had it (an invalid message failed it, or the original worker): this one is no redelivery of a
      // message that was worked on, and to end it in silence would lose it. It stands as if the row were pending.
      // Another content has had no letter yet, so silence would lose it, too.
      return same && row.owner_token !== null ? { kind: 'late-redelivery' } : takeOverOrConflict(row, same);
    case 'pending':
    case 'validating':
    case 'retrieving':
    case 'generating_script':
    case 'generating_video':
    case 'processing_video':
    case 'notifying':
      return takeOverOrConflict(row, same);
    default:
      return row.status satisfies never;
  }
}

function takeOverOrConflict(row: FoundRow, same: boolean): RowDecision {
  if (same) return { kind: 'take-over' };
  return conflict('conflicting_duplicate', `the row is ${row.status} with other content`);
}

function conflict(code: FailureCode, detail: string): RowDecision {
  return { kind: 'conflict', code, detail };
}

function sameContent(row: FoundRow, input: RecordRequestInput): boolean {
  if (row.content_sha256 !== null) return row.content_sha256 === input.contentHash;
  // A row that the API made: it stores str(None) = "None" where a request had no grade.
  const rowGrade = row.grade_level === 'None' ? null : row.grade_level;
  return row.topic === input.request.topic && rowGrade === input.request.gradeLevel;
}

function contentOf(input: RecordInput): sql.RowContent {
  const { request } = input;
  return {
    ...request,
    metadata: {
      content_sha256: input.contentHash,
      message_id: input.messageId,
      publish_time: input.publishTime,
      owned_since: input.askedAt,
      interest: request.interest,
      requested_modalities: request.requestedModalities,
      preferred_modality: request.preferredModality,
      environment: request.environment,
    },
  };
}

export async function recordRequest(pool: DatabasePool, input: RecordInput): Promise<RecordDecision> {
  try {
    return await pool.inTransaction((database) => insertOrTakeOver(database, input));
  } catch (error) {
    if (!(await isOfAnotherSession(pool, error))) throw error;
    // No DatabaseError, so it is tried again, and then meets the row that the other has made.
    throw new Error(`content_requests ${input.rowId}: another session took its id or correlation_id meanwhile`, {
      cause: error,
    });
  }
}

/** The keys that every message is looked up by: who violates them has come second, and is refused nothing. */
async function isOfAnotherSession(database: Database, error: unknown): Promise<boolean> {
  if (!(error instanceof DatabaseError) || error.code !== UNIQUE_VIOLATION || error.constraint === null) return false;
  return (await database.maybeOne(sql.findOwnKey(error.constraint))) !== undefined;
}

const UNIQUE_VIOLATION = '23505';

const correlationTaken: RecordDecision = {
  kind: 'conflict',
  code: 'correlation_id_taken',
  detail: 'the correlation_id belongs to another row',
};

async function insertOrTakeOver(database: Database, input: RecordInput): Promise<RecordDecision> {
  const content = contentOf(input);
  if (await database.writes(sql.insertRequest(content, input.ownerToken))) return { kind: 'owned' };
  const row = await database.maybeOne<FoundRow>(sql.findRequestForUpdate(input.rowId, input.publishTime));
  // A row that this very request has had before keeps the correlation_id it has: whoever took that of the message since
  // takes nothing from it, and to refuse it now would leave it open for ever.
  if (row?.content_sha256 !== input.contentHash) {
    const holder = await database.maybeOne<{ id: string }>(sql.findRowIdByCorrelation(content.correlationId));
    if (holder !== undefined && holder.id !== input.rowId) return correlationTaken;
  }
  if (row === undefined) return insertWhatMetNobody(database, content, input.ownerToken);
  const decision = decideOnRow(row, input);
  if (decision.kind === 'too-late') {
    // Whoever asks is not listened to any more; were it a run that is open, it must not end in silence.
    throw new Error(`content_requests ${input.rowId} is owned by a run that asked for it later`);
  }
  if (decision.kind !== 'take-over') return decision;
  const from = [...OPEN_STATUSES, 'failed'];
  if (!(await database.writes(sql.takeOverRequest(content, input.ownerToken, from)))) {
    throw new Error(`content_requests ${input.rowId} changed under its own lock`);
  }
  return { kind: 'owned' };
}

/**
 * The insert met a row that has neither this id nor this correlation_id: it is gone by now, or holds a key that only an
 * adopted table has, such as unique (student_id, topic). Passed over in silence, that would be tried again without end.
 */
async function insertWhatMetNobody(
  database: Database,
  content: sql.RowContent,
  ownerToken: string,
): Promise<RecordDecision> {
  if (await database.writes(sql.insertRequestOrFail(content, ownerToken))) return { kind: 'owned' };
  throw new Error(`content_requests ${content.rowId}: a rule or trigger of the table swallows the insert`);
}

/** Names what a fenced write that found no row has met. `own` = the terminal status that this write itself sets. */
async function fenced(
  database: Database,
  owner: Ownership,
  statement: sql.Statement,
  own?: Status,
): Promise<FencedResult> {
  if (await database.writes(statement)) return { kind: 'written' };
  return whyNot(database, owner, own);
}

async function whyNot(database: Database, owner: Ownership, own?: Status): Promise<FencedResult> {
  const row = await database.maybeOne<sql.Owner>(sql.findOwner(owner.rowId));
  if (row?.owner_token !== owner.ownerToken) return { kind: 'row-lost' };
  if (row.status === own) return { kind: 'written', again: true };
  return { kind: 'row-already-terminal', status: row.status };
}

export function startGeneration(database: Database, owner: Ownership, failures: number): Promise<FencedResult> {
  return fenced(database, owner, sql.startGeneration(owner.rowId, owner.ownerToken, failures));
}

export function countFailure(database: Database, owner: Ownership, failures: number): Promise<FencedResult> {
  return fenced(database, owner, sql.countFailure(owner.rowId, owner.ownerToken, failures));
}

export function storeScript(database: Database, input: StoreScriptInput): Promise<FencedResult> {
  // Cleaned where it came in, and again here: it is paid for.
  const script = storable(input.scriptText);
  const metadata = input.usage === undefined ? {} : { usage: input.usage };
  return fenced(database, input, sql.storeScript(input.rowId, input.ownerToken, script, input.failures, metadata));
}

export function storeMedium(
  database: Database,
  owner: Ownership,
  medium: Medium,
  made: MadeMedium,
): Promise<FencedResult> {
  const isVideo = medium === 'video';
  const statement = sql.storeMedium(owner.rowId, owner.ownerToken, {
    videoUrl: isVideo ? made.url : null,
    thumbnailUrl: isVideo ? made.thumbnailUrl : null,
    metadata: isVideo ? {} : { audio_url: made.url },
    usage: made.usage === null ? {} : { [medium]: made.usage },
  });
  return fenced(database, owner, statement);
}

/** Shares of progress_percentage: the script is done at 50, the media share the rest, completion is 100. */
const MEDIUM_PROGRESS = { audio: { from: 55, to: 65 }, video: { from: 65, to: 95 } } as const;

/** The script that was stored comes back: a medium is made from it, and histories need not carry it again. */
export async function startMediumStage(
  database: Database,
  owner: Ownership,
  medium: Medium,
  failures: number,
): Promise<{ written: FencedResult; scriptText: string }> {
  const stage = { medium, failures, progress: MEDIUM_PROGRESS[medium].from };
  const statement = sql.startMedium(owner.rowId, owner.ownerToken, stage);
  const row = await database.maybeOne<{ script_text: string | null }>(statement);
  const written = row === undefined ? await whyNot(database, owner) : ({ kind: 'written' } as const);
  return { written, scriptText: row?.script_text ?? '' };
}

/** @param progress 0..100 of the medium, as the provider says it. */
export function markMedium(
  database: Database,
  owner: Ownership,
  medium: Medium,
  progress: number,
): Promise<FencedResult> {
  const { from, to } = MEDIUM_PROGRESS[medium];
  const share = Math.min(Math.max(Number.isFinite(progress) ? progress : 0, 0), 100) / 100;
  const percentage = Math.round(from + (to - from) * share);
  return fenced(database, owner, sql.markMedium(owner.rowId, owner.ownerToken, medium, percentage));
}

export function completeRequest(database: Database, input: CompleteInput): Promise<FencedResult> {
  const { result } = input;
  const statement = sql.completeRequest(input.rowId, input.ownerToken, {
    // Cleaned where it came in, and again here: it is paid for.
    scriptText: storable(result.scriptText),
    videoUrl: result.media.videoUrl,
    thumbnailUrl: result.media.thumbnailUrl,
    failures: input.failures,
    metadata: {
      usage: result.usage,
      ...(result.mediaUsage === undefined ? {} : { media_usage: result.mediaUsage }),
      ...(result.media.audioUrl === undefined ? {} : { audio_url: result.media.audioUrl }),
      ...(input.spent === undefined ? {} : { failed_attempts_usage: input.spent }),
      delivered: result.delivered,
      not_delivered: input.requestedModalities.filter((modality) => !result.delivered.includes(modality)),
    },
  });
  return fenced(database, input, statement, 'completed');
}

export function failRequest(database: Database, input: FailInput): Promise<FencedResult> {
  const failure = {
    stage: input.stage,
    message: storableMessage(input.message),
    details: {
      code: input.code,
      attempts: input.failures,
      workflow_id: input.workflowId,
      run_id: input.runId,
      ...(input.spent === undefined ? {} : { usage: input.spent }),
    },
  };
  if (input.neverOwned === true) return failWaiting(database, input, failure);
  const { rowId, ownerToken, failures, failedAt = null } = input;
  return fenced(database, input, sql.failRequest(rowId, ownerToken, failure, failures, failedAt), 'failed');
}

/** Nobody else would: its request is refused for good, and whoever made the row polls it for ever. */
async function failWaiting(database: Database, input: FailInput, failure: sql.RowFailure): Promise<FencedResult> {
  if (await database.writes(sql.rejectRequestById(input.rowId, failure))) return { kind: 'written' };
  const row = await database.maybeOne<sql.Owner>(sql.findOwner(input.rowId));
  const ownRetriedWrite = row?.owner_token === null && row.failed_by === input.runId;
  return ownRetriedWrite ? { kind: 'written', again: true } : { kind: 'row-lost' };
}

export function cancelRequest(database: Database, owner: Ownership): Promise<FencedResult> {
  return fenced(database, owner, sql.cancelRequest(owner.rowId, owner.ownerToken), 'cancelled');
}

export async function rejectRequest(database: Database, input: RejectInput): Promise<RejectResult> {
  const failure = {
    stage: 'validation',
    message: storableMessage(input.detail),
    details: { code: input.code, message_id: input.messageId },
  };
  const statement =
    'rowId' in input.lookup
      ? sql.rejectRequestById(input.lookup.rowId, failure)
      : sql.rejectRequestByCorrelation(input.lookup.correlationId, failure);
  return { outcome: (await database.writes(statement)) ? 'failed' : 'untouched' };
}

/** A message may be a page long. */
function storableMessage(text: string): string {
  return storable(text.slice(0, 2_000));
}
