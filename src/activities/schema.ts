/** Refuses a database this code cannot work with, before any work is taken from the queue. */
import { STATUSES } from '../contract/status.ts';
import type { Database } from './db.ts';
import * as sql from './sql.ts';

/** Columns the statements of sql.ts name. */
export const REQUIRED_COLUMNS = [
  'id',
  'correlation_id',
  'student_id',
  'topic',
  'learning_objective',
  'grade_level',
  'duration_minutes',
  'status',
  'current_stage',
  'progress_percentage',
  'created_at',
  'started_at',
  'completed_at',
  'failed_at',
  'video_url',
  'script_text',
  'thumbnail_url',
  'error_message',
  'error_stage',
  'error_details',
  'retry_count',
  'request_metadata',
  'total_duration_seconds',
  'organization_id',
  'owner_token',
] as const;

/** Every fault in words; empty when the worker can run. Throws DatabaseError when the database does not answer. */
export async function schemaFaults(database: Database): Promise<string[]> {
  const columns = (await database.many<{ name: string }>(sql.readColumns())).map((row) => row.name);
  if (columns.length === 0) return ['table content_requests is missing'];
  const labels = (await database.many<{ label: string }>(sql.readEnumLabels())).map((row) => row.label);
  return [
    ...REQUIRED_COLUMNS.filter((column) => !columns.includes(column)).map(
      (column) => `column content_requests.${column} is missing`,
    ),
    ...STATUSES.filter((status) => !labels.includes(status)).map(
      (status) => `the enum of content_requests.status lacks '${status}'`,
    ),
  ];
}
