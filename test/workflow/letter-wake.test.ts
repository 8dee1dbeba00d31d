/**
 * A letter's workflow that has only its first event and no task. Temporal makes one where a run is terminated within the
 * milliseconds in which its child is made: of 212 terminates that aimed at them none hit. A start that is delayed looks
 * the same from outside, and differs in one thing: its signal waits for the delay. That a signal gives a real one its
 * task was seen on the server whose run had made it (events 1 started, 2 signaled, 3 task scheduled).
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Worker } from '@temporalio/worker';
import type { WorkflowHandle } from '@temporalio/client';
import pino from 'pino';
import { systemClock } from '../../src/bridge/clock.ts';
import { keepWakingLetters } from '../../src/bridge/letter-wake.ts';
import { WORKFLOW, workflowId } from '../../src/contract/names.ts';
import type { ForwardDeadLetterInput } from '../../src/contract/workflow-io.ts';
import { startTestTemporal, testBundle, type TestTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait-for.ts';

describe('a letter that never began', () => {
  let temporal: TestTemporal;
  let worker: Worker;
  let running: Promise<void>;
  const taskQueue = `letters-${randomUUID()}`;
  const never = new AbortController().signal;
  const log = pino({ level: 'silent' });

  before(async () => {
    temporal = await startTestTemporal();
    // Nobody hosts publishDeadLetter here: a letter that has begun waits for its bridge.
    worker = await Worker.create({
      connection: temporal.connection,
      taskQueue,
      workflowBundle: await testBundle(),
    });
    running = worker.run();
  });
  after(async () => {
    worker.shutdown();
    await running;
    await temporal.stop();
  });

  function letter(startDelay?: '1 hour'): Promise<WorkflowHandle> {
    const dlqId = randomUUID();
    const input = { body: '{}', letter: { dlqId, reason: 'generation_failed' } } as unknown as ForwardDeadLetterInput;
    return temporal.client.workflow.start(WORKFLOW.deadLetter, {
      taskQueue,
      workflowId: workflowId.deadLetter(dlqId),
      args: [input],
      ...(startDelay === undefined ? {} : { startDelay }),
    });
  }

  const eventsOf = async (handle: WorkflowHandle): Promise<number> => (await handle.describe()).historyLength;
  const isListed = async (handle: WorkflowHandle): Promise<boolean> => {
    const { count } = await temporal.client.workflow.count(`WorkflowId = '${handle.workflowId}'`);
    return count === 1;
  };
  /** The ids of those that were woken. */
  async function look(laterMs: number): Promise<string[]> {
    const woken: string[] = [];
    const told = pino({ level: 'warn' }, { write: (line: string) => void woken.push(line) });
    const clock = { ...systemClock, date: () => new Date(Date.now() + laterMs) };
    let announced = 0;
    await keepWakingLetters(
      { client: temporal.client, clock, log: told, onWoken: () => void (announced += 1) },
      false,
      never,
    );
    assert.equal(announced, woken.length, 'each is announced to the drain, which would leave before');
    return woken.map((line) => String((JSON.parse(line) as { workflowId?: string }).workflowId));
  }

  it('is signalled, once; one that waits for its bridge is left alone', async () => {
    const [orphan, waiting] = await Promise.all([letter('1 hour'), letter()]);
    await waitFor('the other waits for its bridge', async () => (await eventsOf(waiting)) === 5);
    await waitFor('both are listed', async () => (await isListed(orphan)) && (await isListed(waiting)));
    assert.deepEqual(await look(0), [], 'the twin: what is younger than a minute may be about to begin');
    assert.equal(await eventsOf(orphan), 1);
    assert.deepEqual(await look(120_000), [orphan.workflowId]);
    const { events } = await orphan.fetchHistory();
    assert.equal(events?.at(-1)?.workflowExecutionSignaledEventAttributes?.signalName, 'begin');
    assert.equal(await eventsOf(waiting), 5);
    assert.deepEqual(await look(120_000), [], 'it has been signalled');
    await Promise.all([orphan.terminate(), waiting.terminate()]);
  });

  it('a Temporal that is away costs nothing but a line', async () => {
    const { client } = temporal;
    const gone = Object.create(client, {
      workflowService: { value: { listWorkflowExecutions: () => Promise.reject(new Error('14 UNAVAILABLE')) } },
    }) as typeof client;
    await keepWakingLetters({ client: gone, clock: systemClock, log, onWoken: () => undefined }, false, never);
  });
});
