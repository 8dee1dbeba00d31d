/**
 * An operator's cancel, terminate and reset, at every point of a run. All runs are brought to their points and held in
 * one worker; the operator acts on each; only then are they let go, so that every write comes from a run that has been
 * acted upon: what it finds is its fence.
 */
import assert from 'node:assert/strict';
import { rowIdOf } from '../../src/contract/identity.ts';
import { workflowId } from '../../src/contract/names.ts';
import { faultsAsEnv, type FaultOrder } from '../../src/dev/faults.ts';
import type { FaultPoint } from '../../src/fault-points.ts';
import { startDeployment, type Deployment, type Running } from '../support/deployment.ts';
import { endOfRun, requestFields, type Fields } from '../support/e2e.ts';
import { brokenPromises, factsOf, openRuns, type Due } from '../support/kept-promise.ts';
import { startMediaProvider, type MediaProvider } from '../support/media-provider.ts';
import { SECRET_KEY } from '../support/provider-config.ts';
import { resetRun } from '../support/reset-run.ts';
import type { Answer } from '../support/scripted-server.ts';
import type { Row } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

/** A terminated run leaves its row to the one that the message starts when it is published again. */
const OVERLAPS = 'terminate, and let go while the next run works';
const ACTS = ['cancel', 'terminate', 'reset to the start', 'reset to the last step'] as const;
type Act = (typeof ACTS)[number] | typeof OVERLAPS;

/** How it ends; of a terminated run: how the one ends that its message, published again, starts. */
interface End {
  readonly run: 'COMPLETED' | 'CANCELLED' | 'FAILED';
  readonly failure: string | null;
  readonly row: Due['status'];
  readonly ends?: Due['ends'];
  readonly letter: string | null;
  /** Paid calls. */
  readonly script: number;
  readonly video: number;
}

const completed = (script: number, video = 0): End => ({
  run: 'COMPLETED',
  failure: null,
  row: 'completed',
  letter: null,
  script,
  video,
});
const cancelled = (script: number, video = 0): End => ({
  ...completed(script, video),
  run: 'CANCELLED',
  row: 'cancelled',
});
const failed = (script: number): End => ({
  ...completed(script),
  run: 'FAILED',
  failure: 'generation_failed',
  row: 'failed',
  letter: 'generation_failed',
});
/** The row had ended; nothing is done again, and nobody is told twice. */
const refused = (end: End): End => ({ ...end, run: 'FAILED', failure: 'row_already_terminal' });

interface Place {
  /** Null = it waits there by itself, or has ended. */
  readonly point: FaultPoint | null;
  readonly is: 'held' | 'waiting to try again' | 'waiting for a medium' | 'ended';
  readonly more?: Fields;
  readonly script?: readonly Answer[];
  readonly video?: readonly Answer[];
  readonly looks?: readonly Answer[];
  /** What the row says at that moment, and goes on saying while nobody works on it. */
  readonly row: string;
  readonly ends: Readonly<Partial<Record<Act, End>>>;
}

const WELL: Answer = { status: 200, body: { script_text: 'A lesson.', offers: ['video'] } };
/** Which answer a row holds, tells which run has written it. */
const OTHER: Answer = { status: 200, body: { script_text: 'Another lesson.', offers: ['video'] } };
const REFUSED: Answer = { status: 422, body: { code: 'no_such_topic' } };
/** Longer than it takes to act upon all, short enough to be waited for once more. */
const AWAY: Answer = { status: 503, headers: { 'retry-after': '20' } };
const MADE: Answer = { status: 200, body: { url: 'https://cdn.example/v' } };
const AGAIN = { 'retry-after': '1' };
const TAKEN: Answer = { status: 202, body: {}, headers: AGAIN };
const VIDEO = { requested_modalities: ['video'] };

/**
 * Where a script is paid for twice, its first answer was in the run that the operator ended, or in the activity that was
 * let go after it: nothing but that run's history had it.
 */
