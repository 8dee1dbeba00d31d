/** Bridge and worker as their platform treats them: signals, probes, flags, exit codes, the line at the end. */
import assert from 'node:assert/strict';
import getPort from 'get-port';
import { rowIdOf } from '../../src/contract/identity.ts';
import { workflowId } from '../../src/contract/names.ts';
import type { Script } from '../../src/dev/scripted-generator.ts';
import { startDeployment, type Deployment, type Running } from '../support/deployment.ts';
import {
  askHealth,
  deliveryAttempts,
  drain,
  endOfRun,
  expectNoOtherLetters,
  requestFields,
  soleLetter,
  summaryOf,
} from '../support/e2e.ts';
import { startGateway, type Gateway } from '../support/e2e-gateway.ts';
import { waitFor } from '../support/wait-for.ts';

/** Cloud Run kills ten seconds after SIGTERM; the design leaves two of them to the platform. */
const SIGTERM_LIMIT_MS = 8_000;
/** As in outages.test.ts: the emulator would hand what is given back to the pull that was cancelled. */
const ONE_SLOT = { BRIDGE_CONCURRENCY: '1' };
const ONE_MESSAGE = { BRIDGE_MAX_MESSAGES: '1' };
const HANG: Script = { drained: [{ kind: 'hang' }] };

const SECRET = 'hunter2-must-not-be-seen';
const SECRETS = { SECRET_KEY: SECRET, TEMPORAL_API_KEY: SECRET, TEMPORAL_TLS: 'false' };

const SUMMARY_FIELDS = [
  'pulled',
  'started',
  'duplicate',
  'deadLettered',
  'givenBack',
  'leftToBackstop',
  'acked',
  'ackFailures',
  'oldestAgeSeconds',
  'exitReason',
  'exitCode',
  'detail',
];

