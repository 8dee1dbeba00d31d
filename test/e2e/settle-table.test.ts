/**
 * What becomes of a message: the table of the design, row by row, on the emulator, Temporal and PostgreSQL, with the
 * bridge and the worker as processes of their own. Each row says four things: run, row, dead letter, message.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { dlqIdOfMessage } from '../../src/contract/dead-letter.ts';
import { rowIdOf } from '../../src/contract/identity.ts';
import { workflowId } from '../../src/contract/names.ts';
import type { Script } from '../../src/dev/scripted-generator.ts';
import { startDeployment, type Deployment, type Letter, type Running } from '../support/deployment.ts';
import { endOfRun, requestFields as request, soleLetter, type Fields } from '../support/e2e.ts';
import { forgetRun } from '../support/forget-run.ts';
import type { Row } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

const PERMANENT = { kind: 'permanent', code: 'safety_block' } as const;
const HANG = { kind: 'hang' } as const;

/** By correlation_id: what the generator does at each call. Every other request just works. */
const SCRIPT: Script = {
  'twice-bad': [{ kind: 'transient', code: 'http_500' }, { kind: 'transient', code: 'http_500' }, { kind: 'ok' }],
  'never-works': [{ kind: 'transient', code: 'http_500' }],
  'running-same': [HANG],
  'running-other': [HANG],
  'failed-late': [PERMANENT],
  'failed-again': [PERMANENT, { kind: 'ok' }],
  'failed-other-student': [PERMANENT],
  'forgotten-failed-late': [PERMANENT],
  'forgotten-failed-again': [PERMANENT, { kind: 'ok' }],
  'terminated-again': [HANG, { kind: 'ok' }],
  'cancelled-same': [HANG],
  'cancelled-other': [HANG],
  'owned-by-run': [HANG],
};