const PLACES: Readonly<Record<string, Place>> = {
  recorded: {
    point: 'worker.recorded',
    is: 'held',
    row: 'pending',
    ends: {
      cancel: cancelled(0),
      terminate: completed(1),
      'reset to the start': completed(1),
      'reset to the last step': completed(1),
    },
  },
  generating: {
    point: 'worker.generating',
    is: 'held',
    row: 'generating_script',
    ends: {
      // The activity is past the look at its row: the call goes out, and its answer finds nobody.
      cancel: cancelled(1),
      terminate: completed(2),
      'reset to the start': completed(2),
      'reset to the last step': completed(2),
    },
  },
  generated: {
    point: 'worker.generated',
    is: 'held',
    row: 'generating_script',
    ends: {
      cancel: cancelled(1),
      terminate: completed(2),
      'reset to the start': completed(2),
      'reset to the last step': completed(2),
    },
  },
  'script stored': {
    point: 'worker.script-stored',
    is: 'held',
    more: VIDEO,
    video: [MADE],
    row: 'generating_script',
    ends: {
      cancel: cancelled(1),
      terminate: completed(2, 1),
      'reset to the start': completed(2, 1),
      'reset to the last step': completed(1, 1),
    },
  },
  'medium answered': {
    point: 'worker.medium-answered',
    is: 'held',
    more: VIDEO,
    video: [MADE],
    row: 'generating_video',
    ends: {
      cancel: cancelled(1, 1),
      terminate: completed(2, 2),
      [OVERLAPS]: completed(2, 2),
      'reset to the start': completed(2, 2),
      'reset to the last step': completed(1, 2),
    },
  },
  completing: {
    point: 'worker.completing',
    is: 'held',
    row: 'generating_script',
    ends: {
      // It is paid for: too late to be cancelled.
      cancel: completed(1),
      terminate: completed(2),
      [OVERLAPS]: completed(2),
      'reset to the start': completed(2),
      'reset to the last step': completed(1),
    },
  },
  'row completed': {
    point: 'worker.completed',
    is: 'held',
    row: 'completed',
    ends: {
      cancel: completed(1),
      // A duplicate: the row has ended with the same content.
      terminate: completed(1),
      'reset to the start': refused(completed(1)),
      'reset to the last step': completed(1),
    },
  },
  failing: {
    point: 'worker.failing',
    is: 'held',
    script: [REFUSED],
    row: 'generating_script',
    ends: {
      cancel: failed(1),
      // The letter of the first message was out before.
      terminate: { ...completed(2), letter: 'generation_failed' },
      [OVERLAPS]: { ...completed(2), letter: 'generation_failed' },
      'reset to the start': failed(2),
      'reset to the last step': failed(1),
    },
  },
  'row failed': {
    point: 'worker.failed',
    is: 'held',
    script: [REFUSED],
    row: 'failed',
    ends: {
      cancel: failed(1),
      terminate: { ...completed(2), ends: ['failed', 'completed'], letter: 'generation_failed' },
      'reset to the start': refused(failed(1)),
      'reset to the last step': failed(1),
    },
  },
  'wait before a retry': {
    point: null,
    is: 'waiting to try again',
    script: [AWAY, WELL],
    row: 'generating_script',
    ends: {
      cancel: cancelled(1),
      terminate: completed(2),
      'reset to the start': completed(2),
      'reset to the last step': completed(2),
    },
  },
  'wait for a medium': {
    point: null,
    is: 'waiting for a medium',
    more: VIDEO,
    video: [TAKEN],
    looks: [TAKEN],
    row: 'processing_video',
    ends: {
      cancel: cancelled(1, 1),
      terminate: completed(2, 2),
      'reset to the start': completed(2, 2),
      'reset to the last step': completed(1, 1),
    },
  },
  'after it completed': {
    point: null,
    is: 'ended',
    row: 'completed',
    ends: { 'reset to the start': refused(completed(1)), 'reset to the last step': completed(1) },
  },
  'after it failed': {
    point: null,
    is: 'ended',
    script: [REFUSED],
    row: 'failed',
    ends: { 'reset to the start': refused(failed(1)), 'reset to the last step': failed(1) },
  },
};

