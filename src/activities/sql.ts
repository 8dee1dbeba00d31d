/**
 * Every statement this product runs against content_requests, once. `index` is the index a plan must use: a test
 * prepares and explains each against the migrated schema. Writes are fenced by the owner token and by the statuses
 * they may leave; a write that finds no row is a case with a name (see content-requests.ts), never ignored.
 */
import type { QueryConfig } from 'pg';
import { OPEN_STATUSES, type Stage, type Status } from '../contract/status.ts';
import type { Medium } from '../contract/workflow-io.ts';

export interface Statement extends QueryConfig<unknown[]> {
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
  /** Index expected in the plan; null for a plain insert. */
  readonly index: string | null;
}

export interface RowContent {
  readonly rowId: string;
  readonly correlationId: string;
  readonly studentId: string;
  readonly topic: string;
  readonly learningObjective: string | null;
  readonly gradeLevel: string | null;
  readonly durationMinutes: number | null;
  readonly organizationId: string | null;
  /** Merged into request_metadata. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** An adopted row may hold JSON null, or anything: merged into that, an object would become an array. */
const METADATA = `case when jsonb_typeof(request_metadata) = 'object' then request_metadata else '{}'::jsonb end`;

const MEDIA_USAGE = `case when jsonb_typeof(request_metadata -> 'media_usage') = 'object'
            then request_metadata -> 'media_usage' else '{}'::jsonb end`;

/** What a run that failed has left of its results; the next one begins without. */
const OF_A_RUN = `array['usage', 'media_usage', 'failed_attempts_usage', 'audio_url', 'delivered', 'not_delivered']`;

const PRIMARY_KEY = 'content_requests_pkey';
const CORRELATION_KEY = 'content_requests_correlation_id_key';

const contentValues = (content: RowContent, ownerToken: string): unknown[] => [
  content.rowId,
  ownerToken,
  content.correlationId,
  content.studentId,
  content.topic,
  content.learningObjective,
  content.gradeLevel,
  content.durationMinutes,
  content.organizationId,
  JSON.stringify(content.metadata),
];

const INSERT = `
    insert into content_requests
      (id, owner_token, correlation_id, student_id, topic, learning_objective, grade_level, duration_minutes,
       organization_id, request_metadata, status, current_stage, progress_percentage, retry_count, started_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, 'pending', 'request_received', 0, 0, now())`;

export const insertRequest = (content: RowContent, ownerToken: string): Statement => ({
  name: 'insert_request',
  index: null,
  text: `${INSERT}
    on conflict do nothing
    returning id`,
  values: contentValues(content, ownerToken),
});

/** PostgreSQL names the constraint that the insert above passed over in silence. */
export const insertRequestOrFail = (content: RowContent, ownerToken: string): Statement => ({
  name: 'insert_request_or_fail',
  index: null,
  text: `${INSERT}
    returning id`,
  values: contentValues(content, ownerToken),
});

/** Locks the row until the transaction ends, so that the decision taken on it still holds when it is written. */
export const findRequestForUpdate = (rowId: string, publishTime: string): Statement => ({
  name: 'find_request_for_update',
  index: PRIMARY_KEY,
  text: `
    select id, status::text as status, owner_token, student_id, topic, grade_level,
           request_metadata ->> 'content_sha256' as content_sha256,
           request_metadata ->> 'message_id' as message_id,
           request_metadata ->> 'publish_time' as publish_time,
           request_metadata ->> 'owned_since' as owned_since,
           coalesce($2::timestamptz > failed_at, false) as published_after_failure
    from content_requests
    where id = $1
    for update`,
  values: [rowId, publishTime],
});

export const findRowIdByCorrelation = (correlationId: string): Statement => ({
  name: 'find_row_id_by_correlation',
  index: CORRELATION_KEY,
  text: `
    select id
    from content_requests
    where correlation_id = $1`,
  values: [correlationId],
});

/**
 * Only inside the transaction that holds the row's lock; status and owner are checked again all the same. The row keeps
 * its correlation_id: whoever made it polls by that, and a message may know the row by its request_id only.
 */
export const takeOverRequest = (content: RowContent, ownerToken: string, from: readonly string[]): Statement => ({
  name: 'take_over_request',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set owner_token = $2,
        correlation_id = coalesce(correlation_id, $3),
        student_id = $4,
        topic = $5,
        learning_objective = $6,
        grade_level = $7,
        duration_minutes = $8,
        organization_id = $9,
        request_metadata = ${METADATA} - ${OF_A_RUN} || $10::jsonb,
        status = 'pending',
        current_stage = 'request_received',
        progress_percentage = 0,
        retry_count = 0,
        script_text = null,
        video_url = null,
        thumbnail_url = null,
        started_at = now(),
        completed_at = null,
        failed_at = null,
        error_stage = null,
        error_message = null,
        error_details = null
    where id = $1
      and status::text = any($11)
    returning id`,
  values: [...contentValues(content, ownerToken), from],
});

export const startGeneration = (rowId: string, ownerToken: string, failures: number): Statement => ({
  name: 'start_generation',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set status = 'generating_script',
        current_stage = 'script_generation',
        progress_percentage = greatest(progress_percentage, 10),
        retry_count = greatest(retry_count, $3)
    where id = $1
      and owner_token = $2
      and status::text = any($4)
    returning id`,
  values: [rowId, ownerToken, failures, OPEN_STATUSES],
});

/** Half-way: what was paid for is kept, whatever becomes of the media. */
export const storeScript = (
  rowId: string,
  ownerToken: string,
  scriptText: string,
  failures: number,
  metadata: Readonly<Record<string, unknown>>,
): Statement => ({
  name: 'store_script',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set script_text = $3,
        progress_percentage = greatest(progress_percentage, 50),
        retry_count = greatest(retry_count, $4),
        request_metadata = ${METADATA} || $5::jsonb
    where id = $1
      and owner_token = $2
      and status::text = any($6)
    returning id`,
  values: [rowId, ownerToken, scriptText, failures, JSON.stringify(metadata), OPEN_STATUSES],
});

export interface StoredMedium {
  readonly videoUrl: string | null;
  readonly thumbnailUrl: string | null;
  /** Merged into request_metadata. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Merged into its media_usage, which has a key for each medium. */
  readonly usage: Readonly<Record<string, unknown>>;
}

/** One medium is done; the row goes on. */
export const storeMedium = (rowId: string, ownerToken: string, medium: StoredMedium): Statement => ({
  name: 'store_medium',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set video_url = coalesce($3, video_url),
        thumbnail_url = coalesce($4, thumbnail_url),
        request_metadata = ${METADATA} || $5::jsonb
          || jsonb_build_object('media_usage', ${MEDIA_USAGE} || $6::jsonb)
    where id = $1
      and owner_token = $2
      and status::text = any($7)
    returning id`,
  values: [
    rowId,
    ownerToken,
    medium.videoUrl,
    medium.thumbnailUrl,
    JSON.stringify(medium.metadata),
    JSON.stringify(medium.usage),
    OPEN_STATUSES,
  ],
});

export interface MediumStage {
  readonly medium: Medium;
  readonly failures: number;
  readonly progress: number;
}

/** The enum has no status for audio: generating_video says that a medium is asked for, current_stage says which. */
export const startMedium = (rowId: string, ownerToken: string, stage: MediumStage): Statement => ({
  name: 'start_medium',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set status = 'generating_video',
        current_stage = $3,
        progress_percentage = greatest(progress_percentage, $4),
        retry_count = greatest(retry_count, $5)
    where id = $1
      and owner_token = $2
      and status::text = any($6)
    returning script_text`,
  values: [rowId, ownerToken, stageOf(stage.medium), stage.progress, stage.failures, OPEN_STATUSES],
});

/** processing_video: the provider has taken the medium and works on it. */
export const markMedium = (rowId: string, ownerToken: string, medium: Medium, progress: number): Statement => ({
  name: 'mark_medium',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set status = 'processing_video',
        current_stage = $3,
        progress_percentage = greatest(progress_percentage, $4)
    where id = $1
      and owner_token = $2
      and status::text = any($5)
    returning id`,
  values: [rowId, ownerToken, stageOf(medium), progress, OPEN_STATUSES],
});

const stageOf = (medium: Medium): Stage => `${medium}_generation`;

/** A report for readers of the table; the workflow's own count decides. */
export const countFailure = (rowId: string, ownerToken: string, failures: number): Statement => ({
  name: 'count_failure',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set retry_count = greatest(retry_count, $3)
    where id = $1
      and owner_token = $2
      and status::text = any($4)
    returning id`,
  values: [rowId, ownerToken, failures, OPEN_STATUSES],
});

export interface Completion {
  readonly scriptText: string;
  readonly videoUrl: string | null;
  readonly thumbnailUrl: string | null;
  readonly failures: number;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export const completeRequest = (rowId: string, ownerToken: string, completion: Completion): Statement => ({
  name: 'complete_request',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set status = 'completed',
        current_stage = 'completion',
        progress_percentage = 100,
        completed_at = now(),
        total_duration_seconds = round(extract(epoch from now() - coalesce(started_at, created_at)))::int,
        script_text = $3,
        video_url = $4,
        thumbnail_url = $5,
        retry_count = greatest(retry_count, $6),
        request_metadata = ${METADATA} || $7::jsonb
    where id = $1
      and owner_token = $2
      and status::text = any($8)
    returning id`,
  values: [
    rowId,
    ownerToken,
    completion.scriptText,
    completion.videoUrl,
    completion.thumbnailUrl,
    completion.failures,
    JSON.stringify(completion.metadata),
    OPEN_STATUSES,
  ],
});

export interface RowFailure {
  readonly stage: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** @param decidedAt ISO 8601; null = now. */
export const failRequest = (
  rowId: string,
  ownerToken: string,
  failure: RowFailure,
  failures: number,
  decidedAt: string | null,
): Statement => ({
  name: 'fail_request',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set status = 'failed',
        failed_at = coalesce($8::timestamptz, now()),
        error_stage = $3,
        error_message = $4,
        error_details = $5::jsonb,
        retry_count = greatest(retry_count, $6)
    where id = $1
      and owner_token = $2
      and status::text = any($7)
    returning id`,
  values: [
    rowId,
    ownerToken,
    failure.stage,
    failure.message,
    JSON.stringify(failure.details),
    failures,
    OPEN_STATUSES,
    decidedAt,
  ],
});

export const cancelRequest = (rowId: string, ownerToken: string): Statement => ({
  name: 'cancel_request',
  index: PRIMARY_KEY,
  text: `
    update content_requests
    set status = 'cancelled'
    where id = $1
      and owner_token = $2
      and status::text = any($3)
    returning id`,
  values: [rowId, ownerToken, OPEN_STATUSES],
});

export interface Owner {
  readonly status: Status;
  readonly owner_token: string | null;
  /** The run that failed it. */
  readonly failed_by: string | null;
}

export const findOwner = (rowId: string): Statement => ({
  name: 'find_owner',
  index: PRIMARY_KEY,
  text: `
    select status::text as status, owner_token, error_details ->> 'run_id' as failed_by
    from content_requests
    where id = $1`,
  values: [rowId],
});

const rejectSet = `
    set status = 'failed',
        failed_at = now(),
        error_stage = $2,
        error_message = $3,
        error_details = $4::jsonb`;

/** Only a row that no run has ever owned: a poison message must not fail a request that is under way. */
export const rejectRequestById = (rowId: string, failure: RowFailure): Statement => ({
  name: 'reject_request_by_id',
  index: PRIMARY_KEY,
  text: `
    update content_requests${rejectSet}
    where id = $1
      and status = 'pending'
      and owner_token is null
    returning id`,
  values: [rowId, failure.stage, failure.message, JSON.stringify(failure.details)],
});

export const rejectRequestByCorrelation = (correlationId: string, failure: RowFailure): Statement => ({
  name: 'reject_request_by_correlation',
  index: CORRELATION_KEY,
  text: `
    update content_requests${rejectSet}
    where correlation_id = $1
      and status = 'pending'
      and owner_token is null
    returning id`,
  values: [correlationId, failure.stage, failure.message, JSON.stringify(failure.details)],
});

/** Whether this unique index is the one on id or on correlation_id: an adopted table has them under names of its own. */
export const findOwnKey = (indexName: string): Statement => ({
  name: 'find_own_key',
  index: null,
  text: `
    select c.relname as name
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = to_regclass('content_requests')
      and c.relname = $1
      and i.indnkeyatts = 1
      and a.attname in ('id', 'correlation_id')`,
  values: [indexName],
});

/** What the worker must find before it takes work; readiness asks the same. */
export const readEnumLabels = (): Statement => ({
  name: 'read_enum_labels',
  index: null,
  text: `
    select e.enumlabel as label
    from pg_enum e
    join pg_type t on t.oid = e.enumtypid
    join pg_attribute a on a.atttypid = t.oid
    where a.attrelid = to_regclass('content_requests')
      and a.attname = 'status'
    order by e.enumsortorder`,
  values: [],
});

export const readColumns = (): Statement => ({
  name: 'read_columns',
  index: null,
  text: `
    select attname as name
    from pg_attribute
    where attrelid = to_regclass('content_requests')
      and attnum > 0
      and not attisdropped`,
  values: [],
});
