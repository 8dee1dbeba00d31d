/** The table content_requests for a test file: the product's pool on it, and a second connection that looks and meddles. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { RecordInput } from '../../src/activities/content-requests.ts';
import { openDatabase, type DatabasePool } from '../../src/activities/db.ts';
import type { ContentRequest } from '../../src/contract/request.ts';
import type { Status } from '../../src/contract/status.ts';
import type { CompleteInput, FailInput, Ownership } from '../../src/contract/workflow-io.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';
import { waitFor } from './wait-for.ts';

export type Columns = Readonly<Record<string, unknown>>;

export interface ContentRows {
  readonly postgres: TestPostgres;
  readonly url: string;
  readonly database: DatabasePool;
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** A row with a correlation_id and, for the columns that its status demands, values of their own. Returns its id. */
  insert(columns?: Columns): Promise<string>;
  row(id: string): Promise<Record<string, unknown> | undefined>;
  /** The log's lines on a row, oldest first. */
  events(id: string): Promise<string[]>;
  /**
   * Runs `work` while a third transaction holds what `lock` locks, until `waiting` sessions wait for it; then ends that
   * transaction, so that all of them go on at the same moment.
   */
  raced<T>(
    lock: readonly [text: string, values: unknown[]],
    end: 'commit' | 'rollback',
    waiting: number,
    work: () => Promise<T>,
  ): Promise<T>;
  stop(): Promise<void>;
}

export async function startContentRows(name: string): Promise<ContentRows> {
  const postgres = await startPostgres();
  const url = await postgres.createDatabase(name, await postgres.templateDatabase());
  const database = openDatabase(
    { url, poolSize: 5, connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 },
    { applicationName: 'content-worker', onIdleError: () => undefined },
  );
  const client = new pg.Client(url);
  const holder = new pg.Client(url);
  await Promise.all([client.connect(), holder.connect()]);
  const query: ContentRows['query'] = async (text, values = []) =>
    (await client.query<Record<string, unknown>>(text, values)).rows;
  return {
    postgres,
    url,
    database,
    query,
    insert: async (columns = {}) => {
      const id = randomUUID();
      const all: Columns = {
        id,
        correlation_id: `correlation-${id}`,
        student_id: 'student-1',
        topic: 'Photosynthesis',
        ...DEMANDED[(columns['status'] ?? 'pending') as Status],
        ...columns,
      };
      const places = Object.keys(all).map((_, index) => `$${String(index + 1)}`);
      await client.query(
        `insert into content_requests (${Object.keys(all).join(', ')}) values (${places.join(', ')})`,
        Object.values(all),
      );
      return id;
    },
    row: async (id) => (await query('select * from content_requests where id = $1', [id]))[0],
    events: async (id) =>
      (
        await query(
          `select severity || ': ' || event_message || coalesce(' by ' || (event_data ->> 'owner_token'), '') as line
             from request_events where request_id = $1 order by created_at`,
          [id],
        )
      ).map(({ line }) => String(line)),
    raced: async ([text, values], end, waiting, work) => {
      await holder.query('begin');
      try {
        await holder.query(text, values);
        const working = work();
        // It is awaited below; until then it must not count as a rejection that nobody handles.
        working.catch(() => undefined);
        await waitFor(`${String(waiting)} sessions to wait for the lock`, async () => {
          const [found] = await query(
            `select count(*)::int as waiting from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock'`,
          );
          return found?.['waiting'] === waiting;
        });
        await holder.query(end);
        return await working;
      } finally {
        await holder.query('rollback');
      }
    },
    stop: async () => {
      await Promise.all([client.end(), holder.end(), database.close()]);
      await postgres.stop();
    },
  };
}

/** What the table's checks ask of a row in that status. */
const DEMANDED: Partial<Record<Status, Columns>> = {
  completed: { completed_at: '2026-11-24T10:00:00Z', script_text: 'script' },
  failed: { failed_at: '2026-11-24T10:00:00Z', error_stage: 'script_generation' },
};

export function recordInput(
  rowId: string,
  ownerToken: string,
  fields: Partial<ContentRequest> & { contentHash?: string; publishTime?: string; askedAt?: string } = {},
): RecordInput {
  const {
    contentHash = 'hash-1',
    publishTime = '2026-11-24T09:00:00.000Z',
    askedAt = '2026-11-24T09:00:01.000Z',
    ...request
  } = fields;
  return {
    rowId,
    ownerToken,
    contentHash,
    messageId: `message-of-${ownerToken}`,
    publishTime,
    askedAt,
    request: {
      rowId,
      correlationId: `correlation-${rowId}`,
      studentId: 'student-1',
      topic: 'Photosynthesis',
      gradeLevel: null,
      learningObjective: null,
      durationMinutes: null,
      organizationId: null,
      interest: null,
      environment: null,
      requestedModalities: ['video'],
      preferredModality: 'video',
      ...request,
    },
  };
}

export const completeInput = (owner: Ownership, failures = 0): CompleteInput => ({
  ...owner,
  failures,
  requestedModalities: ['text', 'video'],
  result: {
    scriptText: `script of ${owner.ownerToken}`,
    media: { videoUrl: null, thumbnailUrl: null },
    usage: { provider: 'template', model: null, inputTokens: null, outputTokens: null },
    delivered: ['text'],
  },
});

export const failInput = (owner: Ownership, failures = 0): FailInput => ({
  ...owner,
  code: 'generation_failed',
  stage: 'script_generation',
  message: `failure of ${owner.ownerToken}`,
  failures,
  workflowId: 'content-request/x',
  runId: 'run-x',
});
