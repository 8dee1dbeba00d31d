/** A letter that is published again while its run has not ended yet, and a redelivery at the same moment. */
import assert from 'node:assert/strict';
import { rowIdOf } from '../../src/contract/message.ts';
import { faultsAsEnv } from '../../src/dev/faults.ts';
import { startDeployment, type Deployment, type Running } from '../support/deployment.ts';
import { endOfRun, expectNoOtherLetters, requestFields, soleLetter } from '../support/e2e.ts';
import { waitFor } from '../support/wait-for.ts';

describe('the end of a failing run', function () {
  this.timeout(120_000);
  let d: Deployment;
  before(async () => {
    d = await startDeployment();
  });
  after(() => d.stop());

  /** Its letter goes out, and its row cannot be written until SIGUSR2: as when PostgreSQL is away at that moment. */
  const heldWorker = (id: string): Promise<Running> =>
    d.worker(
      { [id]: [{ kind: 'permanent', code: 'never' }, { kind: 'ok' }] },
      faultsAsEnv([{ point: 'worker.failing', key: rowIdOf(id), action: 'hold' }]),
    );

  it('a letter that is published again before the row is written is kept, and then has a run of its own', async () => {
    const id = 'letter-again';
    const rowId = rowIdOf(id);
    const worker = await heldWorker(id);
    const bridge = d.bridge(['--follow']);
    const messageId = await d.publish(requestFields(id));
    const letter = await soleLetter(d, messageId, 'generation_failed');
    await worker.says({ message: 'fault point', point: 'worker.failing' });
    assert.equal((await d.row(rowId))?.status, 'generating_script');

    const againId = await d.publish(letter.body, { ...letter.attributes });
    await bridge.says({ messageId: againId, outcome: 'run-is-undecided', message: 'message kept; will try again' });
    worker.kill('SIGUSR2');
    await waitFor('the row is completed', async () => (await d.row(rowId))?.status === 'completed');
    assert.deepEqual(await endOfRun(d, rowId), { status: 'COMPLETED', failure: null, benign: false });
    expectNoOtherLetters(d, [messageId]);
    assert.equal(await bridge.stop(), 0);
    assert.equal(await worker.stop(), 0);
    assert.deepEqual(await d.remaining(), []);
  });

  it('the twin: a redelivery of the message itself is a duplicate, acked, and starts nothing', async () => {
    const id = 'redelivered-at-the-end';
    const rowId = rowIdOf(id);
    const messageId = await d.publish(requestFields(id));
    // It dies before the ack, so the message comes again when its lease is over.
    const first = d.bridge(['--follow'], faultsAsEnv([{ point: 'bridge.acking', action: 'kill' }]));
    assert.equal(await first.ended, 'SIGKILL');
    // Only now, or the letter would be in the hands of the bridge that died, for the 60 s of its activity.
    const worker = await heldWorker(id);
    const second = d.bridge(['--follow']);
    await soleLetter(d, messageId, 'generation_failed');
    await worker.says({ message: 'fault point', point: 'worker.failing' });
    await second.says({ messageId, outcome: 'duplicate', message: 'message settled' });
    worker.kill('SIGUSR2');
    assert.deepEqual(await endOfRun(d, rowId), { status: 'FAILED', failure: 'generation_failed', benign: false });
    assert.equal((await d.row(rowId))?.status, 'failed');
    assert.equal(await second.stop(), 0);
    assert.equal(await worker.stop(), 0);
    assert.deepEqual(await d.remaining(), []);
  });
});