describe('processes', () => {
  let d: Deployment;
  let worker: Running;
  let workerPort: number;
  let database: Readonly<Record<string, string>>;
  const letters: string[] = [];

  before(async () => {
    d = await startDeployment();
    workerPort = await getPort({ host: '127.0.0.1' });
    await d.query(`create role worker superuser login password '${SECRET}'`);
    const url = new URL(d.databaseUrl);
    [url.username, url.password] = ['worker', SECRET];
    database = { ...SECRETS, DATABASE_URL: url.href, PORT: String(workerPort) };
    worker = await d.worker(HANG, { ...database, WORKER_SHUTDOWN_GRACE_MS: '2000' });
  });
  after(() => d.stop());
  afterEach(() => {
    expectNoOtherLetters(d, letters);
  });

  async function polling(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Running> {
    const bridge = d.bridge(args, env);
    await bridge.says({ message: 'bridge polls' });
    return bridge;
  }

  async function terminate(running: Running): Promise<{ code: number | string; tookMs: number }> {
    const startedAt = performance.now();
    running.kill('SIGTERM');
    const code = await running.ended;
    return { code, tookMs: performance.now() - startedAt };
  }

  /** Everything that it has written, at level debug: no secret, and not who the student is or what he asks. */
  function expectNothingPrivate(running: Running): void {
    const output = running.output();
    assert(output.includes('"severity":"DEBUG"'));
    for (const text of [SECRET, String(requestFields('')['student_id']), String(requestFields('')['topic'])]) {
      assert(!output.includes(text), `it has written ${text}`);
    }
  }

  describe('bridge --check', () => {
    it('exit 0 and a word where everything is there, and the waiting message is not touched', async () => {
      const messageId = await d.publish(requestFields('checked'));
      const bridge = d.bridge(['--check']);
      assert.equal(await bridge.ended, 0);
      assert.match(bridge.output(), /^preflight passed$/m);
      const next = await drain(d, ONE_MESSAGE);
      assert.deepEqual(deliveryAttempts(next.bridge, messageId), [1]);
    });

    it('exit 2 with every problem and its fix at once', async () => {
      const bridge = d.bridge(['--check'], {
        PUBSUB_SUBSCRIPTION: 'missing-sub',
        PUBSUB_DLQ_TOPIC: 'missing-dlq',
        PUBSUB_DLQ_SUBSCRIPTION: 'missing-dlq-sub',
        TEMPORAL_NAMESPACE: 'missing-namespace',
      });
      assert.equal(await bridge.ended, 2);
      const output = bridge.output();
      assert.match(output, /The bridge cannot run: 4 problems\./);
      assert.match(output, /^- .*missing-namespace.* temporal operator namespace create /m);
      assert.match(output, /^- .*missing-sub does not exist\. Run: gcloud pubsub subscriptions create missing-sub /m);
      assert.match(output, /^- .*missing-dlq does not exist\. Run: gcloud pubsub topics create missing-dlq /m);
      assert.match(output, /^- .*missing-dlq-sub .* Run: gcloud pubsub subscriptions create missing-dlq-sub /m);
      assert.doesNotMatch(output, /^\s+at /m);
    });
  });

  describe('bridge --dry-run', () => {
    it('says what would become of each message; starts nothing, acks nothing, sends no letter', async () => {
      await d.publish(requestFields('known'));
      await drain(d, ONE_MESSAGE);
      assert.equal((await endOfRun(d, rowIdOf('known'))).status, 'COMPLETED');

      const fresh = await d.publish(requestFields('fresh'));
      const duplicate = await d.publish(requestFields('known'));
      const conflict = await d.publish(requestFields('known', { topic: 'Volcanoes' }));
      const anonymous = await d.publish('not json');
      const identified = await d.publish({ correlation_id: 'poisoned' });
      const dry = d.bridge(['--dry-run']);
      assert.equal(await dry.ended, 0);
      const said = (messageId: string): string | undefined =>
        dry
          .output()
          .split('\n')
          .find((line) => line.startsWith(`${messageId} `));
      assert.match(said(fresh) ?? '', new RegExp(`start: row ${rowIdOf('fresh')}, correlation id fresh`));
      assert.match(said(duplicate) ?? '', /duplicate: .* correlation id known/);
      assert.match(said(conflict) ?? '', /dead letter conflicting_duplicate: .* correlation id known/);
      assert.match(said(anonymous) ?? '', /dead letter not_json: /);
      assert.match(said(identified) ?? '', /dead letter invalid_fields, and its row is told: student_id is required/);
      assert.match(dry.output(), /^5 messages looked at and given back/m);

      assert.equal(await d.row(rowIdOf('fresh')), undefined);
      await assert.rejects(d.run(rowIdOf('fresh')).describe(), /not found/i);
      const rejection = d.temporal.client.workflow.getHandle(workflowId.reject(identified));
      await assert.rejects(rejection.describe(), /not found/i);
      assert.deepEqual(d.allLetters(), []);

      // What it said is what becomes of them; each look has cost one delivery.
      const { bridge, summary } = await drain(d);
      const all = [fresh, duplicate, conflict, anonymous, identified];
      for (const messageId of all) assert.deepEqual(deliveryAttempts(bridge, messageId), [2], messageId);
      await soleLetter(d, conflict, 'conflicting_duplicate');
      await soleLetter(d, anonymous, 'not_json');
      await soleLetter(d, identified, 'invalid_fields');
      letters.push(conflict, anonymous, identified);
      assert.equal((await endOfRun(d, rowIdOf('fresh'))).status, 'COMPLETED');

      // One line at the end has every field, and they add up.
      assert.equal(bridge.lines().filter(({ message }) => message === 'bridge ended').length, 1);
      const { oldestAgeSeconds, ...counted } = Object.fromEntries(SUMMARY_FIELDS.map((name) => [name, summary[name]]));
      assert.deepEqual(counted, {
        pulled: 5,
        started: 1,
        duplicate: 1,
        deadLettered: { conflicting_duplicate: 1, not_json: 1, invalid_fields: 1 },
        givenBack: 0,
        leftToBackstop: 0,
        acked: 5,
        ackFailures: 0,
        exitReason: 'drained',
        exitCode: 0,
        detail: null,
      });
      assert(Number.isInteger(oldestAgeSeconds));
    });
  });

  describe('bridge, SIGTERM', () => {
    let temporal: Gateway;
    before(async () => {
      temporal = await startGateway(d.temporal.address);
    });
    after(() => temporal.close());

    it('idle in --follow: alive and ready until then, ends with exit 0', async () => {
      const port = await getPort({ host: '127.0.0.1' });
      const bridge = await polling(['--follow'], { ...SECRETS, PORT: String(port) });
      await waitFor('readiness', async () => (await askHealth(port, '/health/ready')).code === 200);
      const { code: alive, body } = await askHealth(port, '/health');
      assert.equal(alive, 200);
      assert.equal((body as { status: string }).status, 'healthy');
      await d.publish(requestFields('followed'));
      assert.equal((await endOfRun(d, rowIdOf('followed'))).status, 'COMPLETED');
      const { code, tookMs } = await terminate(bridge);
      assert.equal(code, 0);
      assert(tookMs < SIGTERM_LIMIT_MS, `${String(tookMs)} ms`);
      assert.equal(summaryOf(bridge).exitReason, 'signal');
      await assert.rejects(askHealth(port, '/health'));
      expectNothingPrivate(bridge);
    });

    it('while it still waits for Temporal in its preflight: ends with exit 0', async () => {
      temporal.down();
      const bridge = d.bridge(['--follow'], { TEMPORAL_ADDRESS: temporal.address });
      await bridge.says({ message: 'preflight: not reachable; will try again', of: 'temporal' });
      const { code, tookMs } = await terminate(bridge);
      temporal.up();
      assert.equal(code, 0);
      assert(tookMs < SIGTERM_LIMIT_MS, `${String(tookMs)} ms`);
      assert.deepEqual([summaryOf(bridge).exitReason, summaryOf(bridge)['pulled']], ['signal', 0]);
    });

    it('while a silent Temporal holds its preflight: ends with exit 0', async () => {
      temporal.stall();
      const earlier = temporal.swallowedBytes();
      const bridge = d.bridge(['--follow'], { TEMPORAL_ADDRESS: temporal.address });
      await waitFor('its first bytes', () => temporal.swallowedBytes() > earlier);
      const { code, tookMs } = await terminate(bridge);
      temporal.up();
      assert.equal(code, 0, bridge.output());
      assert(tookMs < SIGTERM_LIMIT_MS, `${String(tookMs)} ms`);
      assert.equal(summaryOf(bridge).exitReason, 'signal');
    });

    it('while a start is pending: gives the message back, ends with exit 0, nothing lost', async () => {
      const bridge = await polling([], { ...ONE_SLOT, TEMPORAL_ADDRESS: temporal.address });
      temporal.stall();
      const earlier = temporal.swallowedBytes();
      const messageId = await d.publish(requestFields('pending-at-sigterm'));
      // Bytes alone are no proof: the poll for letters, which begins with the bridge, is as large as a start.
      await bridge.says({ message: 'message pulled', messageId });
      // A start is about 800 bytes; a ping of the idle connection is 17.
      await waitFor('the start on its way', () => temporal.swallowedBytes() > earlier + 400);
      const { code, tookMs } = await terminate(bridge);
      assert.equal(code, 0);
      assert(tookMs < SIGTERM_LIMIT_MS, `${String(tookMs)} ms`);
      const { exitReason, pulled, started, acked, givenBack } = summaryOf(bridge);
      assert.deepEqual(
        { exitReason, pulled, started, acked, givenBack },
        { exitReason: 'signal', pulled: 1, started: 0, acked: 0, givenBack: 1 },
      );
      const next = await drain(d, ONE_MESSAGE);
      assert.deepEqual(deliveryAttempts(next.bridge, messageId), [2]);
      assert.equal((await endOfRun(d, rowIdOf('pending-at-sigterm'))).status, 'COMPLETED');
    });
  });

  // The last ones: they take away the worker, then the database.
  describe('worker', () => {
    it('SIGTERM in the middle of a generation: drains, exit 0; the next worker finishes, and nothing is counted', async () => {
      const rowId = rowIdOf('drained');
      await d.publish(requestFields('drained'));
      await drain(d, ONE_MESSAGE);
      await waitFor('the generation', async () => (await d.row(rowId))?.status === 'generating_script');
      assert.deepEqual(await askHealth(workerPort, '/health/ready'), {
        code: 200,
        body: { status: 'ready', checks: { polling: 'ok', database: 'ok', provider: 'ok' } },
      });
      const startedAt = performance.now();
      worker.kill('SIGTERM');
      const draining = await waitFor('no longer ready', async () => {
        const health = await askHealth(workerPort, '/health/ready');
        return health.code === 503 && health;
      });
      assert.match(JSON.stringify(draining.body), /"polling":"(stopping|draining)","database":"ok"/);
      assert.equal((await askHealth(workerPort, '/health')).code, 200, 'draining is no reason to be killed');
      assert.equal(await worker.ended, 0);
      expectNothingPrivate(worker);
      assert(performance.now() - startedAt < SIGTERM_LIMIT_MS);

      worker = await d.worker({}, database);
      assert.equal((await endOfRun(d, rowId)).status, 'COMPLETED');
      const row = await d.row(rowId);
      assert.deepEqual([row?.status, row?.retry_count], ['completed', 0]);
    });

    it('SIGTERM while Temporal does not answer: leaves in time all the same, exit 0', async () => {
      const temporal = await startGateway(d.temporal.address);
      const force = 1_500;
      const cut = await d.worker(
        {},
        {
          TEMPORAL_ADDRESS: temporal.address,
          WORKER_SHUTDOWN_GRACE_MS: '500',
          WORKER_SHUTDOWN_FORCE_MS: String(force),
        },
      );
      temporal.stall();
      const { code, tookMs } = await terminate(cut);
      assert.equal(code, 0);
      assert(tookMs < force + 1_500, `${String(tookMs)} ms`);
      await cut.says({ message: 'not stopped in time: leaving; Temporal gives the work to another worker' });
      await temporal.close();
    });

    it('is ready only while the database answers, and alive all the time', async () => {
      assert.equal((await askHealth(workerPort, '/health/ready')).code, 200);
      await d.postgres.stop();
      const lost = await waitFor('no longer ready', async () => {
        const health = await askHealth(workerPort, '/health/ready');
        return health.code === 503 && health;
      });
      assert.deepEqual(lost.body, {
        status: 'not_ready',
        checks: { polling: 'ok', database: 'no answer', provider: 'ok' },
      });
      const { code, body } = await askHealth(workerPort, '/health');
      assert.equal(code, 200);
      assert.equal((body as { status: string }).status, 'healthy');
      assert.equal(await worker.stop(), 0);
      expectNothingPrivate(worker);
    });
  });
});
