/**
 * A crash at every named fault point. All requests are driven to their points and held there; then worker and bridge
 * are killed at one stroke, and what follows them has no faults. Two bridges come before: acks have no key, and a bug
 * ends its process by itself.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rowIdOf } from '../../src/contract/identity.ts';
import { workflowId } from '../../src/contract/names.ts';
import { faultsAsEnv, type FaultOrder } from '../../src/dev/faults.ts';
import { FAULT_POINTS, type FaultPoint } from '../../src/fault-points.ts';
import { startDeployment, type Deployment, type Running } from '../support/deployment.ts';
import { endOfRun, requestFields, summaryOf, type Fields } from '../support/e2e.ts';
import { brokenPromises, factsOf, openRuns, type Due } from '../support/kept-promise.ts';
import { startMediaProvider, type MediaProvider, type Stage } from '../support/media-provider.ts';
import { SECRET_KEY } from '../support/provider-config.ts';
import type { Answer } from '../support/scripted-server.ts';
import { LEASE_SECONDS } from '../support/pubsub.ts';
import { waitFor } from '../support/wait-for.ts';

/** A lost letter's activity is noticed after its 60 s, a lost row write after 30 s. */
const ALL_ENDED_MS = 100_000;

interface Scenario {
  /** Where one point has more than one. */
  readonly title?: string;
  /** Its correlation_id; also its message's, unless `body` says otherwise. */
  readonly id: string;
  readonly more?: Fields;
  readonly body?: (id: string) => Fields | string;
  /** The row that an API made before. */
  readonly rowWaits?: true;
  readonly answers?: Partial<Record<Stage, readonly Answer[]>>;
  readonly looks?: readonly Answer[];
  /** How the request is brought to the point, where publishing it is not enough. */
  readonly cancelled?: true;
  /** How often it passes the point before. */
  readonly passes?: number;
  readonly end: Omit<Due, 'calls'>;
  /** Paid calls by stage. */
  readonly calls: Partial<Record<Stage, number>>;
}

const REFUSED: Answer = { status: 422, body: { code: 'no_such_topic' } };
/** The run waits uncounted, longer than the test looks. */
const AWAY: Answer = { status: 503, headers: { 'retry-after': '600' } };
const TAKEN: Answer = { status: 202, body: {} };
const MADE: Answer = { status: 200, body: { url: 'https://cdn.example/v' } };
const VIDEO = { requested_modalities: ['video'] };

const COMPLETES = { end: { status: 'completed', letter: null }, calls: { script: 1 } } as const;
const FAILS = {
  answers: { script: [REFUSED] },
  end: { status: 'failed', letter: 'generation_failed' },
  calls: { script: 1 },
} as const;

