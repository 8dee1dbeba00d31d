/**
 * The lines that alerts read, as the processes really write them: each code is provoked and found the way terraform's
 * filter finds it (jsonPayload.alert="<code>"), and none of them is written where all is well.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { ALERT, type AlertCode } from '../../src/contract/alert.ts';
import { rowIdOf } from '../../src/contract/identity.ts';
import { faultsAsEnv, type FaultOrder } from '../../src/dev/faults.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import type { Script } from '../../src/dev/scripted-generator.ts';
import { startDeployment, startProcess, type Deployment, type Running } from '../support/deployment.ts';
import { drain, endOfRun, requestFields, soleLetter } from '../support/e2e.ts';
import { startGateway } from '../support/e2e-gateway.ts';
import { alertLines, type Line } from '../support/log-lines.ts';
import { waitFor } from '../support/wait-for.ts';

const WORKER = path.join(projectRoot, 'src/worker/main.ts');
const TROUBLE = Object.values(ALERT).filter((code) => code !== ALERT.requestCompleted);

const linesOf = (process_: Running, code: AlertCode): Line[] => alertLines(process_.lines(), code);

function expectNone(process_: Running, codes: readonly AlertCode[]): void {
  const found = codes.flatMap((code) => linesOf(process_, code));
  assert.deepEqual(found, [], `no line of ${codes.join(', ')}`);
}

describe('lines that alerts read', function () {
  this.timeout(120_000);
  let d: Deployment;
  const running: Running[] = [];
  before(async () => {
    d = await startDeployment();
  });
  afterEach(async () => {
    for (const each of running.splice(0)) await each.stop();
  });
  after(() => d.stop());

  async function worker(script: Script = {}, faults: readonly FaultOrder[] = []): Promise<Running> {
    const started = await d.worker(script, faultsAsEnv(faults));
    running.push(started);
    return started;
  }
  async function follow(env: Readonly<Record<string, string>> = {}): Promise<Running> {
    const bridge = d.bridge(['--follow'], env);
    running.push(bridge);
    await bridge.says({ message: 'bridge polls' });
    return bridge;
  }
  /** All lines of these rows, whichever worker wrote them. */
  const endsOf = (workers: readonly Running[], code: AlertCode, rowId: string): Line[] =>
    workers.flatMap((each) => linesOf(each, code)).filter((line) => line['rowId'] === rowId);

  // Before all others: Temporal remembers who has polled for five minutes.
  it('nobody polls, and a run is open for too long: each is told by a drain, and the second by who follows, too', async () => {
    const id = 'alert-waits';
    await d.publish(requestFields(id));
    const patient = await drain(d);
    assert.equal(patient.code, 0);
    assert.equal(linesOf(patient.bridge, ALERT.noWorkerPolls).length, 1);
    // The twin: by the default limit of hours it is none.
    expectNone(patient.bridge, [ALERT.runsOpenTooLong]);

    const limit = { BRIDGE_OPEN_TOO_LONG_MS: '1000' };
    const { bridge } = await drain(d, limit);
    const [line, ...others] = linesOf(bridge, ALERT.runsOpenTooLong);
    assert.deepEqual(others, []);
    assert.equal(line?.['count'], 1);
    const follows = await follow(limit);
    await follows.says({ alert: ALERT.runsOpenTooLong });

    await worker();
    assert.equal((await endOfRun(d, rowIdOf(id))).status, 'COMPLETED');
    await waitFor('visibility knows', async () => {
      const { count } = await d.temporal.client.workflow.count("ExecutionStatus = 'Running'");
      return count === 0;
    });
    const healthy = await drain(d, limit);
    expectNone(healthy.bridge, Object.values(ALERT));
  });

  it('a request that is completed: one line, a redelivery and a copy write no second, and no trouble is told', async () => {
    const id = 'alert-completed';
    const rowId = rowIdOf(id);
    const polls = await worker();
    const messageId = await d.publish(requestFields(id));
    // It dies before the ack, so the message comes again when its lease is over.
    const first = d.bridge(['--follow'], faultsAsEnv([{ point: 'bridge.acking', action: 'kill' }]));
    assert.equal(await first.ended, 'SIGKILL');
    assert.equal((await endOfRun(d, rowId)).status, 'COMPLETED');
    const second = await follow();
    await second.says({ messageId, outcome: 'duplicate', message: 'message settled' });
    const copyId = await d.publish(requestFields(id));
    await second.says({ messageId: copyId, outcome: 'duplicate', message: 'message settled' });

    const [line, ...others] = endsOf([polls], ALERT.requestCompleted, rowId);
    assert.deepEqual(others, []);
    assert.equal(line?.['severity'], 'INFO');
    expectNone(polls, TROUBLE);
    expectNone(second, Object.values(ALERT));
  });

  it('a request that fails for good: one line, with its code, and no other trouble', async () => {
    const id = 'alert-failed';
    const rowId = rowIdOf(id);
    const polls = await worker({ [id]: [{ kind: 'permanent', code: 'never' }] });
    const bridge = await follow();
    await soleLetter(d, await d.publish(requestFields(id)), 'generation_failed');
    assert.equal((await endOfRun(d, rowId)).status, 'FAILED');
    const [line, ...others] = endsOf([polls], ALERT.requestFailed, rowId);
    assert.deepEqual(others, []);
    assert.deepEqual([line?.['code'], line?.['severity']], ['generation_failed', 'WARNING']);
    expectNone(
      polls,
      Object.values(ALERT).filter((code) => code !== ALERT.requestFailed),
    );
    expectNone(bridge, Object.values(ALERT));
  });

  it('an invalid message that ends the row that waits for it is a failed request; one that ends none is not', async () => {
    const rowId = '0f8f5b1e-3a52-4b7e-9d6b-6f0c3a1b2c3d';
    await d.query(
      `insert into content_requests (id, correlation_id, student_id, topic, status) values ($1, $2, $3, $4, 'pending')`,
      [rowId, rowId, 'student-1', 'Photosynthesis'],
    );
    const polls = await worker();
    const bridge = await follow();
    const invalid = { student_id: 'student-1', topic: ' ' };
    const messageId = await d.publish({ request_id: rowId, ...invalid });
    const ofNobody = await d.publish({ correlation_id: 'alert-nobody', ...invalid });
    await waitFor('the row fails', async () => (await d.row(rowId))?.status === 'failed');
    for (const each of [messageId, ofNobody]) await soleLetter(d, each, 'invalid_fields');
    const rejection = d.temporal.client.workflow.getHandle(`content-rejection/${ofNobody}`);
    assert.deepEqual(await rejection.result(), { outcome: 'untouched' });
    const lines = await waitFor('its line', () => {
      const found = linesOf(polls, ALERT.requestFailed);
      return found.length > 0 && found;
    });
    assert.deepEqual(
      lines.map((line) => [line['rowId'], line['messageId'], line['code']]),
      [[rowId, messageId, 'invalid_fields']],
    );
    expectNone(bridge, Object.values(ALERT));
  });

  for (const [end, code, point] of [
    ['ok', ALERT.requestCompleted, 'worker.completed'],
    ['permanent', ALERT.requestFailed, 'worker.failed'],
  ] as const) {
    it(`a write that is tried again and finds itself done (${point}) writes no second line`, async () => {
      const id = `alert-${point}`;
      const rowId = rowIdOf(id);
      // The row has ended, and its try fails before Temporal knows: the next one finds the row.
      const polls = await worker({ [id]: end === 'ok' ? [{ kind: 'ok' }] : [{ kind: 'permanent', code: 'never' }] }, [
        { point, key: rowId, action: 'throw' },
      ]);
      await follow();
      await d.publish(requestFields(id));
      assert.equal((await endOfRun(d, rowId)).status, end === 'ok' ? 'COMPLETED' : 'FAILED');
      assert.ok(
        polls.lines().some((line) => line['message'] === 'fault point' && line['point'] === point),
        'the first try has failed',
      );
      assert.equal(endsOf([polls], code, rowId).length, 1);
    });
  }

  it('a worker that reaches no database: a line for each try, at its start and in an activity; Temporal has none', async () => {
    const id = 'alert-database';
    const gateway = await startGateway(new URL(d.databaseUrl).host);
    const through = new URL(d.databaseUrl);
    through.host = gateway.address;
    const env = { ...d.env, DATABASE_URL: through.href };
    gateway.down();
    const polls = startProcess(WORKER, [], env);
    running.push(polls);
    await polls.says({ alert: ALERT.databaseConnection, message: 'the worker cannot start yet: it tries again' });
    gateway.up();
    await polls.says({ message: 'worker polls' });

    const atStart = linesOf(polls, ALERT.databaseConnection).length;
    gateway.down();
    const bridge = await follow();
    await d.publish(requestFields(id));
    await polls.says({ alert: ALERT.databaseConnection, activity: 'recordRequest' });
    assert.ok(linesOf(polls, ALERT.databaseConnection).length > atStart, 'more of them');
    gateway.up();
    assert.equal((await endOfRun(d, rowIdOf(id))).status, 'COMPLETED');
    expectNone(bridge, Object.values(ALERT));
    await polls.stop();
    await gateway.close();

    const withoutTemporal = startProcess(WORKER, [], { ...d.env, TEMPORAL_ADDRESS: '127.0.0.1:1' });
    running.push(withoutTemporal);
    await withoutTemporal.says({ message: 'the worker cannot start yet: it tries again' });
    expectNone(withoutTemporal, Object.values(ALERT));
  });

  it('a database that refuses the worker ends it, with the line', async () => {
    const url = new URL(d.databaseUrl);
    url.pathname = '/no_such_database';
    const refused = startProcess(WORKER, [], { ...d.env, DATABASE_URL: url.href });
    assert.equal(await refused.ended, 2, refused.output());
    assert.equal(linesOf(refused, ALERT.databaseConnection).length, 1);
  });

  it('many invalid messages: one line, and exit 5; a few are none', async () => {
    await worker();
    const poison = (count: number): Promise<string[]> =>
      Promise.all(Array.from({ length: count }, () => d.publish('not json')));
    await poison(3);
    const few = await drain(d);
    assert.equal(few.code, 0);
    assert.equal(few.summary['pulled'], 3);
    expectNone(few.bridge, Object.values(ALERT));
    await poison(25);
    const many = await drain(d);
    assert.equal(many.code, 5);
    assert.equal(linesOf(many.bridge, ALERT.rejections).length, 1);
  });
});
