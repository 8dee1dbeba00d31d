/**
 * Every path that a run can take. Each is run on the real server to record a history; the fixtures of test/replay/histories
 * must hold at least one of each. A scenario's name is part of a file's name: names are added, never changed.
 */
import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { dlqIdOfRun } from '../../src/contract/dead-letter.ts';
import { WORKFLOW, workflowId } from '../../src/contract/names.ts';
import type { Medium, Progress, RejectInput } from '../../src/contract/workflow-io.ts';
import type { Step } from '../../src/dev/scripted-generator.ts';
import { FAST_RETRY, processInput, type TestStack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

export type Scenario = (stack: TestStack) => Promise<WorkflowHandle>;

const transient: Step = { kind: 'transient', code: 'http_500' };
const pending: Step = { kind: 'pending' };
const permanent: Step = { kind: 'permanent', code: 'safety_block' };

function fresh(): { correlation_id: string; student_id: string; topic: string; grade_level: string } {
  return {
    correlation_id: `replay-${randomUUID()}`,
    student_id: 'replay-student',
    topic: 'Photosynthesis',
    grade_level: '9th Grade',
  };
}

/** Starts a fresh request whose generator follows the steps, and waits until its run has ended. */
async function run(stack: TestStack, steps: readonly Step[], retry = FAST_RETRY): Promise<WorkflowHandle> {
  const fields = fresh();
  stack.script[fields.correlation_id] = steps;
  const handle = await stack.start(processInput(fields, { retry }));
  await ended(handle);
  return handle;
}

type MediaSteps = Readonly<Partial<Record<Medium, readonly Step[]>>>;

/** A request for all media, of which the provider offers those that have steps. */
async function startWithMedia(stack: TestStack, steps: MediaSteps): Promise<{ handle: WorkflowHandle }> {
  const fields = { ...fresh(), requested_modalities: ['text', 'audio', 'video'] };
  for (const [medium, each] of Object.entries(steps)) stack.script[`${fields.correlation_id}/${medium}`] = each;
  return { handle: await stack.start(processInput(fields)) };
}

async function runWithMedia(stack: TestStack, steps: MediaSteps): Promise<WorkflowHandle> {
  const { handle } = await startWithMedia(stack, steps);
  await ended(handle);
  return handle;
}

/** A request that an adopted table would refuse for good, with or without a row that an API made for it. */
async function runRefused(stack: TestStack, rowWaits: boolean): Promise<WorkflowHandle> {
  const REFUSED_MINUTES = 77_777;
  const fields = { ...fresh(), duration_minutes: REFUSED_MINUTES };
  const input = processInput(fields);
  if (rowWaits) {
    await stack.query(
      `insert into content_requests (id, correlation_id, student_id, topic, grade_level) values ($1, $2, $3, $4, $5)`,
      [input.request.rowId, fields.correlation_id, fields.student_id, fields.topic, fields.grade_level],
    );
  }
  await stack.query(
    `alter table content_requests add constraint replay_refuses check (duration_minutes <> ${String(REFUSED_MINUTES)})`,
  );
  try {
    const handle = await stack.start(input);
    await ended(handle);
    return handle;
  } finally {
    await stack.query('alter table content_requests drop constraint replay_refuses');
  }
}

/** A failed run is an end like any other here. */
async function ended(handle: WorkflowHandle): Promise<void> {
  await handle.result().catch(() => undefined);
}

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  success: (stack) => run(stack, [{ kind: 'ok' }]),
  'retry-then-success': (stack) => run(stack, [transient, transient, { kind: 'ok' }]),
  'permanent-failure': (stack) => run(stack, [permanent]),
  'attempts-exhausted': (stack) => run(stack, [transient]),
  'result-too-large': (stack) => run(stack, [{ kind: 'bytes', bytes: 1_048_577 }]),
  'provider-unavailable-then-back': (stack) =>
    run(stack, [
      { kind: 'unavailable', code: 'http_503' },
      { kind: 'unavailable', code: 'http_429', retryAfterMs: 150 },
      { kind: 'ok' },
    ]),
  'provider-unavailable-for-good': (stack) =>
    run(stack, [{ kind: 'unavailable', code: 'ECONNREFUSED' }], { ...FAST_RETRY, maxAgeMs: 300 }),
  duplicate: async (stack) => {
    const input = processInput(fresh());
    const first = await stack.start(input);
    await ended(first);
    await stack.forget(first);
    const handle = await stack.start(input);
    await ended(handle);
    return handle;
  },
  conflict: async (stack) => {
    const fields = fresh();
    const first = await stack.start(processInput(fields));
    await ended(first);
    await stack.forget(first);
    const handle = await stack.start(processInput({ ...fields, topic: 'Another text' }));
    await ended(handle);
    return handle;
  },
  'late-redelivery': async (stack) => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [permanent];
    const input = processInput(fields, { publishTime: '2026-01-01T00:00:00.000Z' });
    await ended(await stack.start(input));
    const handle = await stack.start(input);
    await ended(handle);
    return handle;
  },
  'taken-over-after-failure': async (stack) => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [permanent, { kind: 'ok' }];
    await ended(await stack.start(processInput(fields, { publishTime: '2026-01-01T00:00:00.000Z' })));
    const handle = await stack.start(processInput(fields));
    await ended(handle);
    return handle;
  },
  cancelled: async (stack) => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [transient];
    const retry = { ...FAST_RETRY, firstWaitMs: 60_000, maxWaitMs: 60_000 };
    const handle = await stack.start(processInput(fields, { retry }));
    await waitFor('the first wait', async () => (await handle.query<Progress>('progress')).text.startsWith('Waiting'));
    await handle.cancel();
    await ended(handle);
    return handle;
  },
  'row-lost': async (stack) => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [transient, { kind: 'ok' }];
    const input = processInput(fields, { retry: { ...FAST_RETRY, firstWaitMs: 500, maxWaitMs: 500 } });
    const handle = await stack.start(input);
    await waitFor('the first failure', () => stack.calls(fields.correlation_id) === 1);
    await stack.query(`update content_requests set owner_token = 'somebody else' where id = $1`, [input.request.rowId]);
    await ended(handle);
    return handle;
  },
  refused: (stack) => runRefused(stack, false),
  'refused-row-waits': (stack) => runRefused(stack, true),
  'content-blocked': (stack) => run(stack, [{ kind: 'permanent', code: 'content_blocked' }]),
  'media-made': (stack) => runWithMedia(stack, { audio: [{ kind: 'ok' }], video: [{ kind: 'ok' }] }),
  'media-awaited': (stack) => runWithMedia(stack, { video: [pending, pending, { kind: 'ok' }] }),
  'media-retried': (stack) =>
    runWithMedia(stack, {
      video: [{ kind: 'unavailable', code: 'http_503' }, pending, transient, pending, { kind: 'ok' }],
    }),
  'media-failed': (stack) =>
    runWithMedia(stack, { audio: [{ kind: 'ok' }], video: [pending, { kind: 'permanent', code: 'content_blocked' }] }),
  'media-cancelled': async (stack) => {
    const { handle } = await startWithMedia(stack, { video: [pending] });
    await waitFor('the provider works', async () =>
      (await handle.query<Progress>('progress')).text.startsWith('The provider makes the video'),
    );
    await handle.cancel();
    await ended(handle);
    return handle;
  },
  'dead-letter': async (stack) => {
    const failed = await run(stack, [permanent]);
    const { firstExecutionRunId } = await failed.describe().then((run_) => ({ firstExecutionRunId: run_.runId }));
    const handle = stack.temporal.client.workflow.getHandle(
      workflowId.deadLetter(dlqIdOfRun(failed.workflowId, firstExecutionRunId)),
    );
    await ended(handle);
    return handle;
  },
  rejection: async (stack) => {
    const rowId = randomUUID();
    await stack.query(
      `insert into content_requests (id, correlation_id, student_id, topic) values ($1, $2, 'replay-student', 't')`,
      [rowId, `replay-${rowId}`],
    );
    const input: RejectInput = {
      lookup: { rowId },
      code: 'invalid_fields',
      detail: 'student_id: is missing',
      messageId: rowId,
    };
    const handle = await stack.temporal.client.workflow.start(WORKFLOW.reject, {
      taskQueue: stack.taskQueue,
      workflowId: workflowId.reject(rowId),
      args: [input],
    });
    await ended(handle);
    return handle;
  },
};