const SCENARIOS: Readonly<Record<FaultPoint, readonly Scenario[]>> = {
  'bridge.pulled': [{ id: 'pulled', ...COMPLETES }],
  'bridge.started': [{ id: 'started', ...COMPLETES }],
  'bridge.letter-published': [
    { id: 'anonymous', body: () => 'not json', end: { status: null, letter: 'not_json', copies: 2 }, calls: {} },
  ],
  'bridge.rejection-started': [
    {
      id: 'rejection',
      body: (id) => ({ correlation_id: id }),
      rowWaits: true,
      end: { status: 'failed', letter: 'invalid_fields', copies: 2 },
      calls: {},
    },
  ],
  'bridge.acking': [{ id: 'acking', ...COMPLETES }],
  'bridge.run-letter-published': [{ id: 'run-letter', ...FAILS, end: { ...FAILS.end, copies: 2 } }],
  'worker.recording': [{ id: 'recording', ...COMPLETES }],
  'worker.recorded': [{ id: 'recorded', ...COMPLETES }],
  'worker.generating': [{ id: 'generating', ...COMPLETES }],
  // The answer is lost with the process: the provider is asked again, by the same key.
  'worker.generated': [{ id: 'generated', ...COMPLETES, calls: { script: 2 } }],
  'worker.script-stored': [
    { id: 'script-stored', more: VIDEO, answers: { video: [MADE] }, ...COMPLETES, calls: { script: 1, video: 1 } },
  ],
  'worker.medium-answered': [
    {
      title: 'made at once',
      id: 'medium-made',
      more: VIDEO,
      answers: { video: [MADE] },
      ...COMPLETES,
      calls: { script: 1, video: 2 },
    },
    {
      title: 'taken, and where to look is lost',
      id: 'medium-taken',
      more: VIDEO,
      answers: { video: [TAKEN] },
      looks: [MADE],
      ...COMPLETES,
      calls: { script: 1, video: 2 },
    },
    {
      title: 'found made by a look, which costs nothing',
      id: 'medium-looked',
      passes: 1,
      more: VIDEO,
      answers: { video: [TAKEN] },
      looks: [MADE],
      ...COMPLETES,
      calls: { script: 1, video: 1 },
    },
  ],
  'worker.completing': [{ id: 'completing', ...COMPLETES }],
  'worker.completed': [{ id: 'completed', ...COMPLETES }],
  'worker.failing': [{ id: 'failing', ...FAILS }],
  'worker.failed': [{ id: 'failed', ...FAILS }],
  'worker.cancelled': [
    {
      id: 'cancelled',
      answers: { script: [AWAY] },
      cancelled: true,
      end: { status: 'cancelled', letter: null },
      calls: { script: 1 },
    },
  ],
  'worker.rejected': [
    {
      id: 'rejected',
      body: (id) => ({ correlation_id: id }),
      rowWaits: true,
      end: { status: 'failed', letter: 'invalid_fields' },
      calls: {},
    },
  ],
};

const ALL = Object.entries(SCENARIOS).flatMap(([point, scenarios]) =>
  scenarios.map((scenario) => ({ point: point as FaultPoint, ...scenario })),
);
/** Its batch would hold the others' messages, so it has a bridge of its own. */
const WITHOUT_KEY: FaultPoint = 'bridge.acking';
const HELD = ALL.filter(({ point }) => point !== WITHOUT_KEY);

const BUG = 'the-bug';
const NEIGHBOURS = ['beside-the-bug-1', 'beside-the-bug-2', 'beside-the-bug-3'];

