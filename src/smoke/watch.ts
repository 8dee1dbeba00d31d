/** Where the smoke test looks for the end of its request: the row, or the run where the database is out of reach. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import pg from 'pg';
import type { SmokeConfig } from '../config.ts';
import { rowIdOf } from '../contract/identity.ts';
import { workflowId } from '../contract/names.ts';
import { TERMINAL_STATUSES, type Status, type TerminalStatus } from '../contract/status.ts';
import type { ProcessResult } from '../contract/workflow-io.ts';
import { connectionOf } from '../postgres-connection.ts';

/** What is printed, column by column. */
export type Row = Readonly<Record<string, string>>;

export interface Seen {
  /** Null = nothing yet. */
  readonly row: Row | null;
  /** Null = not ended. */
  readonly end: TerminalStatus | null;
}

/** What Temporal knows besides. */
export interface SeenRun extends Seen {
  readonly begun: boolean;
  /** Whose worker has taken it up; null = nobody yet, or a worker without a version. */
  readonly buildId: string | null;
}

export interface Watch<S extends Seen = Seen> {
  /** The question, for people. */
  readonly asked: string;
  look(correlationId: string): Promise<S>;
  close(): Promise<void>;
}

/** The plan's own check, step 6.3. */
const SELECT = `select id, correlation_id, status, created_at, retry_count
  from content_requests
 where correlation_id = $1`;

interface Selected {
  readonly id: string;
  readonly correlation_id: string;
  readonly status: Status;
  readonly created_at: Date;
  readonly retry_count: number;
}

export async function watchRow({ url, connectTimeoutMs }: NonNullable<SmokeConfig['database']>): Promise<Watch> {
  // With --build-id up to a hundred rows are asked for at once, and a client takes one question after the other.
  const pool = new pg.Pool({
    ...connectionOf(url),
    max: 4,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: 10_000,
    application_name: 'content-processor-smoke',
  });
  // The next query tells.
  pool.on('error', () => undefined);
  (await pool.connect()).release();
  return {
    asked: SELECT,
    look: async (correlationId) => {
      const { rows } = await pool.query<Selected>(SELECT, [correlationId]);
      const [row] = rows;
      if (row === undefined) return { row: null, end: null };
      const { id, status, created_at: createdAt, retry_count: retryCount } = row;
      return {
        row: {
          id,
          correlation_id: row.correlation_id,
          status,
          created_at: createdAt.toISOString(),
          retry_count: String(retryCount),
        },
        end: TERMINAL_STATUSES.find((each) => each === status) ?? null,
      };
    },
    close: () => pool.end(),
  };
}

/** A run ends only after its row is written, so its end says the same; created_at is when the run began. */
export function watchRun(client: Client, deploymentName: string): Watch<SeenRun> {
  const look = async (correlationId: string): Promise<SeenRun> => {
    const id = rowIdOf(correlationId);
    const handle = client.workflow.getHandle(workflowId.process(id));
    const { status, startTime, raw } = await handle.describe();
    const version = raw.workflowExecutionInfo?.versioningInfo?.deploymentVersion;
    const result = status.name === 'COMPLETED' ? ((await handle.result()) as ProcessResult) : null;
    const ends = { RUNNING: null, COMPLETED: 'completed', CANCELLED: 'cancelled' } as const;
    const end = status.name in ends ? ends[status.name as keyof typeof ends] : 'failed';
    return {
      row: {
        id,
        correlation_id: correlationId,
        status: end ?? 'running',
        created_at: startTime.toISOString(),
        retry_count: result?.outcome === 'completed' ? String(result.retryCount) : '?',
      },
      end,
      begun: true,
      // Another deployment's build of the same id is another build.
      buildId: version?.deploymentName === deploymentName ? (version.buildId ?? null) : null,
    };
  };
  return {
    asked: 'the run of this row in Temporal; the database was not asked',
    look: (correlationId) =>
      client
        .withDeadline(Date.now() + 10_000, () => look(correlationId))
        .catch((error: unknown) => {
          if (error instanceof WorkflowNotFoundError) return { row: null, end: null, begun: false, buildId: null };
          throw error;
        }),
    close: () => client.connection.close(),
  };
}

/** The row and its end from the database, the build from Temporal, which alone knows it. */
export function watchBoth(rows: Watch, runs: Watch<SeenRun>): Watch<SeenRun> {
  return {
    asked: rows.asked,
    look: async (correlationId) => {
      // In this order: an end that is seen before its build would pass for one without a version.
      const { row, end } = await rows.look(correlationId);
      const { begun, buildId } = await runs.look(correlationId);
      return { row, end, begun, buildId };
    },
    close: async () => {
      await Promise.all([rows.close(), runs.close()]);
    },
  };
}
