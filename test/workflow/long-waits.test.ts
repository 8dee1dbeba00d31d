/** The product's own waits, minutes and hours, on the real server: it skips the time in which a run only waits. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { DEFAULT_RETRY_POLICY } from '../../src/contract/retry-policy.ts';
import type { Step } from '../../src/dev/scripted-generator.ts';
import { processInput, startStack, type TestStack } from '../support/stack.ts';

interface Waits {
  /** Seconds of every timer, in order. */
  readonly timers: readonly number[];
  /** Virtual seconds from the run's first event to its last. */
  readonly lasted: number;
}

async function waitsOf(handle: WorkflowHandle): Promise<Waits> {
  const events = (await handle.fetchHistory()).events ?? [];
  const seconds = (time: { seconds?: unknown; nanos?: number | null } | null | undefined): number =>
    Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
  const timers = events.flatMap(({ timerStartedEventAttributes: timer }) =>
    timer === null || timer === undefined ? [] : [seconds(timer.startToFireTimeout)],
  );
  return { timers, lasted: seconds(events.at(-1)?.eventTime) - seconds(events[0]?.eventTime) };
}

describe('long waits', () => {
  let stack: TestStack;
  before(async () => {
    stack = await startStack();
  });
  after(() => stack.stop());

  async function run(steps: readonly Step[], maxAttempts: number = DEFAULT_RETRY_POLICY.maxAttempts) {
    const correlationId = `long-${randomUUID()}`;
    stack.script[correlationId] = steps;
    const input = processInput(
      { correlation_id: correlationId, student_id: 'student-1', topic: 'Glaciers' },
      { retry: { ...DEFAULT_RETRY_POLICY, maxAttempts } },
    );
    const handle = await stack.startSkippingTime(input);
    const outcome = await handle.result().then(
      () => 'completed',
      (error: unknown) => ((error as Error).cause as { type?: string }).type,
    );
    const row = await stack.row(input.request.rowId);
    return { outcome, row, ...(await waitsOf(handle)) };
  }

  it('the default policy waits 10, 20, 40 and 80 s between its five attempts', async () => {
    const { outcome, row, timers, lasted } = await run([{ kind: 'transient', code: 'http_500' }]);
    assert.equal(outcome, 'attempts_exhausted');
    assert.deepEqual(timers, [10, 20, 40, 80]);
    assert.equal(row?.retry_count, 5);
    assert(lasted >= 150, `${String(lasted)} s passed for the run`);
  });

  it('no wait is longer than 600 s, however many attempts', async () => {
    const { timers } = await run([{ kind: 'transient', code: 'http_500' }], 10);
    assert.deepEqual(timers, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
  });

  it('a provider that is away for half an hour costs time, no attempt', async () => {
    const away: Step = { kind: 'unavailable', code: 'http_503' };
    const { outcome, row, timers } = await run([...Array<Step>(8).fill(away), { kind: 'ok' }]);
    assert.equal(outcome, 'completed');
    assert.equal(row?.retry_count, 0);
    assert.deepEqual(timers, [10, 20, 40, 80, 160, 320, 600, 600]);
  });

  it('a Retry-After of 20 minutes is waited for', async () => {
    const { outcome, timers } = await run([
      { kind: 'unavailable', code: 'http_429', retryAfterMs: 1_200_000 },
      { kind: 'ok' },
    ]);
    assert.equal(outcome, 'completed');
    assert.deepEqual(timers, [1_200]);
  });

  it('a provider that is away for good fails the request after an hour, not before', async () => {
    const { outcome, row, timers, lasted } = await run([{ kind: 'unavailable', code: 'ECONNREFUSED' }]);
    assert.equal(outcome, 'provider_unavailable');
    assert.equal(row?.retry_count, 0);
    assert.deepEqual(timers.slice(0, 7), [10, 20, 40, 80, 160, 320, 600]);
    // The last wait is what is left of the hour. The server fires each timer up to a second late.
    assert(lasted >= 3_600 && lasted < 3_630, `${String(lasted)} s passed for the run`);
  });

  it('the twin: without skipping, a wait of 10 s is still under way', async () => {
    const correlationId = `long-${randomUUID()}`;
    stack.script[correlationId] = [{ kind: 'transient', code: 'http_500' }];
    const fields = { correlation_id: correlationId, student_id: 'student-1', topic: 'Glaciers' };
    const skipping = await stack.startSkippingTime(processInput(fields, { retry: DEFAULT_RETRY_POLICY }));
    const other = { ...fields, correlation_id: `long-${randomUUID()}` };
    stack.script[other.correlation_id] = [{ kind: 'transient', code: 'http_500' }];
    const waiting = await stack.start(processInput(other, { retry: DEFAULT_RETRY_POLICY }));
    await skipping.result().catch(() => undefined);
    assert.equal((await waiting.describe()).status.name, 'RUNNING');
    await waiting.terminate('the test is over');
  });
});
