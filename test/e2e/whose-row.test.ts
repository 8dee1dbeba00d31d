/**
 * Whose row a message may touch: the rows of the table on identity, for every status, and what an invalid message may
 * do to the row that it names. Beside settle-table.test.ts, which goes through the table in its order.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { dlqIdOfMessage } from '../../src/contract/dead-letter.ts';
import { parse } from '../../src/contract/message.ts';
import { WORKFLOW, NAMES, workflowId } from '../../src/contract/names.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/contract/retry-policy.ts';
import { STATUSES, type Status } from '../../src/contract/status.ts';
import type { ProcessInput } from '../../src/contract/workflow-io.ts';
import type { Script } from '../../src/dev/scripted-generator.ts';
import { startDeployment, type Deployment, type Running } from '../support/deployment.ts';
import {
  deliveryAttempts,
  endOfRun,
  expectNoOtherLetters,
  requestFields,
  soleLetter,
  type Fields,
} from '../support/e2e.ts';
import { waitFor } from '../support/wait-for.ts';

const SCRIPT: Script = { 'timed-out': [{ kind: 'hang' }, { kind: 'ok' }], owned: [{ kind: 'hang' }] };

describe('whose row a message may touch', () => {
  let d: Deployment;
  let bridge: Running;
  const letters: string[] = [];

  before(async () => {
    d = await startDeployment();
    // The hanging generations need no patience at the end.
    await d.worker(SCRIPT, { WORKER_SHUTDOWN_GRACE_MS: '100' });
    bridge = d.bridge(['--follow']);
    await bridge.says({ message: 'bridge polls' });
  });
  after(() => d.stop());
  afterEach(() => {
    expectNoOtherLetters(d, letters);
  });

  /** Publishes, and waits until the bridge has acked; the message was delivered once. */
  async function settled(body: Fields): Promise<string> {
    const messageId = await d.publish(body);
    await bridge.says({ message: 'message settled', messageId });
    assert.deepEqual(deliveryAttempts(bridge, messageId), [1]);
    return messageId;
  }

  /** The letter, with the body byte for byte. */
  async function letterOf(messageId: string, reason: string, body: Fields): Promise<Readonly<Record<string, string>>> {
    const letter = await soleLetter(d, messageId, reason);
    letters.push(messageId);
    assert.equal(letter.body.toString(), JSON.stringify(body));
    return letter.attributes;
  }

  async function untouched(rowId: string, work: () => Promise<void>): Promise<void> {
    const before_ = await d.row(rowId);
    assert(before_);
    await work();
    assert.deepEqual(await d.row(rowId), before_);
  }

  /** A row as another program may have left it: no run owns it. */
  async function insertRow(status: Status, studentId: string): Promise<{ rowId: string; correlationId: string }> {
    const rowId = randomUUID();
    const correlationId = `${status}-${rowId.slice(0, 8)}`;
    const completed = status === 'completed';
    const failed = status === 'failed';
    await d.query(
      `insert into content_requests
         (id, correlation_id, student_id, topic, grade_level, status, completed_at, script_text, failed_at, error_stage)
       values ($1, $2, $3, 'Photosynthesis', '9th Grade', $4, $5, $6, $7, $8)`,
      [
        rowId,
        correlationId,
        studentId,
        status,
        completed ? new Date() : null,
        completed ? 'A script' : null,
        failed ? new Date() : null,
        failed ? 'script_generation' : null,
      ],
    );
    return { rowId, correlationId };
  }

  const naming = (rowId: string, correlationId: string): Fields => requestFields(correlationId, { request_id: rowId });

  describe('the row, whatever its status, of another student', () => {
    for (const status of STATUSES) {
      it(`${status}: the run fails, row untouched, letter student_mismatch`, async () => {
        const { rowId, correlationId } = await insertRow(status, 'student-2');
        await untouched(rowId, async () => {
          const body = naming(rowId, correlationId);
          const messageId = await settled(body);
          assert.deepEqual(await endOfRun(d, rowId), { status: 'FAILED', failure: 'student_mismatch', benign: false });
          await letterOf(messageId, 'student_mismatch', body);
        });
      });
    }

    it('and the same message would have been processed, were the row its own', async () => {
      const { rowId, correlationId } = await insertRow('validating', 'student-1');
      await settled(naming(rowId, correlationId));
      assert.equal((await endOfRun(d, rowId)).status, 'COMPLETED');
      assert.equal((await d.row(rowId))?.status, 'completed');
    });
  });

  describe('earlier run timed out', () => {
    it('a new run takes over the row that it left half-way', async () => {
      const body = requestFields('timed-out');
      const parsed = parse(Buffer.from(JSON.stringify(body)), {});
      assert(parsed.kind === 'request');
      const { request, contentHash } = parsed;
      const source = { messageId: 'by-hand', publishTime: new Date().toISOString(), orderingKey: null, attributes: {} };
      const input: ProcessInput = {
        request,
        contentHash,
        source: { ...source, body: parsed.body },
        retry: DEFAULT_RETRY_POLICY,
      };
      // The bridge sets no timeout; somebody who starts a run by hand may.
      await d.temporal.client.workflow.start(WORKFLOW.process, {
        taskQueue: NAMES.taskQueue,
        workflowId: workflowId.process(request.rowId),
        workflowRunTimeout: '2 seconds',
        args: [input],
      });
      await waitFor('the generation', async () => (await d.row(request.rowId))?.status === 'generating_script');
      assert.equal((await endOfRun(d, request.rowId)).status, 'TIMED_OUT');
      await settled(body);
      assert.equal((await endOfRun(d, request.rowId)).status, 'COMPLETED');
      assert.equal((await d.row(request.rowId))?.status, 'completed');
    });
  });

  describe('an invalid message', () => {
    /** Without a student it is invalid, whatever else it says. */
    const rejection = (messageId: string) => d.temporal.client.workflow.getHandle(workflowId.reject(messageId));

    for (const by of ['request_id', 'correlation_id'] as const) {
      it(`by a ${by} that no row has: letter, its rejection ends untouched, no row is created`, async () => {
        const identity = randomUUID();
        const body = { [by]: identity, topic: 'Photosynthesis' };
        const messageId = await settled(body);
        const attributes = await letterOf(messageId, 'invalid_fields', body);
        assert.equal(attributes['dlq_detail'], 'student_id is required');
        assert.deepEqual(await rejection(messageId).result(), { outcome: 'untouched' });
        const rows = await d.query('select id from content_requests where id::text = $1 or correlation_id = $1', [
          identity,
        ]);
        assert.deepEqual(rows, []);
      });
    }

    it('by the request_id of one row and the correlation_id of another: only the first is told', async () => {
      const named = await insertRow('pending', 'student-1');
      const other = await insertRow('pending', 'student-1');
      await untouched(other.rowId, async () => {
        const body = { request_id: named.rowId, correlation_id: other.correlationId };
        const messageId = await settled(body);
        await letterOf(messageId, 'invalid_fields', body);
        assert.deepEqual(await rejection(messageId).result(), { outcome: 'failed' });
      });
      const row = await d.row(named.rowId);
      assert.deepEqual([row?.status, row?.error_stage], ['failed', 'validation']);
      assert.deepEqual(row?.error_details?.['code'], 'invalid_fields');
    });

    it('by the request_id of a row that a run owns: row and run untouched', async () => {
      const valid = requestFields('owned', { request_id: randomUUID() });
      const rowId = String(valid['request_id']);
      await settled(valid);
      await waitFor('the generation', async () => (await d.row(rowId))?.status === 'generating_script');
      await untouched(rowId, async () => {
        const body = { request_id: rowId };
        const messageId = await settled(body);
        await letterOf(messageId, 'invalid_fields', body);
        assert.deepEqual(await rejection(messageId).result(), { outcome: 'untouched' });
      });
      assert.equal((await d.run(rowId).describe()).status.name, 'RUNNING');
      await d.run(rowId).terminate('the test is over');
    });

    it('with nobody to tell: a letter with these attributes and no others, no run', async () => {
      const body = { trigger: 'scheduler' };
      const messageId = await settled(body);
      const { dlq_time, dlq_publish_time, ...others } = await letterOf(messageId, 'invalid_fields', body);
      assert.deepEqual(others, {
        dlq_id: dlqIdOfMessage(`projects/${d.pubsub.project}/subscriptions/${d.names.subscription}`, messageId),
        dlq_reason: 'invalid_fields',
        dlq_detail:
          'correlation_id is required where request_id is absent; student_id is required; topic is required where student_query is absent',
        dlq_source: 'bridge',
        dlq_stage: 'validation',
        dlq_attempts: '0',
        dlq_message_id: messageId,
        dlq_replay_count: '0',
      });
      assert(Date.parse(dlq_publish_time ?? '') <= Date.parse(dlq_time ?? ''));
      await assert.rejects(rejection(messageId).describe(), /not found/i);
    });
  });

  // A suite's own tests run before those of the suites inside it.
  describe('in the end', () => {
    it('nothing is left in the subscription', async () => {
      assert.equal(await bridge.stop(), 0);
      assert.deepEqual(await d.remaining(), []);
    });
  });
});
