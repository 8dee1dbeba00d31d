/** The activity that publishes a run's letter: its message was acked long ago, so nothing but Temporal keeps it. */
import assert from 'node:assert/strict';
import { ApplicationFailure } from '@temporalio/common';
import pino from 'pino';
import { systemClock } from '../../../src/bridge/clock.ts';
import { createBridgeActivities, createLetterPublisher, type TopicApi } from '../../../src/bridge/dead-letter.ts';
import type { ForwardDeadLetterInput } from '../../../src/contract/workflow-io.ts';

const INPUT: ForwardDeadLetterInput = {
  body: '{}',
  letter: {
    dlqId: 'dlq-1',
    reason: 'generation_failed',
    detail: 'never',
    source: 'workflow',
    stage: 'script_generation',
    attempts: 1,
    workflowId: 'content-request/1',
    runId: 'run-1',
    correlationId: 'c-1',
    time: '2026-11-24T09:00:00Z',
    message: { messageId: '1', publishTime: '2026-11-24T09:00:00Z', orderingKey: null, attributes: {} },
  },
};

function publishOn(publishMessage: TopicApi['publishMessage']): Promise<string> {
  const publisher = createLetterPublisher({ publishMessage }, 'content-generation-dlq', 1_000, systemClock);
  const traffic = { begin: () => () => undefined };
  const log = pino({ level: 'silent' });
  return createBridgeActivities(publisher, traffic, () => undefined, log).publishDeadLetter(INPUT);
}

const refusing = (code: number): TopicApi['publishMessage'] => {
  return () => Promise.reject(Object.assign(new Error('refused'), { code }));
};

describe("a run's letter", () => {
  it('answers with the id of the letter', async () => {
    assert.equal(await publishOn(() => Promise.resolve('17')), '17');
  });

  const troubles = [
    ['INVALID_ARGUMENT, as of a schema on the topic', 3, 'letter_refused'],
    ['NOT_FOUND', 5, 'pubsub_misconfigured'],
    ['PERMISSION_DENIED', 7, 'pubsub_misconfigured'],
    ['UNAVAILABLE', 14, 'pubsub_unavailable'],
  ] as const;
  for (const [what, code, type] of troubles) {
    it(`${what}: waits in Temporal, whatever it is`, async () => {
      await assert.rejects(publishOn(refusing(code)), (error) => {
        assert(error instanceof ApplicationFailure, String(error));
        assert.deepEqual([error.type, error.nonRetryable], [type, false]);
        return true;
      });
    });
  }
});
