/** Whose a letter is, how it is asked for, and what is said of it. */
import assert from 'node:assert/strict';
import type { Delivery } from '../../../src/bridge/delivery.ts';
import { deadLetterAttributes, dlqIdOfMessage, dlqIdOfRun } from '../../../src/contract/dead-letter.ts';
import { rowIdOf } from '../../../src/contract/identity.ts';
import { workflowId } from '../../../src/contract/names.ts';
import { isChosen, isNamed, toLetter, UNDELIVERED } from '../../../src/letters/letter.ts';
import { jsonOf, linesOf } from '../../../src/letters/print.ts';

const SUBSCRIPTION = 'projects/p/subscriptions/letters';
const REQUEST_ID = '6f1f9f2e-7a57-4c4e-9d0b-2f3a4b5c6d7e';
const STUDENT_WORDS = 'my secret volcano';
const BODY = { correlation_id: 'c-1', student_id: 'student-1', topic: STUDENT_WORDS };

function delivery(attributes: Record<string, string>, body: object | Uint8Array = BODY): Delivery {
  return {
    ackId: 'ack',
    messageId: '900',
    publishTime: '2026-11-25T09:00:00.000000Z',
    orderingKey: null,
    attributes,
    data: body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body)),
    deliveryAttempt: 0,
  };
}

const ROW_ID = rowIdOf('c-1');
const DLQ_ID = dlqIdOfRun(workflowId.process(ROW_ID), 'run-1');

/** As a failed run writes it. */
const OF_RUN = deadLetterAttributes(
  {
    dlqId: DLQ_ID,
    reason: 'generation_failed',
    detail: 'the provider refuses',
    source: 'workflow',
    stage: 'script_generation',
    attempts: 1,
    workflowId: workflowId.process(ROW_ID),
    runId: 'run-1',
    correlationId: 'c-1',
    time: '2026-11-25T08:59:00.000Z',
    message: {
      messageId: '17',
      publishTime: '2026-11-25T08:58:00.000Z',
      orderingKey: 'key',
      attributes: { token: 'hunter2' },
    },
  },
  100,
);
const FORWARDED = {
  CloudPubSubDeadLetterSourceDeliveryCount: '100',
  CloudPubSubDeadLetterSourceSubscription: 'content-generation-sub',
};

describe('a letter', () => {
  it("of a run: its row, its reason, its message's id, its ordering key", () => {
    const letter = toLetter(delivery(OF_RUN), SUBSCRIPTION);
    const { id, isLetter, reason, rowId, correlationId, messageId, orderingKey } = letter;
    assert.deepEqual([id, isLetter, reason, messageId, orderingKey], [DLQ_ID, true, 'generation_failed', '17', 'key']);
    assert.deepEqual([rowId, correlationId], [ROW_ID, 'c-1']);
  });

  it('of an invalid message: the identity that its body tells, or none', () => {
    const attributes = Object.fromEntries(
      Object.entries(OF_RUN).filter(([key]) => key !== 'dlq_workflow_id' && key !== 'correlation_id'),
    );
    const of = (body: object | Uint8Array): (string | null)[] => {
      const { rowId, correlationId } = toLetter(delivery(attributes, body), SUBSCRIPTION);
      return [rowId, correlationId];
    };
    assert.deepEqual(of({ correlation_id: 'c-2' }), [rowIdOf('c-2'), 'c-2']);
    assert.deepEqual(of({ request_id: REQUEST_ID.toUpperCase() }), [REQUEST_ID, null]);
    assert.deepEqual(of({ request_id: 'no uuid', correlation_id: 'c-2' }), [null, null]);
    assert.deepEqual(of(Buffer.from([0xff, 0xfe])), [null, null]);
  });

  it("of Pub/Sub's own policy: an id of its own, though a replayed request brings the one of the letter before", () => {
    for (const attributes of [FORWARDED, { ...OF_RUN, ...FORWARDED }]) {
      const letter = toLetter(delivery(attributes), SUBSCRIPTION);
      assert.deepEqual([letter.isLetter, letter.reason], [true, UNDELIVERED]);
      assert.equal(letter.id, dlqIdOfMessage(SUBSCRIPTION, '900'));
      assert.equal(letter.messageId, null);
      assert.equal(letter.rowId, ROW_ID);
    }
  });

  it('is named by the beginning of its id, its row, its correlation_id, or the message that died', () => {
    const letter = toLetter(delivery(OF_RUN), SUBSCRIPTION);
    const names = [DLQ_ID, DLQ_ID.slice(0, 8).toUpperCase(), ROW_ID, ROW_ID.toUpperCase(), `{${ROW_ID}}`, 'c-1', '17'];
    for (const name of names) assert.ok(isNamed(letter, name), name);
    for (const name of [DLQ_ID.slice(0, 7), DLQ_ID.slice(1), 'c-', '1', '900', '']) {
      assert.ok(!isNamed(letter, name), `the twin: ${name}`);
    }
  });

  it('what is no letter is chosen by its name only', () => {
    const stray = toLetter(delivery({}), SUBSCRIPTION);
    const all = { who: [], reason: null, limit: 1 };
    assert.equal(isChosen(stray, all), false);
    assert.equal(isChosen(stray, { ...all, who: ['c-1'] }), true);
    const letter = toLetter(delivery(OF_RUN), SUBSCRIPTION);
    assert.equal(isChosen(letter, all), true);
    assert.equal(isChosen(letter, { ...all, reason: 'generation_failed' }), true);
    assert.equal(isChosen(letter, { ...all, reason: 'content_blocked' }), false);
    assert.equal(isChosen(letter, { who: ['c-1'], reason: 'content_blocked', limit: 1 }), false);
  });
});

