/**
 * A run that another message has started, and that has not decided on the row yet or is ending, speaks for nobody else:
 * what comes meanwhile waits, and is judged when that run has spoken.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { rowIdOf } from '../../src/contract/message.ts';
import { faultsAsEnv } from '../../src/dev/faults.ts';
import { startDeployment, type Deployment, type Running } from '../support/deployment.ts';
import { endOfRun, requestFields, soleLetter } from '../support/e2e.ts';
import { LEASE_SECONDS } from '../support/pubsub.ts';
import { waitFor } from '../support/wait-for.ts';

/** The worker's own limit for a statement is 10 s, and an activity is tried again after 1, 2, 4 … s. */
const PATIENCE_MS = 60_000;

describe('a run that has not decided yet', function () {
  this.timeout(150_000);
  let d: Deployment;
  let bridge: Running;

  before(async () => {
    d = await startDeployment();
    // As in production: what is given back does not come again at once.
    await d.pubsub.client.subscription(d.names.subscription).setMetadata({
      ackDeadlineSeconds: LEASE_SECONDS,
      retryPolicy: { minimumBackoff: { seconds: 1 }, maximumBackoff: { seconds: 2 } },
    });
    bridge = d.bridge(['--follow']);
    await bridge.says({ message: 'bridge polls' });
  });
  after(() => d.stop());

  /** Nobody can record a row until it is called; the tests' own connection stays free. */
  async function lockTable(): Promise<() => Promise<void>> {
    const client = new pg.Client({ connectionString: d.databaseUrl });
    await client.connect();
    await client.query('begin');
    await client.query('lock table content_requests in access exclusive mode');
    return async () => {
      await client.query('commit');
      await client.end();
    };
  }

  const waits = (messageId: string): Promise<Record<string, unknown>> =>
    bridge.says({ messageId, outcome: 'run-is-undecided', message: 'message kept; will try again' });

  const completes = (rowId: string): Promise<unknown> =>
    waitFor(`${rowId} is completed`, async () => (await d.row(rowId))?.status === 'completed', PATIENCE_MS);

  const apiRow = (rowId: string, correlationId: string): Promise<unknown> =>
    d.query(
      `insert into content_requests (id, correlation_id, student_id, topic, grade_level)
       values ($1, $2, 'student-1', 'Photosynthesis', '9th Grade')`,
      [rowId, correlationId],
    );

  it("another student's message came first: the right one waits, and completes the API's row", async () => {
    const worker = await d.worker({});
    const rowId = randomUUID();
    const correlationId = `api-${rowId}`;
    await apiRow(rowId, correlationId);
    const unlock = await lockTable();
    const hostile = await d.publish(requestFields(correlationId, { request_id: rowId, student_id: 'mallory' }));
    await bridge.says({ messageId: hostile, message: 'run started' });
    const good = await d.publish(requestFields(correlationId, { request_id: rowId }));
    await waits(good);
    await unlock();
    await soleLetter(d, hostile, 'student_mismatch');
    await completes(rowId);
    assert.deepEqual(d.letters(good), []);
    await worker.stop();
  });

  it('the same content, and the first run of its row: a duplicate at once, though no worker is there', async () => {
    const id = 'first-of-its-row';
    const first = await d.publish(requestFields(id));
    // Two that are pulled together may be started in either order.
    await bridge.says({ messageId: first, message: 'run started' });
    const again = await d.publish(requestFields(id));
    await bridge.says({ messageId: again, outcome: 'duplicate', message: 'message settled' });
    assert.equal(await d.row(rowIdOf(id)), undefined);
    const worker = await d.worker({});
    await completes(rowIdOf(id));
    await worker.stop();
  });

  it('the twin: other content meets a run that owns the row and works on it: dead-lettered at once', async () => {
    const id = 'works';
    const worker = await d.worker({ [id]: [{ kind: 'hang' }] });
    await d.publish(requestFields(id));
    await waitFor('it is generated', async () => (await d.row(rowIdOf(id)))?.status === 'generating_script');
    const other = await d.publish(requestFields(id, { topic: 'Gravity' }));
    await soleLetter(d, other, 'conflicting_duplicate');
    const again = await d.publish(requestFields(id));
    await bridge.says({ messageId: again, outcome: 'duplicate', message: 'message settled' });
    await d.run(rowIdOf(id)).cancel();
    await worker.stop();
    const next = await d.worker({});
    assert.equal((await endOfRun(d, rowIdOf(id))).status, 'CANCELLED');
    await next.stop();
  });

  it('a letter that is published again meets the run of a late redelivery, which ends in silence: it has a run of its own', async () => {
    const id = 'late-and-again';
    const rowId = rowIdOf(id);
    const worker = await d.worker({ [id]: [{ kind: 'permanent', code: 'never' }, { kind: 'ok' }] });
    assert.equal(await bridge.stop(), 0);
    const first = await d.publish(requestFields(id));
    const dies = d.bridge(['--follow'], faultsAsEnv([{ point: 'bridge.acking', action: 'kill' }]));
    assert.equal(await dies.ended, 'SIGKILL');
    assert.equal((await endOfRun(d, rowId)).failure, 'generation_failed');
    const unlock = await lockTable();
    bridge = d.bridge(['--follow']);
    await bridge.says({ messageId: first, message: 'run started' });
    const letter = await soleLetter(d, first, 'generation_failed');
    const again = await d.publish(letter.body, { ...letter.attributes });
    await waits(again);
    await unlock();
    await completes(rowId);
    assert.deepEqual(d.letters(again), []);
    await worker.stop();
  });

  it('the letter of a refused request, published again before the row that waits is failed: likewise', async () => {
    const rowId = randomUUID();
    const correlationId = `refused-${rowId}`;
    await d.query('create table schools (id varchar(100) primary key)');
    await d.query(
      'alter table content_requests add constraint of_school foreign key (organization_id) references schools (id)',
    );
    await apiRow(rowId, correlationId);
    const worker = await d.worker({}, faultsAsEnv([{ point: 'worker.failing', key: rowId, action: 'hold' }]));
    const more = { request_id: rowId, organization_id: 'school-9' };
    const first = await d.publish(requestFields(correlationId, more));
    const letter = await soleLetter(d, first, 'database_rejected');
    await worker.says({ message: 'fault point', point: 'worker.failing' });
    await d.query(`insert into schools values ('school-9')`);
    const again = await d.publish(letter.body, { ...letter.attributes });
    await waits(again);
    worker.kill('SIGUSR2');
    await completes(rowId);
    assert.deepEqual(d.letters(again), []);
    await worker.stop();
    await d.query('alter table content_requests drop constraint of_school');
  });

  it('a frozen worker wakes up with the first step of a run that has failed since: the row stays with the run that has it', async () => {
    const id = 'wakes-up';
    const rowId = rowIdOf(id);
    // One slot, and it is held: no other activity goes there.
    const held = faultsAsEnv([{ point: 'worker.recording', key: rowId, action: 'hold' }]);
    const frozen = await d.worker({}, { ...held, WORKER_ACTIVITY_SLOTS: '1' });
    const first = await d.publish(requestFields(id));
    await frozen.says({ message: 'fault point', point: 'worker.recording' });
    // Its try is given up after 25 s, and made again by this one.
    const worker = await d.worker({ [id]: [{ kind: 'permanent', code: 'never' }, { kind: 'hang' }, { kind: 'ok' }] });
    const letter = await waitFor('the letter', () => d.letters(first)[0], PATIENCE_MS);
    assert.equal((await endOfRun(d, rowId)).failure, 'generation_failed');
    await d.publish(letter.body, { ...letter.attributes });
    await waitFor('a second run works', async () => (await d.row(rowId))?.status === 'generating_script', PATIENCE_MS);
    const owner = (await d.row(rowId))?.owner_token;
    frozen.kill('SIGUSR2');
    await frozen.says({ message: 'fault point released', point: 'worker.recording' });
    // Its write has been tried when it has drained.
    assert.equal(await frozen.stop(), 0);
    const row = await d.row(rowId);
    assert.deepEqual([row?.status, row?.owner_token], ['generating_script', owner]);
    await worker.stop();
    const next = await d.worker({});
    await completes(rowId);
    await next.stop();
  });

  it('nothing is left, and no letter but those', async () => {
    assert.equal(await bridge.stop(), 0);
    assert.deepEqual(await d.remaining(), []);
    const reasons = d.allLetters().map(({ attributes }) => attributes['dlq_reason']);
    assert.deepEqual(reasons.sort(), [
      'conflicting_duplicate',
      'database_rejected',
      'generation_failed',
      'generation_failed',
      'student_mismatch',
    ]);
  });
});