describe('the table of what becomes of a message', () => {
  let d: Deployment;
  let bridge: Running;
  /** Letters that a case has looked at; at the end there must be no others. */
  const expectedLetters: string[] = [];

  before(async () => {
    d = await startDeployment();
    await d.worker(SCRIPT);
    bridge = d.bridge(['--follow']);
    await bridge.says({ message: 'bridge polls' });
  });
  after(() => d.stop());

  /** Publishes, and waits until the bridge has acked. */
  async function settle(body: Fields | string | Buffer, attributes: Record<string, string> = {}): Promise<string> {
    const messageId = await d.publish(body, attributes);
    const line = await bridge.says({ message: 'message settled', messageId });
    assert.equal(line['deliveryAttempt'], 1);
    return messageId;
  }

  async function ended(rowId: string): Promise<string> {
    return waitFor(`the run of ${rowId} to end`, async () => {
      const { status } = await d.run(rowId).describe();
      return status.name !== 'RUNNING' && status.name;
    });
  }

  async function failureOf(rowId: string): Promise<string | undefined> {
    const error = await d
      .run(rowId)
      .result()
      .then(
        () => undefined,
        (reason: unknown) => reason as { cause?: { type?: string } },
      );
    return error?.cause?.type;
  }

  /** Publishes a request whose run is waited for; its row id. */
  async function completed(correlationId: string, more: Fields = {}): Promise<string> {
    const rowId = typeof more['request_id'] === 'string' ? more['request_id'] : rowIdOf(correlationId);
    await settle(request(correlationId, more));
    assert.equal(await ended(rowId), 'COMPLETED');
    return rowId;
  }

  async function failed(correlationId: string): Promise<string> {
    const rowId = rowIdOf(correlationId);
    const messageId = await settle(request(correlationId));
    assert.equal(await ended(rowId), 'FAILED');
    await oneLetter(messageId, 'generation_failed');
    return rowId;
  }

  async function generating(correlationId: string): Promise<string> {
    const rowId = rowIdOf(correlationId);
    await settle(request(correlationId));
    await waitFor('the generation', async () => (await d.row(rowId))?.status === 'generating_script');
    return rowId;
  }

  async function untouched(rowId: string, work: () => Promise<void>): Promise<void> {
    const before_ = await d.row(rowId);
    assert(before_);
    await work();
    assert.deepEqual(await d.row(rowId), before_);
  }

  /** The one letter of this message, with the attributes that every letter has. */
  async function oneLetter(messageId: string, reason: string): Promise<Letter> {
    const letter = await soleLetter(d, messageId, reason);
    const { attributes } = letter;
    assert.match(attributes['dlq_id'] ?? '', /^[0-9a-f]{64}$/);
    assert.match(attributes['dlq_source'] ?? '', /^(bridge|workflow)$/);
    for (const name of ['dlq_detail', 'dlq_stage', 'dlq_attempts', 'dlq_publish_time', 'dlq_time']) {
      assert(attributes[name], `the letter has no ${name}`);
    }
    assert.equal(attributes['dlq_replay_count'], '0');
    expectedLetters.push(messageId);
    return letter;
  }

  describe('valid, new', () => {
    it('a run is started, the row created and completed, no letter, acked', async () => {
      const rowId = await completed('valid-new');
      const row = await d.row(rowId);
      assert.equal(row?.status, 'completed');
      assert.match(row.script_text ?? '', /Photosynthesis/);
      assert.equal(row.retry_count, 0);
    });

    it('fails twice, then works: retry_count 2, completed', async () => {
      const row = await d.row(await completed('twice-bad'));
      assert.deepEqual([row?.status, row?.retry_count], ['completed', 2]);
    });

    it('never works: retry_count 5, failed, one letter that the bridge has published, body byte for byte', async () => {
      const body = `${JSON.stringify(request('never-works'))} \n`;
      const messageId = await settle(body, { origin: 'api' });
      const rowId = rowIdOf('never-works');
      assert.equal(await ended(rowId), 'FAILED');
      const row = await d.row(rowId);
      assert.deepEqual([row?.status, row?.retry_count, row?.error_stage], ['failed', 5, 'script_generation']);
      const letter = await oneLetter(messageId, 'attempts_exhausted');
      assert.equal(letter.body.toString(), body);
      const { attributes } = letter;
      assert.equal(attributes['origin'], 'api');
      assert.equal(attributes['dlq_source'], 'workflow');
      assert.equal(attributes['dlq_attempts'], '5');
      assert.equal(attributes['dlq_workflow_id'], workflowId.process(rowId));
      assert.equal(attributes['correlation_id'], 'never-works');
      await bridge.says({ message: 'dead letter of a run published', correlation_id: 'never-works' });
    });
  });

  describe('same content', () => {
    it('run running: no new run, row untouched, no letter, acked as a duplicate', async () => {
      const rowId = await generating('running-same');
      const { runId } = await d.run(rowId).describe();
      await untouched(rowId, async () => {
        const messageId = await settle(request('running-same'));
        await bridge.says({ messageId, message: 'duplicate: the run exists with the same content' });
      });
      assert.equal((await d.run(rowId).describe()).runId, runId);
      await d.run(rowId).terminate('the test is over');
    });

    it('run completed: no new run, row untouched, no letter, acked as a duplicate', async () => {
      const rowId = await completed('completed-same');
      const { runId } = await d.run(rowId).describe();
      await untouched(rowId, async () => {
        const messageId = await settle(request('completed-same'));
        await bridge.says({ messageId, message: 'duplicate: the run exists with the same content' });
      });
      assert.equal((await d.run(rowId).describe()).runId, runId);
    });
  });

  describe('other content', () => {
    for (const state of ['running', 'completed'] as const) {
      it(`run ${state}: row untouched, letter conflicting_duplicate by the bridge, then acked`, async () => {
        const rowId = state === 'running' ? await generating('running-other') : await completed('completed-other');
        await untouched(rowId, async () => {
          const body = JSON.stringify(request(`${state}-other`, { topic: 'Volcanoes' }));
          const messageId = await settle(body);
          const letter = await oneLetter(messageId, 'conflicting_duplicate');
          assert.equal(letter.body.toString(), body);
          assert.equal(letter.attributes['dlq_source'], 'bridge');
          const subscription = `projects/${d.pubsub.project}/subscriptions/${d.names.subscription}`;
          assert.equal(letter.attributes['dlq_id'], dlqIdOfMessage(subscription, messageId));
        });
        if (state === 'running') await d.run(rowId).terminate('the test is over');
      });
    }
  });

  describe('earlier run failed, terminated or timed out', () => {
    /** A redelivery comes with the time of its first publication; the emulator makes it now, so the row is dated. */
    const failLater = (rowId: string): Promise<unknown> =>
      d.query(`update content_requests set failed_at = now() + interval '1 hour' where id = $1`, [rowId]);

    it('a late redelivery: the new run ends Failed as Duplicate, row untouched, no letter', async () => {
      const rowId = await failed('failed-late');
      await failLater(rowId);
      await untouched(rowId, async () => {
        await settle(request('failed-late'));
        assert.deepEqual(await endOfRun(d, rowId), { status: 'FAILED', failure: 'Duplicate', benign: true });
      });
    });

    it('published again after it failed: taken over with any content, completed', async () => {
      const rowId = await failed('failed-again');
      await settle(request('failed-again', { topic: 'Volcanoes' }));
      assert.equal(await ended(rowId), 'COMPLETED');
      const row = await d.row(rowId);
      assert.deepEqual([row?.status, row?.topic, row?.error_message], ['completed', 'Volcanoes', null]);
    });

    it('published again by another student: student_mismatch, row untouched', async () => {
      const rowId = await failed('failed-other-student');
      await untouched(rowId, async () => {
        const messageId = await settle(request('failed-other-student', { student_id: 'student-2' }));
        assert.equal(await ended(rowId), 'FAILED');
        assert.equal(await failureOf(rowId), 'student_mismatch');
        await oneLetter(messageId, 'student_mismatch');
      });
    });

    it('row failed, no run in retention: a late redelivery is Duplicate, a new message is processed', async () => {
      const late = await failed('forgotten-failed-late');
      await failLater(late);
      await forgetRun(d.temporal.client, workflowId.process(late));
      await untouched(late, async () => {
        await settle(request('forgotten-failed-late'));
        assert.deepEqual(await endOfRun(d, late), { status: 'FAILED', failure: 'Duplicate', benign: true });
      });

      const again = await failed('forgotten-failed-again');
      await forgetRun(d.temporal.client, workflowId.process(again));
      await settle(request('forgotten-failed-again'));
      assert.equal(await ended(again), 'COMPLETED');
      assert.equal((await d.row(again))?.status, 'completed');
    });

    it('terminated, its row left half-way: a new run takes the row over and completes it', async () => {
      const rowId = await generating('terminated-again');
      await d.run(rowId).terminate('by an operator');
      assert.equal((await d.row(rowId))?.status, 'generating_script');
      await settle(request('terminated-again'));
      assert.equal(await ended(rowId), 'COMPLETED');
      assert.equal((await d.row(rowId))?.status, 'completed');
    });
  });

  describe('row completed, no run in retention', () => {
    it('same content: the run ends Completed as duplicate, row untouched, no letter', async () => {
      const rowId = await completed('forgotten-same');
      await forgetRun(d.temporal.client, workflowId.process(rowId));
      await untouched(rowId, async () => {
        await settle(request('forgotten-same'));
        assert.deepEqual(await d.run(rowId).result(), { outcome: 'duplicate', rowId });
      });
    });

    it('other content: the run ends Failed with a letter, row untouched', async () => {
      const rowId = await completed('forgotten-other');
      await forgetRun(d.temporal.client, workflowId.process(rowId));
      await untouched(rowId, async () => {
        const messageId = await settle(request('forgotten-other', { topic: 'Volcanoes' }));
        assert.equal(await ended(rowId), 'FAILED');
        await oneLetter(messageId, 'conflicting_duplicate');
      });
    });
  });

  describe('row cancelled', () => {
    async function cancelled(correlationId: string): Promise<string> {
      const rowId = await generating(correlationId);
      await d.run(rowId).cancel();
      assert.equal(await ended(rowId), 'CANCELLED');
      assert.equal((await d.row(rowId))?.status, 'cancelled');
      return rowId;
    }

    it('same content: the run ends Completed as duplicate; cancelled is final', async () => {
      const rowId = await cancelled('cancelled-same');
      await untouched(rowId, async () => {
        await settle(request('cancelled-same'));
        assert.equal(await ended(rowId), 'COMPLETED');
        assert.deepEqual(await d.run(rowId).result(), { outcome: 'duplicate', rowId });
      });
    }).timeout(90_000);

    it('other content: Failed with a letter', async () => {
      const rowId = await cancelled('cancelled-other');
      await untouched(rowId, async () => {
        const messageId = await settle(request('cancelled-other', { topic: 'Volcanoes' }));
        assert.equal(await ended(rowId), 'FAILED');
        await oneLetter(messageId, 'conflicting_duplicate');
      });
    }).timeout(90_000);
  });

  describe('row pending, made by the API', () => {
    async function pending(more: Partial<Row> = {}): Promise<{ rowId: string; correlationId: string }> {
      const rowId = randomUUID();
      const correlationId = `req_${rowId.slice(0, 8)}`;
      await d.query(
        `insert into content_requests (id, correlation_id, student_id, topic, grade_level)
         values ($1, $2, $3, 'How do cells divide?', 'None')`,
        [rowId, correlationId, more.student_id ?? 'student-1'],
      );
      return { rowId, correlationId };
    }
    const api = (rowId: string, correlationId: string, more: Fields = {}): Fields => ({
      request_id: rowId.toUpperCase(),
      correlation_id: correlationId,
      student_id: 'student-1',
      student_query: 'How do cells divide?',
      grade_level: null,
      ...more,
    });

    it('student, text and grade agree: taken over and completed', async () => {
      const { rowId, correlationId } = await pending();
      await settle(api(rowId, correlationId));
      assert.equal(await ended(rowId), 'COMPLETED');
      assert.equal((await d.row(rowId))?.status, 'completed');
    });

    it('another text: the run fails with a letter conflicting_duplicate, row untouched', async () => {
      const { rowId, correlationId } = await pending();
      await untouched(rowId, async () => {
        const messageId = await settle(api(rowId, correlationId, { student_query: 'What is a cell?' }));
        assert.equal(await ended(rowId), 'FAILED');
        await oneLetter(messageId, 'conflicting_duplicate');
      });
    });

    it("another student's row: student_mismatch, row untouched", async () => {
      const { rowId, correlationId } = await pending({ student_id: 'student-2' });
      await untouched(rowId, async () => {
        const messageId = await settle(api(rowId, correlationId));
        assert.equal(await ended(rowId), 'FAILED');
        await oneLetter(messageId, 'student_mismatch');
      });
    });

    it('correlation_id of another row: correlation_id_taken, that row untouched, none created', async () => {
      const { rowId, correlationId } = await pending();
      const other = randomUUID();
      await untouched(rowId, async () => {
        const messageId = await settle(api(other, correlationId));
        assert.equal(await ended(other), 'FAILED');
        await oneLetter(messageId, 'correlation_id_taken');
      });
      assert.equal(await d.row(other), undefined);
    });

    for (const by of ['request_id', 'correlation_id'] as const) {
      it(`an invalid message that names it by ${by}: failed in validation, letter, no run of its own`, async () => {
        const { rowId, correlationId } = await pending();
        const identity = by === 'request_id' ? { request_id: rowId } : { correlation_id: correlationId };
        const messageId = await settle(JSON.stringify({ ...identity, topic: 'x'.repeat(501) }));
        await oneLetter(messageId, 'invalid_fields');
        const rejection = d.temporal.client.workflow.getHandle(workflowId.reject(messageId));
        assert.deepEqual(await rejection.result(), { outcome: 'failed' });
        const row = await d.row(rowId);
        assert.deepEqual([row?.status, row?.error_stage, row?.retry_count], ['failed', 'validation', 0]);
        assert.match(row?.error_message ?? '', /topic must have 1 to 500 .*; student_id is required/);
        await assert.rejects(d.run(rowId).describe(), /not found/i);

        // The valid one that comes after it, whenever it was published, is processed.
        await settle(api(rowId, correlationId));
        assert.equal(await ended(rowId), 'COMPLETED');
      });
    }
  });

  describe('invalid', () => {
    const rows = async (): Promise<number> =>
      Number((await d.query('select count(*) as count from content_requests'))[0]?.['count']);

    it('the row it names is owned by a run: letter, row untouched', async () => {
      const rowId = await generating('owned-by-run');
      await untouched(rowId, async () => {
        const messageId = await settle(JSON.stringify({ correlation_id: 'owned-by-run', student_id: 7 }));
        await oneLetter(messageId, 'invalid_fields');
        const rejection = d.temporal.client.workflow.getHandle(workflowId.reject(messageId));
        assert.deepEqual(await rejection.result(), { outcome: 'untouched' });
      });
      await d.run(rowId).terminate('the test is over');
    });

    const invalid: readonly { what: string; body: Buffer; reason: string }[] = [
      { what: 'not JSON', body: Buffer.from('{"correlation_id": '), reason: 'not_json' },
      { what: 'not UTF-8', body: Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), reason: 'not_utf8' },
      { what: 'no object', body: Buffer.from('[1]'), reason: 'not_an_object' },
      { what: 'no identity', body: Buffer.from('{"trigger":"scheduler"}'), reason: 'invalid_fields' },
      {
        what: 'a wrong request_id beside a good correlation_id',
        body: Buffer.from(JSON.stringify(request('beside', { request_id: 'invalid-uuid' }))),
        reason: 'invalid_fields',
      },
      {
        what: 'over 512 KiB',
        body: Buffer.from(JSON.stringify(request('too-large', { padding: 'x'.repeat(512 * 1024) }))),
        reason: 'too_large',
      },
    ];
    for (const { what, body, reason } of invalid) {
      it(`${what}: letter ${reason} with the body byte for byte, no row, acked at its first delivery`, async () => {
        const count = await rows();
        const messageId = await settle(body, { trace: 'kept' });
        const letter = await oneLetter(messageId, reason);
        assert(letter.body.equals(body));
        assert.equal(letter.attributes['trace'], 'kept');
        assert.equal(letter.attributes['dlq_source'], 'bridge');
        assert.equal(await rows(), count);
      });
    }
  });

  // A suite's own tests run before those of the suites inside it.
  describe('in the end', () => {
    it('no letter that no row of the table has asked for, and nothing left in the subscription', async () => {
      assert.equal(await bridge.stop(), 0);
      assert.deepEqual(await d.remaining(), []);
      const open =
        await d.query(`select correlation_id from content_requests where owner_token is not null and status not in
      ('completed', 'failed', 'cancelled') and correlation_id not in ('running-same', 'running-other', 'owned-by-run')`);
      assert.deepEqual(open, []);
      await waitFor('no run to be open', async () => {
        return (await d.temporal.client.workflow.count(`ExecutionStatus = 'Running'`)).count === 0;
      });
      const unexpected = d
        .allLetters()
        .filter((letter) => !expectedLetters.includes(letter.attributes['dlq_message_id'] ?? ''));
      assert.deepEqual(
        unexpected.map(({ attributes }) => attributes['dlq_reason']),
        [],
      );
      const settled = bridge.lines().filter(({ message }) => message === 'message settled');
      assert.equal(new Set(settled.map(({ messageId }) => messageId)).size, settled.length, 'each was delivered once');
    });
  });
});
