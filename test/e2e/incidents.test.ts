/**
 * The incidents of the worker before this one, each by its name: what happened then, as a test that it cannot happen
 * here. Through the product's own processes, on the emulator, Temporal and PostgreSQL.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { rowIdOf } from '../../src/contract/identity.ts';
import { STATUSES } from '../../src/contract/status.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import type { Script } from '../../src/dev/scripted-generator.ts';
import { startDeployment, startProcess, type Deployment, type Running } from '../support/deployment.ts';
import {
  deliveryAttempts,
  drain,
  endOfRun,
  expectNoOtherLetters,
  millisecondsBetween,
  requestFields,
  soleLetter,
} from '../support/e2e.ts';
import { psqlFile, withClient } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const transient = { kind: 'transient', code: 'http_500' } as const;
const HANG = { kind: 'hang' } as const;
const OK = { kind: 'ok' } as const;

const SCRIPT: Script = {
  'works-at-the-third': [transient, transient, OK],
  'never-works': [transient],
  // A generation that hangs is cut off by the worker's short GENERATOR_TIMEOUT_MS: time to change the row under it.
  'row-deleted': [HANG],
  'row-taken': [HANG],
  'row-ended-by-hand': [HANG],
};

/** What bridges of the incidents' time were sent, and could not read. */
const POISON = [
  { request_id: 'test-smoke-002', student_id: 'student-1', student_query: 'What is gravity?', grade_level: '6' },
  { request_id: '3fa4d8d8-355a-4a88-8139-a97f03358ec0', correlation_id: 'test-session11-final' },
  { request_id: 'test-dlq-routing' },
  { trigger: 'scheduler' },
];

