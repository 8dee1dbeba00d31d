/**
 * Real PostgreSQL, a real Temporal server, the product's activities and workflows in this process; only the generator
 * follows a script, and letters are caught where the bridge would publish them.
 */
import { randomUUID } from 'node:crypto';
import { defaultPayloadConverter, toPayloads } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import type { WorkflowHandle } from '@temporalio/client';
import pg from 'pg';
import pino from 'pino';
import { createActivities } from '../../src/activities/index.ts';
import { openDatabase, type DatabasePool } from '../../src/activities/db.ts';
import type { MediaDeps } from '../../src/activities/media.ts';
import type { DatabaseConfig, GeneratorConfig } from '../../src/config.ts';
import { NAMES, WORKFLOW, workflowId } from '../../src/contract/names.ts';
import { parse } from '../../src/contract/message.ts';
import type { RetryPolicy } from '../../src/contract/retry-policy.ts';
import type { BridgeActivities, ForwardDeadLetterInput, ProcessInput } from '../../src/contract/workflow-io.ts';
import { scriptedGenerator, type Script } from '../../src/dev/scripted-generator.ts';
import { createGenerator } from '../../src/generators/index.ts';
import { forgetRun } from './forget-run.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';
import { startTestTemporal, testBundle, type TestTemporal } from './temporal.ts';

/** Waits short enough for a test, long enough to be told apart in a history. */
export const FAST_RETRY: RetryPolicy = { maxAttempts: 5, firstWaitMs: 20, factor: 2, maxWaitMs: 100, maxAgeMs: 2_000 };

export interface Row {
  readonly id: string;
  readonly correlation_id: string;
  readonly student_id: string;
  readonly topic: string;
  readonly status: string;
  readonly current_stage: string | null;
  readonly progress_percentage: number;
  readonly retry_count: number;
  readonly started_at: Date | null;
  readonly completed_at: Date | null;
  readonly failed_at: Date | null;
  readonly script_text: string | null;
  readonly video_url: string | null;
  readonly thumbnail_url: string | null;
  readonly error_stage: string | null;
  readonly error_message: string | null;
  readonly error_details: Record<string, unknown> | null;
  readonly request_metadata: Record<string, unknown> | null;
  readonly total_duration_seconds: number | null;
  readonly owner_token: string | null;
}

export interface TestStack {
  readonly postgres: TestPostgres;
  readonly temporal: TestTemporal;
  readonly database: DatabasePool;
  readonly databaseConfig: DatabaseConfig;
  readonly taskQueue: string;
  /** By correlation_id; add to it before a start. */
  readonly script: Record<string, Script[string]>;
  readonly letters: ForwardDeadLetterInput[];
  /** Calls of the generator, by correlation_id. */
  calls(correlationId: string): number;
  /** Slots of the worker that an activity holds now. */
  activitiesRunning(): number;
  start(input: ProcessInput): Promise<WorkflowHandle>;
  /** As start, but the server skips what the run would only wait for; its history tells the virtual times. */
  startSkippingTime(input: ProcessInput): Promise<WorkflowHandle>;
  /** As after retention: no run of this workflow id is left. */
  forget(handle: WorkflowHandle): Promise<void>;
  row(id: string): Promise<Row | undefined>;
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  stop(): Promise<void>;
}

export function processInput(
  fields: Record<string, unknown>,
  options: { retry?: RetryPolicy; publishTime?: string; messageId?: string; attributes?: Record<string, string> } = {},
): ProcessInput {
  const body = JSON.stringify(fields);
  const parsed = parse(Buffer.from(body), {});
  if (parsed.kind !== 'request') throw new Error(`the test's own message is invalid: ${parsed.detail}`);
  return {
    request: parsed.request,
    contentHash: parsed.contentHash,
    source: {
      messageId: options.messageId ?? randomUUID(),
      publishTime: options.publishTime ?? new Date().toISOString(),
      orderingKey: null,
      attributes: options.attributes ?? {},
      body,
    },
    retry: options.retry ?? FAST_RETRY,
  };
}

export interface StackOptions {
  readonly generatorTimeoutMs?: number;
  readonly mediaTimeoutMs?: number;
  /** Under the script; the template unless given. */
  readonly generator?: GeneratorConfig;
  readonly onProvider?: MediaDeps['onProvider'];
}

export async function startStack(options: StackOptions = {}): Promise<TestStack> {
  const [postgres, temporal, workflowBundle] = await Promise.all([startPostgres(), startTestTemporal(), testBundle()]);
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const template = await postgres.templateDatabase();
  const url = await postgres.createDatabase(name, template);
  const databaseConfig = { url, poolSize: 5, connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 };
  const database = openDatabase(databaseConfig, { applicationName: 'test', onIdleError: () => undefined });
  const script: Record<string, Script[string]> = {};
  const counts = new Map<string, number>();
  const letters: ForwardDeadLetterInput[] = [];
  const taskQueue = `test-${randomUUID()}`;
  const { connection } = temporal;
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowBundle,
    activities: createActivities({
      database,
      generator: scriptedGenerator(createGenerator(options.generator ?? { kind: 'template' }), script, (id) => {
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }),
      generatorTimeoutMs: options.generatorTimeoutMs ?? 5_000,
      mediaTimeoutMs: options.mediaTimeoutMs ?? 20_000,
      ...(options.onProvider === undefined ? {} : { onProvider: options.onProvider }),
      log: pino({ level: 'silent' }),
    }),
  });
  const catcher: BridgeActivities = {
    publishDeadLetter: (input) => {
      letters.push(input);
      return Promise.resolve(`letter-${String(letters.length)}`);
    },
  };
  const letterWorker = await Worker.create({
    connection,
    taskQueue: NAMES.deadLetterTaskQueue,
    activities: catcher,
  });
  const running = Promise.all([worker.run(), letterWorker.run()]);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return {
    postgres,
    temporal,
    database,
    databaseConfig,
    taskQueue,
    script,
    letters,
    calls: (correlationId) => counts.get(correlationId) ?? 0,
    activitiesRunning: () => worker.getStatus().numInFlightActivities,
    start: (input) =>
      temporal.client.workflow.start(WORKFLOW.process, {
        taskQueue,
        workflowId: workflowId.process(input.request.rowId),
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
        workflowIdConflictPolicy: 'FAIL',
        args: [input],
      }),
    startSkippingTime: async (input) => {
      const { client } = temporal;
      const id = workflowId.process(input.request.rowId);
      // The SDK's start has no option for it yet.
      await client.workflowService.startWorkflowExecution({
        namespace: client.options.namespace,
        workflowId: id,
        workflowType: { name: WORKFLOW.process },
        taskQueue: { name: taskQueue },
        requestId: randomUUID(),
        identity: 'test',
        input: { payloads: toPayloads(defaultPayloadConverter, input) ?? [] },
        timeSkippingConfig: { enabled: true, disablePropagation: true },
      });
      return client.workflow.getHandle(id);
    },
    forget: (handle) => forgetRun(temporal.client, handle.workflowId),
    row: async (id) => (await client.query<Row>('select * from content_requests where id = $1', [id])).rows[0],
    query: async (text, values) => (await client.query<Record<string, unknown>>(text, values)).rows,
    stop: async () => {
      worker.shutdown();
      letterWorker.shutdown();
      await running;
      await client.end();
      await database.close();
      await temporal.stop();
      await postgres.stop();
    },
  };
}