describe('a letter, printed', () => {
  const shown = (attributes: Record<string, string>, body?: Uint8Array) => ({
    letter: toLetter(delivery(attributes, body), SUBSCRIPTION),
    copies: 2,
  });

  it('says who and why; words of the student and values of attributes only where bodies are asked for', () => {
    const text = linesOf(shown(OF_RUN), false).join('\n');
    const json = jsonOf(shown(OF_RUN), false);
    for (const said of [
      DLQ_ID.slice(0, 8),
      'generation_failed',
      ROW_ID,
      'c-1',
      '17',
      'the provider refuses',
      '2 copies',
    ]) {
      assert.ok(text.includes(said), said);
    }
    const fields = JSON.parse(json) as Record<string, unknown>;
    assert.equal(fields['dlq_id'], DLQ_ID);
    assert.equal(fields['row_id'], ROW_ID);
    assert.deepEqual(fields['other_attributes'], ['token']);
    for (const printed of [text, json]) assert.doesNotMatch(printed, new RegExp(`${STUDENT_WORDS}|hunter2`));
    assert.match(linesOf(shown(OF_RUN), true).join('\n'), new RegExp(STUDENT_WORDS), 'the twin');
    assert.match(jsonOf(shown(OF_RUN), true), new RegExp(STUDENT_WORDS), 'the twin');
  });

  it('a body that is no UTF-8 is base64', () => {
    const body = Buffer.from([0xff, 0x00, 0x41]);
    const fields = JSON.parse(jsonOf(shown(OF_RUN, body), true)) as Record<string, unknown>;
    assert.deepEqual(Buffer.from(String(fields['body_base64']), 'base64'), body);
    assert.ok(!('body' in fields), 'one of the two');
  });

  it("nothing that a stranger has written moves the terminal's cursor or makes a line", () => {
    const evil = 'x\u001b[2J\n\u202e\u009b31m';
    const attributes = { ...OF_RUN, dlq_detail: evil, dlq_reason: evil, dlq_workflow_id: evil, correlation_id: evil };
    const each = shown(attributes, Buffer.from(evil));
    const lines = linesOf(each, true);
    assert.equal(lines.length, 7);
    for (const line of [...lines, jsonOf(each, true)]) {
      assert.doesNotMatch(line, /[\p{Cc}\u2028\u2029\u202a-\u202e]/u, JSON.stringify(line));
    }
  });
});