describe('incidents', () => {
  let d: Deployment;
  let idleWindowMs: number;
  const letters: string[] = [];

  before(async () => {
    d = await startDeployment();
    idleWindowMs = Number(d.env['BRIDGE_IDLE_WINDOW_MS']);
    await d.worker(SCRIPT, { GENERATOR_TIMEOUT_MS: '1000' });
  });
  after(() => d.stop());
  afterEach(() => {
    expectNoOtherLetters(d, letters);
  });

  async function letterOf(messageId: string, reason: string): Promise<Readonly<Record<string, string>>> {
    const letter = await soleLetter(d, messageId, reason);
    letters.push(messageId);
    return letter.attributes;
  }

  /** A drain never waits longer than this once there is nothing more to do. */
  function expectPromptEnd(bridge: Running): void {
    const ran = millisecondsBetween(bridge, 'bridge polls', 'bridge ended');
    assert(ran >= idleWindowMs, `it must not leave before the idle window: ${String(ran)} ms`);
    // Three polls of slack: a busy machine is slow, a hang is not that fast.
    assert(ran <= idleWindowMs + 5_000, `${String(ran)} ms, with an idle window of ${String(idleWindowMs)} ms`);
  }

  describe('94-minute job', () => {
    it('on an empty subscription the bridge ends when its idle window is over', async () => {
      const { bridge, code, summary } = await drain(d);
      assert.deepEqual([code, summary.exitReason, summary['pulled']], [0, 'drained', 0]);
      expectPromptEnd(bridge);
    });
  });

  describe('nack loop', () => {
    it('each poison message costs one delivery, good ones beside them complete, and the job ends as soon', async () => {
      const poison = await Promise.all(POISON.map((body) => d.publish(body)));
      const good = ['beside-1', 'beside-2', 'beside-3', 'beside-4'];
      const fine = await Promise.all(good.map((correlationId) => d.publish(requestFields(correlationId))));
      const { bridge, code, summary } = await drain(d);
      assert.equal(code, 0);
      expectPromptEnd(bridge);
      for (const messageId of [...poison, ...fine])
        assert.deepEqual(deliveryAttempts(bridge, messageId), [1], messageId);
      const { pulled, started, acked, givenBack, deadLettered } = summary;
      assert.deepEqual(
        { pulled, started, acked, givenBack, deadLettered },
        { pulled: 8, started: 4, acked: 8, givenBack: 0, deadLettered: { invalid_fields: 4 } },
      );
      for (const messageId of poison) await letterOf(messageId, 'invalid_fields');
      for (const correlationId of good) {
        assert.equal((await endOfRun(d, rowIdOf(correlationId))).status, 'COMPLETED');
      }
      assert.deepEqual(await d.remaining(), []);
    });
  });

  describe('enum drift', () => {
    const worker = path.join(projectRoot, 'src/worker/main.ts');
    const DRIFTED = 'generating_script';

    it('a status that the database does not know stops the worker at its start, with its name and the fix', async () => {
      const url = await d.postgres.createDatabase('enum_drift', await d.postgres.templateDatabase());
      // What the code of that time wrote, and the database never had.
      await withClient(url, (client) =>
        client.query(`alter type content_request_status rename value '${DRIFTED}' to 'generating'`),
      );
      const started = startProcess(worker, [], { ...d.env, DATABASE_URL: url });
      assert.equal(await started.ended, 2);
      assert.match(started.output(), /the enum of content_requests\.status lacks 'generating_script'/);
      assert.match(started.output(), /mend it with: npm run migrate/);
      assert.doesNotMatch(started.output(), /^\s+at /m);
      for (const status of STATUSES.filter((each) => each !== DRIFTED)) {
        assert(!started.output().includes(`lacks '${status}'`), status);
      }
    });

    it('the fixes that it names mend it: the second one where the ledger says that all is applied', async () => {
      const url = d.postgres.url('enum_drift');
      const env = { ...d.env, DATABASE_URL: url };
      const migrate = startProcess(path.join(projectRoot, 'src/migrate/main.ts'), [], env);
      assert.equal(await migrate.ended, 0, migrate.output());
      const refused = startProcess(worker, [], env);
      assert.equal(await refused.ended, 2, 'nothing was left to apply');
      const [, file = ''] = /psql -v ON_ERROR_STOP=1 -f (\S+) "\$DATABASE_URL"/.exec(refused.output()) ?? [];
      await psqlFile(url, path.join(projectRoot, file));
      const started = startProcess(worker, [], env);
      await started.says({ message: 'worker polls' });
      assert.equal(await started.stop(), 0);
    });
  });

  describe('names drift', () => {
    it('a subscription that does not exist: exit 2 with the command that makes it', async () => {
      const bridge = d.bridge([], { PUBSUB_SUBSCRIPTION: 'content-worker-sub-dev' });
      assert.equal(await bridge.ended, 2);
      const fix = `gcloud pubsub subscriptions create content-worker-sub-dev --topic ${d.names.topic} `;
      assert(bridge.output().includes(fix), bridge.output());
      assert(bridge.output().includes(`--project ${d.pubsub.project}`), bridge.output());
    });

    it('a subscription of another topic: exit 2, both topics named, and nothing that deletes messages', async () => {
      const other = await d.pubsub.resources();
      const bridge = d.bridge([], { PUBSUB_SUBSCRIPTION: other.subscription });
      assert.equal(await bridge.ended, 2);
      assert(bridge.output().includes(`/topics/${other.topic}, not to `), bridge.output());
      assert(bridge.output().includes(`/topics/${d.names.topic}.`), bridge.output());
      assert.match(bridge.output(), /Correct the names in PUBSUB_\*; .*gcloud pubsub subscriptions create /);
      assert.doesNotMatch(bridge.output(), /delete/, 'its messages would go with it');
    });

    it('no name is guessed: without PUBSUB_SUBSCRIPTION it asks for it, exit 2', async () => {
      const env = { ...d.env, PUBSUB_SUBSCRIPTION: undefined };
      const bridge = startProcess(path.join(projectRoot, 'src/bridge/main.ts'), [], env);
      assert.equal(await bridge.ended, 2);
      assert.match(bridge.output(), /^PUBSUB_SUBSCRIPTION: is not set; .+\n$/);
    });
  });

  describe('under a bridge that stays', () => {
    let bridge: Running;

    before(async () => {
      await d.query(`
        create table seen (row_id uuid, status text, retry_count int, at timestamptz default clock_timestamp());
        create function note_seen() returns trigger language plpgsql as $$
          begin
            insert into seen values (new.id, new.status, new.retry_count);
            return new;
          end $$;
        create trigger seen after insert or update on content_requests for each row execute function note_seen()`);
      bridge = d.bridge(['--follow']);
      await bridge.says({ message: 'bridge polls' });
    });
    after(() => bridge.stop());

    async function settled(body: object | string, attributes: Record<string, string> = {}): Promise<string> {
      const messageId = await d.publish(body, attributes);
      await bridge.says({ message: 'message settled', messageId });
      return messageId;
    }

    async function generating(correlationId: string): Promise<string> {
      const rowId = rowIdOf(correlationId);
      await settled(requestFields(correlationId));
      await waitFor('the generation', async () => (await d.row(rowId))?.status === 'generating_script');
      return rowId;
    }

    describe('swallowed update', () => {
      it('row deleted under its run: the run ends Failed, row_lost', async () => {
        const rowId = await generating('row-deleted');
        await d.query('delete from content_requests where id = $1', [rowId]);
        assert.deepEqual(await endOfRun(d, rowId), { status: 'FAILED', failure: 'row_lost', benign: true });
        assert.equal(await d.row(rowId), undefined, 'it is not made again');
      });

      it('row taken by another owner: the run ends Failed, row_lost, and the row stays as it is', async () => {
        const rowId = await generating('row-taken');
        await d.query(`update content_requests set owner_token = 'somebody else' where id = $1`, [rowId]);
        const before_ = await d.row(rowId);
        assert.deepEqual(await endOfRun(d, rowId), { status: 'FAILED', failure: 'row_lost', benign: true });
        assert.deepEqual(await d.row(rowId), before_);
      });

      it('row ended by hand: the run ends Failed, row_already_terminal, and the row stays as it is', async () => {
        const rowId = await generating('row-ended-by-hand');
        await d.query(`update content_requests set status = 'cancelled' where id = $1`, [rowId]);
        const before_ = await d.row(rowId);
        assert.deepEqual(await endOfRun(d, rowId), { status: 'FAILED', failure: 'row_already_terminal', benign: true });
        assert.deepEqual(await d.row(rowId), before_);
      });
    });

    describe('completed row without a result', () => {
      it('a completed row has its script, and none can be completed without one', async () => {
        const rowId = rowIdOf('has-its-script');
        await settled(requestFields('has-its-script'));
        assert.equal((await endOfRun(d, rowId)).status, 'COMPLETED');
        const row = await d.row(rowId);
        assert.equal(row?.status, 'completed');
        assert.match(row.script_text ?? '', /Photosynthesis/);
        const emptied = d.query('update content_requests set script_text = null where id = $1', [rowId]);
        await assert.rejects(emptied, { code: '23514', constraint: 'content_requests_script_text_check' });

        await d.query(
          `insert into content_requests (id, correlation_id, student_id, topic)
           values (gen_random_uuid(), 'by-hand', 'student-1', 'Photosynthesis')`,
        );
        const complete = `update content_requests set status = 'completed', completed_at = now()`;
        const without = d.query(`${complete} where correlation_id = 'by-hand'`);
        await assert.rejects(without, { code: '23514', constraint: 'content_requests_script_text_check' });
        // And with a script it would have been completed.
        await d.query(`${complete}, script_text = 'A script' where correlation_id = 'by-hand'`);
      });
    });

    describe('failed at the first transient error', () => {
      const seen = async (rowId: string): Promise<string[]> => {
        const rows = await d.query('select status, retry_count from seen where row_id = $1 order by at', [rowId]);
        const lines = rows.map((row) => `${String(row['status'])} ${String(row['retry_count'])}`);
        return lines.filter((line, index) => line !== lines[index - 1]);
      };

      it('fails twice, then works: never failed between attempts, retry_count 1, 2, completed with 2', async () => {
        const rowId = rowIdOf('works-at-the-third');
        await settled(requestFields('works-at-the-third'));
        assert.equal((await endOfRun(d, rowId)).status, 'COMPLETED');
        assert.deepEqual(await seen(rowId), [
          'pending 0',
          'generating_script 0',
          'generating_script 1',
          'generating_script 2',
          'completed 2',
        ]);
      });

      it('never works: failed once and at the end, retry_count 5, one letter with the whole story', async () => {
        const rowId = rowIdOf('never-works');
        // A body that no JSON writer would make, so that a copy of it cannot be a rebuilt one.
        const body = `${JSON.stringify(requestFields('never-works'), null, 3)}\n\t`;
        const ordered = d.pubsub.client.topic(d.names.topic, { messageOrdering: true });
        const messageId = await ordered.publishMessage({
          data: Buffer.from(body),
          attributes: { origin: 'api', goog_like: 'gives way', dlq_stage: 'of an earlier life', dlq_replay_count: '2' },
          orderingKey: 'student-1',
        });
        await bridge.says({ message: 'message settled', messageId });
        assert.deepEqual(await endOfRun(d, rowId), { status: 'FAILED', failure: 'attempts_exhausted', benign: false });
        const { runId } = await d.run(rowId).describe();
        const row = await d.row(rowId);
        assert.deepEqual([row?.status, row?.retry_count, row?.error_stage], ['failed', 5, 'script_generation']);
        assert.deepEqual((await seen(rowId)).slice(-3), ['generating_script 4', 'generating_script 5', 'failed 5']);
        assert.equal((await seen(rowId)).filter((line) => line.startsWith('failed')).length, 1);

        const attributes = await letterOf(messageId, 'attempts_exhausted');
        assert.equal(d.letters(messageId)[0]?.body.toString(), body);
        const { dlq_id, dlq_time, dlq_publish_time, dlq_detail, ...others } = attributes;
        assert.deepEqual(others, {
          origin: 'api',
          correlation_id: 'never-works',
          dlq_reason: 'attempts_exhausted',
          dlq_source: 'workflow',
          dlq_stage: 'script_generation',
          dlq_attempts: '5',
          dlq_workflow_id: `content-request/${rowId}`,
          dlq_run_id: runId,
          dlq_message_id: messageId,
          dlq_ordering_key: 'student-1',
          dlq_replay_count: '2',
        });
        assert.match(dlq_id ?? '', /^[0-9a-f]{64}$/);
        assert.match(dlq_detail ?? '', /http_500/);
        const published = Date.parse(dlq_publish_time ?? '');
        assert(published <= Date.parse(dlq_time ?? ''), 'dead after it was published');
        await bridge.says({ message: 'dead letter of a run published', dlqId: dlq_id, reason: 'attempts_exhausted' });
      });
    });
  });
});