describe('a crash at every fault point', function () {
  this.timeout(20_000);
  let d: Deployment;
  let provider: MediaProvider;
  const messageIds = new Map<string, string>();
  const messageOf = (id: string): string => messageIds.get(id) ?? assert.fail(`${id} was not published`);

  let bugged: Running;
  let crashed: Running;
  let successor: Running | undefined;

  before(async function () {
    this.timeout(60_000 + 2 * ALL_ENDED_MS);
    [d, provider] = await Promise.all([startDeployment(), startMediaProvider()]);

    // What a bridge gives back as it ends comes again at once, to its own last polls: four times, and it would be handled
    // alone, behind messages that are held here for as long as the test likes.
    await d.pubsub.client.subscription(d.names.subscription).setMetadata({
      ackDeadlineSeconds: LEASE_SECONDS,
      retryPolicy: { minimumBackoff: { seconds: 1 }, maximumBackoff: { seconds: 2 } },
    });

    // Before the others, whose letters they would publish once more than is due.
    await Promise.all(ALL.filter(({ point }) => point === WITHOUT_KEY).map(publish));
    const acking = d.bridge(['--follow'], faultsAsEnv([{ point: WITHOUT_KEY, action: 'kill' }]));
    assert.equal(await acking.ended, 'SIGKILL');
    await acking.says({ message: 'fault point', point: WITHOUT_KEY, action: 'kill' });
    await Promise.all([BUG, ...NEIGHBOURS].map((id) => publish({ id })));
    bugged = d.bridge(['--follow'], faultsAsEnv([{ point: 'bridge.started', key: messageOf(BUG), action: 'throw' }]));
    await bugged.ended;

    for (const { id } of HELD.filter(({ rowWaits }) => rowWaits === true)) {
      await d.query(
        `insert into content_requests (id, correlation_id, student_id, topic, status) values ($1, $2, 's', 't', 'pending')`,
        [rowIdOf(id), id],
      );
    }
    await Promise.all(HELD.map(publish));
    const workerEnv = { GENERATOR: 'http', GENERATOR_URL: provider.config.url, SECRET_KEY };
    const worker = await d.worker({}, { ...workerEnv, ...faultsAsEnv(ordersOf('worker')) });
    crashed = d.bridge(['--follow'], faultsAsEnv(ordersOf('bridge')));
    await Promise.all(HELD.map((scenario) => held({ worker, bridge: crashed }, scenario)));
    // Whatever else was under way has ended, so that each finds what its own point has left, and nothing more.
    await Promise.all(['failing', 'failed'].map(letterReported));
    await Promise.all(['acking', BUG, ...NEIGHBOURS].map(settled));
    for (const id of ['started', 'run-letter', 'acking', BUG, ...NEIGHBOURS]) await endOfRun(d, rowIdOf(id));
    await d.temporal.client.workflow.getHandle(workflowId.reject(messageOf('rejection'))).result();
    worker.kill('SIGKILL');
    crashed.kill('SIGKILL');
    assert.deepEqual(await Promise.all([worker.ended, crashed.ended]), ['SIGKILL', 'SIGKILL']);

    await d.worker({}, workerEnv);
    successor = d.bridge(['--follow']);
    await successor.says({ message: 'bridge polls' });
    await waitFor('every row is terminal', areTerminal, ALL_ENDED_MS);
    await waitFor('no run is open', async () => (await openRuns(d)).length === 0, ALL_ENDED_MS);
  });
  after(async () => {
    await d.stop();
    await provider.stop();
  });

  async function publish({
    id,
    more,
    body,

    answers,
    looks,
  }: Partial<Scenario> & { id: string }): Promise<void> {
    const requested = { request: { rowId: rowIdOf(id) } };
    for (const [stage, script] of Object.entries(answers ?? {})) provider.script(requested, stage as Stage, script);
    if (looks !== undefined) provider.looks(requested, 'video', looks);
    const fields = body?.(id) ?? requestFields(id, { requested_modalities: ['text'], ...more });
    messageIds.set(id, await d.publish(fields));
  }

  /** The worker's points know a request by its row, save where there may be none. */
  function keyOf({ point, id }: { point: FaultPoint; id: string }): string {
    return point.startsWith('bridge') || point === 'worker.rejected' ? messageOf(id) : rowIdOf(id);
  }

  function ordersOf(process: 'bridge' | 'worker'): FaultOrder[] {
    return HELD.filter(({ point }) => point.startsWith(process)).map((scenario) => ({
      point: scenario.point,
      key: keyOf(scenario),
      action: 'hold',
      ...(scenario.passes === undefined ? {} : { passes: scenario.passes }),
    }));
  }

  async function held(by: Record<'bridge' | 'worker', Running>, scenario: (typeof HELD)[number]): Promise<void> {
    const { point, id, cancelled } = scenario;
    if (cancelled === true) {
      await waitFor(`${id} asks the provider`, () => provider.calls({ request: { rowId: rowIdOf(id) } }).length === 1);
      await d.run(rowIdOf(id)).cancel();
    }
    const process = point.startsWith('bridge') ? by.bridge : by.worker;
    await waitFor(`${id} is held at ${point}`, () =>
      process
        .lines()
        .some(
          (line) =>
            line['message'] === 'fault point' &&
            line['point'] === point &&
            (line['keys'] as string[]).includes(keyOf(scenario)),
        ),
    );
  }

  async function letterReported(id: string): Promise<void> {
    const letter = await waitFor(`the letter of ${id}`, () => d.letters(messageOf(id))[0]);
    const run = d.temporal.client.workflow.getHandle(workflowId.deadLetter(letter.attributes['dlq_id'] ?? ''));
    await run.result();
  }

  /** By whichever bridge had it last. */
  function settled(id: string): Promise<Record<string, unknown>> {
    const messageId = messageOf(id);
    return waitFor(
      `the message of ${id} is settled`,
      () =>
        [bugged, crashed, successor]
          .flatMap((bridge) => bridge?.lines() ?? [])
          .findLast((line) => line['message'] === 'message settled' && line['messageId'] === messageId),
      // Given back, it may be handed to the poll of a bridge that has ended: a lease of 10 s.
      60_000,
    );
  }

  async function areTerminal(): Promise<boolean> {
    // Of the message that nobody can read there is no row.
    const rowIds = HELD.filter(({ end }) => end.status !== null).map(({ id }) => rowIdOf(id));
    const ended = await d.query(
      `select id from content_requests where id = any($1) and status in ('completed', 'failed', 'cancelled')`,
      [rowIds],
    );
    return ended.length === rowIds.length;
  }

  function callsDue(rowId: string, calls: Scenario['calls']): Record<string, number> {
    return Object.fromEntries(
      Object.entries(calls).map(([stage, count]) => [stage === 'script' ? rowId : `${rowId}/${stage}`, count]),
    );
  }

  it('there is a scenario for every point, and for no other', () => {
    assert.deepEqual(Object.keys(SCENARIOS).sort(), [...FAULT_POINTS].sort());
    assert.deepEqual(
      Object.values(SCENARIOS).filter((scenarios) => scenarios.length === 0),
      [],
    );
  });

  for (const { point, title, id, end, calls } of ALL) {
    it(`${point}${title === undefined ? '' : `, ${title}`}: ends ${end.status ?? 'without a row'} and once`, async () => {
      const rowId = rowIdOf(id);
      const facts = await factsOf(d, provider, rowId, [messageOf(id)]);
      assert.deepEqual(brokenPromises(facts, { ...end, calls: callsDue(rowId, calls) }), []);
    });
  }

  for (const point of ['bridge.letter-published', 'bridge.rejection-started', 'bridge.run-letter-published'] as const) {
    it(`${point} lies between publish and ack: the letter went out twice, so the crash was there`, () => {
      for (const { id } of SCENARIOS[point]) assert.equal(d.letters(messageOf(id)).length, 2, id);
    });
  }

  it('bridge.started and bridge.acking come again, and are duplicates', async () => {
    for (const id of ['started', 'acking']) {
      assert.equal((await settled(id))['outcome'], 'duplicate', id);
    }
  });

  it('a bug at a point of the bridge: exit 1, what it held is given back, the next one finishes', async () => {
    const summary = summaryOf(bugged);
    assert.deepEqual([await bugged.ended, summary.exitReason], [1, 'unexpected']);
    assert.match(String(summary['detail']), /armed at bridge\.started/);
    assert.ok(Number(summary['givenBack']) >= 1, 'the message of the bug at least');
    for (const id of [BUG, ...NEIGHBOURS]) {
      const rowId = rowIdOf(id);
      const facts = await factsOf(d, provider, rowId, [messageOf(id)]);
      assert.deepEqual(brokenPromises(facts, { status: 'completed', letter: null, calls: { [rowId]: 1 } }), [], id);
    }
    assert.equal((await settled(BUG))['outcome'], 'duplicate');
  });

  it('nothing is left: no run open, no message in the subscription, no letter of anybody else', async () => {
    assert.deepEqual(await openRuns(d), []);
    assert.equal(await successor?.stop(), 0);
    assert.deepEqual(await d.remaining(), []);
    const due = ALL.filter(({ end }) => end.letter !== null).map(({ id }) => messageOf(id));
    const sent = d.allLetters().map(({ attributes }) => attributes['dlq_message_id'] ?? '');
    assert.deepEqual([...new Set(sent)].sort(), due.sort());
  });

  it('and would be seen: an open run, a message that nobody has acked', async () => {
    const left = await d.publish(requestFields(`left-${randomUUID()}`));
    assert.deepEqual(await d.remaining(), [left]);
    const run = await d.temporal.client.workflow.start('processContentRequest', {
      workflowId: 'left-open',
      taskQueue: 'nobody-polls',
    });
    await waitFor('the open run', async () => (await openRuns(d)).includes('left-open'));
    await run.terminate();
  });
});