const ALL = Object.entries(PLACES).flatMap(([name, place]) =>
  ([...ACTS, OVERLAPS] as const).flatMap((act) => {
    const end = place.ends[act];
    return end === undefined ? [] : [{ ...place, name, act, end, id: `${act} · ${name}` }];
  }),
);
type Scenario = (typeof ALL)[number];
const TERMINATED = ALL.filter(({ act }) => act === 'terminate');
const OVERLAPPING = ALL.filter(({ act }) => act === OVERLAPS);

const ZOMBIE = 'zombie';

const isTerminated = (act: Act): boolean => act === 'terminate' || act === OVERLAPS;

describe('what an operator does to a run', function () {
  this.timeout(20_000);
  let d: Deployment;
  let provider: MediaProvider;
  const messageIds = new Map<string, string[]>();
  const firstRuns = new Map<string, string>();
  /** Of terminated runs: before, and after, their activities were let go. */
  const rows = { acted: new Map<string, Row>(), before: new Map<string, Row>(), after: new Map<string, Row>() };
  let letGo = 0;
  const zombieRows: { before?: Row | undefined; after?: Row | undefined } = {};
  const zombieEvents: { before?: readonly string[]; after?: readonly string[] } = {};

  before(async function () {
    this.timeout(180_000);
    [d, provider] = await Promise.all([startDeployment(), startMediaProvider()]);
    const env = { ...providerEnv(), WORKER_ACTIVITY_SLOTS: String(ALL.length * 2) };
    const bridge = d.bridge(['--follow']);

    // Stopped, it polls no more, and goes on being held: another worker gets the same write when 30 s are over.
    const zombie = await d.worker(
      {},
      {
        ...env,
        ...faultsAsEnv([{ point: 'worker.completing', key: rowIdOf(ZOMBIE), action: 'hold' }]),
        WORKER_SHUTDOWN_GRACE_MS: '120000',
        WORKER_SHUTDOWN_FORCE_MS: '150000',
      },
    );
    await publish(ZOMBIE);
    await zombie.says({ message: 'fault point', point: 'worker.completing' });
    zombie.kill('SIGTERM');
    await zombie.says({ message: 'draining' });

    const orders = ALL.flatMap(({ point, id }): FaultOrder[] =>
      point === null ? [] : [{ point, key: rowIdOf(id), action: 'hold' }],
    );
    const inTheNextRun = OVERLAPPING.map(({ id }): FaultOrder => ({
      point: 'worker.recorded',
      key: rowIdOf(id),
      action: 'hold',
      passes: 1,
    }));
    const worker = await d.worker({}, { ...env, ...faultsAsEnv([...orders, ...inTheNextRun]) });
    for (const scenario of ALL) {
      script(scenario);
      await publish(scenario.id, scenario.more);
    }
    await Promise.all(ALL.map((scenario) => isThere(worker, scenario)));
    for (const { id } of ALL) {
      const { runId } = await d.run(rowIdOf(id)).describe();
      firstRuns.set(id, runId);
    }

    await Promise.all(ALL.map(({ id, act }) => actUpon(id, act)));
    for (const { id } of TERMINATED) rows.acted.set(id, await rowOf(id));
    for (const scenario of ALL) letMediaBeMade(scenario);
    for (const { id, more } of [...TERMINATED, ...OVERLAPPING]) await publish(id, more);
    for (const { id } of TERMINATED) {
      await waitFor(
        `another run of ${id}`,
        async () => (await d.run(rowIdOf(id)).describe()).runId !== firstRuns.get(id),
      );
      await endOfRun(d, rowIdOf(id));
      rows.before.set(id, await rowOf(id));
    }

    for (const { id } of OVERLAPPING) await heldAt(worker, 'worker.recorded', id);

    worker.kill('SIGUSR2');
    for (const { id } of ALL) await endOfRun(d, rowIdOf(id));
    await waitFor(
      'the request of the zombie ends',
      async () => (await d.row(rowIdOf(ZOMBIE)))?.status === 'completed',
      60_000,
    );
    await waitFor('no run is open', async () => (await openRuns(d)).length === 0);
    zombieRows.before = await d.row(rowIdOf(ZOMBIE));
    zombieEvents.before = (await factsOf(d, provider, rowIdOf(ZOMBIE), [])).statuses;
    zombie.kill('SIGUSR2');
    await zombie.says({ message: 'fault point released' });
    // A worker that is told to stop ends when its activities have: every write that was let go has been tried.
    assert.deepEqual(await Promise.all([zombie.ended, worker.stop()]), [0, 0]);
    letGo = worker.lines().filter(({ message }) => message === 'fault point released').length;
    for (const { id } of TERMINATED) rows.after.set(id, await rowOf(id));
    zombieRows.after = await d.row(rowIdOf(ZOMBIE));
    zombieEvents.after = (await factsOf(d, provider, rowIdOf(ZOMBIE), [])).statuses;
    assert.equal(await bridge.stop(), 0);
  });
  after(async () => {
    await d.stop();
    await provider.stop();
  });

  const providerEnv = (): Record<string, string> => ({
    GENERATOR: 'http',
    GENERATOR_URL: provider.config.url,
    SECRET_KEY,
  });
  const requested = (id: string): { request: { rowId: string } } => ({ request: { rowId: rowIdOf(id) } });

  function script({ id, act: does, script: answers, video, looks }: Scenario): void {
    // What is terminated is published again, and then works.
    const again = isTerminated(does) ? [...(answers ?? [WELL]), OTHER] : answers;
    if (again !== undefined) provider.script(requested(id), 'script', again);
    if (video !== undefined) provider.script(requested(id), 'video', video);
    if (looks !== undefined) provider.looks(requested(id), 'video', looks);
  }

  function letMediaBeMade({ id, is }: Scenario): void {
    if (is === 'waiting for a medium') provider.looks(requested(id), 'video', [MADE]);
  }

  async function publish(id: string, more: Fields = {}): Promise<void> {
    const messageId = await d.publish(requestFields(id, { requested_modalities: ['text'], ...more }));
    messageIds.set(id, [...(messageIds.get(id) ?? []), messageId]);
  }

  async function rowOf(id: string): Promise<Row> {
    return (await d.row(rowIdOf(id))) ?? assert.fail(`${id} has no row`);
  }

  async function heldAt(worker: Running, point: FaultPoint, id: string): Promise<void> {
    const here = (line: Record<string, unknown>): boolean =>
      line['message'] === 'fault point' && line['point'] === point && (line['keys'] as string[]).includes(rowIdOf(id));
    await waitFor(`${id} is held at ${point}`, () => worker.lines().some(here));
  }

  async function isThere(worker: Running, { id, is, point }: Scenario): Promise<void> {
    const what = `${id} is there`;
    const rowId = rowIdOf(id);
    switch (is) {
      case 'held':
        assert.ok(point !== null, `${id} is held nowhere`);
        return heldAt(worker, point, id);
      case 'waiting to try again':
        await waitFor(what, async () => {
          const { events } = await d
            .run(rowId)
            .fetchHistory()
            .catch(() => ({ events: [] }));
          return events?.some(({ timerStartedEventAttributes: timer }) => timer);
        });
        return;
      case 'waiting for a medium':
        await waitFor(what, async () => {
          const run = await d
            .run(rowId)
            .describe()
            .catch(() => null);
          return run?.raw.pendingActivities?.some(({ activityType }) => activityType?.name === 'awaitMedium');
        });
        return;
      case 'ended':
        await endOfRun(d, rowId);
        return;
      default:
        is satisfies never;
    }
  }

  async function actUpon(id: string, does: Act): Promise<void> {
    const run = d.run(rowIdOf(id));
    switch (does) {
      case 'cancel':
        await run.cancel();
        return;
      case 'terminate':
      case OVERLAPS:
        await run.terminate('as an operator would');
        return;
      case 'reset to the start':
      case 'reset to the last step':
        await resetRun(d.temporal.client, run.workflowId, does === 'reset to the start' ? 'start' : 'last');
        return;
      default:
        does satisfies never;
    }
  }

  function dueOf({ id, end }: Scenario): Due {
    const rowId = rowIdOf(id);
    return {
      status: end.row,
      ...(end.ends === undefined ? {} : { ends: end.ends }),
      letter: end.letter,
      calls: {
        ...(end.script === 0 ? {} : { [rowId]: end.script }),
        ...(end.video === 0 ? {} : { [`${rowId}/video`]: end.video }),
      },
    };
  }

  for (const does of [...ACTS, OVERLAPS] as const) {
    describe(does, () => {
      for (const scenario of ALL.filter(({ act: each }) => each === does)) {
        const { id, name, end, row } = scenario;
        it(`${name}: run ${end.run}${end.failure === null ? '' : ` ${end.failure}`}, row ${String(end.row)}`, async () => {
          const { status, failure } = await endOfRun(d, rowIdOf(id));
          assert.deepEqual([status, failure], [end.run, end.failure]);
          const facts = await factsOf(d, provider, rowIdOf(id), messageIds.get(id) ?? []);
          assert.deepEqual(brokenPromises(facts, dueOf(scenario)), []);
          if (does !== OVERLAPS) return;
          const { script_text: text, owner_token: owner } = await rowOf(id);
          assert.equal(text, 'Another lesson.', 'it is of the next run');
          assert.notEqual(owner, firstRuns.get(id), 'and so is the row');
        });

        if (does !== 'terminate') continue;
        it(`${name}: the row stays ${row} until the message is published again; what was let go later changes nothing`, async () => {
          const first = firstRuns.get(id) ?? '';
          const run = d.temporal.client.workflow.getHandle(workflowId.process(rowIdOf(id)), first);
          assert.equal((await run.describe()).status.name, 'TERMINATED');
          assert.deepEqual([rows.acted.get(id)?.status, rows.acted.get(id)?.owner_token], [row, first]);
          assert.deepEqual(rows.after.get(id), rows.before.get(id));
          assert.equal(rows.after.get(id)?.owner_token === first, row === 'completed', 'whose the row is');
        });
      }
    });
  }

  describe('a zombie of the same run', () => {
    it('writes what another worker has written: the row is as it was, and completed once', async () => {
      const { status } = await endOfRun(d, rowIdOf(ZOMBIE));
      assert.equal(status, 'COMPLETED');
      assert.equal(zombieRows.before?.status, 'completed');
      assert.deepEqual(zombieRows.after, zombieRows.before);
      assert.deepEqual(zombieEvents.after, zombieEvents.before);
      const facts = await factsOf(d, provider, rowIdOf(ZOMBIE), messageIds.get(ZOMBIE) ?? []);
      const due: Due = { status: 'completed', letter: null, calls: { [rowIdOf(ZOMBIE)]: 1 } };
      assert.deepEqual(brokenPromises(facts, due), []);
    });

    it('the twin: a row that is written once more is told by its events', async () => {
      await d.query(
        `update content_requests set status = 'failed', failed_at = now(), error_stage = 'completion', completed_at = null where id = $1`,
        [rowIdOf(ZOMBIE)],
      );
      const facts = await factsOf(d, provider, rowIdOf(ZOMBIE), []);
      const due: Due = { status: 'failed', letter: null, calls: { [rowIdOf(ZOMBIE)]: 1 } };
      assert.match(brokenPromises(facts, due).join(), /ends of the row: \["completed","failed"\]/);
    });
  });

  describe('while the letter waits for a bridge', () => {
    const LATER: Readonly<Partial<Record<Act, Pick<End, 'run' | 'failure'>>>> = {
      terminate: { run: 'COMPLETED', failure: null },
      'reset to the start': { run: 'FAILED', failure: 'generation_failed' },
      'reset to the last step': { run: 'FAILED', failure: 'generation_failed' },
    };
    const acts = Object.keys(LATER) as Act[];
    const idOf = (does: Act): string => `${does} · letter waits`;

    before(async function () {
      this.timeout(60_000);
      const orders = acts.flatMap((does): FaultOrder[] => [
        { point: 'worker.generating', key: rowIdOf(idOf(does)), action: 'hold' },
        { point: 'worker.failing', key: rowIdOf(idOf(does)), action: 'hold' },
      ]);
      const worker = await d.worker({}, { ...providerEnv(), ...faultsAsEnv(orders) });
      for (const does of acts) {
        provider.script(requested(idOf(does)), 'script', does === 'terminate' ? [REFUSED, WELL] : [REFUSED]);
        await publish(idOf(does));
      }
      // The bridge has gone before anything fails.
      const bridge = d.bridge([], { BRIDGE_MAX_MESSAGES: String(acts.length) });
      assert.equal(await bridge.ended, 0);
      for (const does of acts) await heldAt(worker, 'worker.generating', idOf(does));
      worker.kill('SIGUSR2');
      for (const does of acts) await heldAt(worker, 'worker.failing', idOf(does));
      for (const does of acts) await actUpon(idOf(does), does);
      for (const does of acts.filter((each) => each !== 'terminate')) await endOfRun(d, rowIdOf(idOf(does)));
      await waitFor('a letter of each waits', async () => {
        const open = await openRuns(d);
        return open.length === acts.length && open.every((id) => id.startsWith('dead-letter/'));
      });
      // The row is still the terminated run's: what it writes now is true, and its message can be published again.
      worker.kill('SIGUSR2');
      await waitFor('the late write', async () => (await rowOf(idOf('terminate'))).status === 'failed');
      await publish(idOf('terminate'));
      const next = d.bridge(['--follow']);
      await waitFor('the terminated request ends', async () => (await rowOf(idOf('terminate'))).status === 'completed');
      await waitFor('no run is open', async () => (await openRuns(d)).length === 0);
      assert.deepEqual([await next.stop(), await worker.stop()], [0, 0]);
    });

    for (const does of acts) {
      it(`${does}: one letter`, async () => {
        const rowId = rowIdOf(idOf(does));
        const { status: run, failure } = await endOfRun(d, rowId);
        assert.deepEqual({ run, failure }, LATER[does]);
        const facts = await factsOf(d, provider, rowId, messageIds.get(idOf(does)) ?? []);
        const due: Due = {
          status: does === 'terminate' ? 'completed' : 'failed',
          ...(does === 'terminate' ? { ends: ['failed', 'completed'] } : {}),
          letter: 'generation_failed',
          calls: { [rowId]: does === 'reset to the last step' ? 1 : 2 },
        };
        assert.deepEqual(brokenPromises(facts, due), []);
      });
    }
  });

  describe('in the end', () => {
    it('nothing is left: no run open, no message in the subscription, letters of those that failed only', async () => {
      assert.deepEqual(await openRuns(d), []);
      assert.deepEqual(await d.remaining(), []);
      // Of the first message: what is published again works.
      const due = ALL.filter(({ end }) => end.letter !== null).map(({ id }) => messageIds.get(id)?.[0]);
      for (const [id, [first]] of messageIds) if (id.endsWith('letter waits')) due.push(first);
      const sent = d.allLetters().map(({ attributes }) => attributes['dlq_message_id'] ?? '');
      assert.deepEqual([...sent].sort(), due.sort());
    });

    it('every act has been tried at every point where a run can be held', () => {
      const tried = (act_: Act): (FaultPoint | null)[] =>
        ALL.filter((each) => each.act === act_).map(({ point }) => point);
      const points = Object.values(PLACES).flatMap(({ point }) => (point === null ? [] : [point]));
      for (const act_ of ACTS)
        for (const point of points) assert.ok(tried(act_).includes(point), `${act_} at ${point}`);
      const held = ALL.filter(({ is }) => is === 'held').length + OVERLAPPING.length;
      assert.equal(letGo, held, 'each was held until it had been acted upon');
    });
  });
});
