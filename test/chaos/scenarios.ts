/** What chance does not arrange: outages of a given length, floods, hostile input, and recovery as a number. */
import { setTimeout as sleep } from 'node:timers/promises';
import proto from '@temporalio/proto';
import { rowIdOf } from '../../src/contract/message.ts';
import { NAMES } from '../../src/contract/names.ts';
import { waitFor } from '../support/wait-for.ts';
import type { Chaos } from './faults.ts';
import { KINDS, makePlan, type Plan, type PlannedRequest, type ProviderStep } from './mix.ts';
import type { Random } from './random.ts';
import type { Outcome, RunOptions } from './run.ts';

const { TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;

export interface Scenario {
  readonly name: string;
  /** Shorter, for every CI run. */
  readonly options: (short: boolean) => Omit<RunOptions, 'folder' | 'say' | 'seed' | 'faults'>;
  /** What must hold beyond the ledger; in words what does not. */
  readonly demands?: (outcome: Outcome) => string[];
}

const BEHIND_POISON = 'poison in front of good ones';
const WITHOUT_POISON = 'the same good ones without poison';
/** On a busy machine, for what takes seconds. */
const LONG_MS = 300_000;
/** What as many poison messages before them may cost good ones. */
const MOST_SLOWER = 1.5;

/** What two scenarios say together, where both were run; one that was run and has no figure says nothing good. */
export function demandsOfAll(outcomes: ReadonlyMap<string, Outcome>): string[] {
  const seconds = new Map(
    [BEHIND_POISON, WITHOUT_POISON].flatMap((name) => {
      const outcome = outcomes.get(name);
      return outcome === undefined ? [] : [[name, outcome.figures['p95 seconds'] ?? Number.NaN] as const];
    }),
  );
  const missing = [...seconds].filter(([, figure]) => !(figure > 0 && Number.isFinite(figure)));
  if (missing.length > 0) return missing.map(([name, figure]) => `${name}: p95 seconds is ${String(figure)}`);
  const ratio = (seconds.get(BEHIND_POISON) ?? 0) / (seconds.get(WITHOUT_POISON) ?? Infinity);
  return ratio > MOST_SLOWER ? [`good ones behind poison took ${ratio.toFixed(2)} times as long (p95)`] : [];
}

const OK: ProviderStep = { kind: 'ok', ms: 50 };

/** Requests that work at their first attempt. */
function healthy(count: number, script: readonly ProviderStep[] = [OK], more: object = {}): Plan {
  return planOf(
    Array.from({ length: count }, (_, number) => {
      const id = `healthy-${String(number + 1)}`;
      const body = {
        correlation_id: id,
        student_id: 'student-1',
        topic: `Topic of ${id}`,
        requested_modalities: ['text'],
      };
      return {
        kind: 'healthy',
        rowId: rowIdOf(id),
        correlationId: id,
        bodies: [Buffer.from(JSON.stringify({ ...body, ...more }))],
        script,
        ends: { statuses: ['completed'], retryCount: 0, letter: null },
      };
    }),
  );
}

/** Requests that fail for good, with a letter. */
function failing(count: number): Plan {
  return planOf(
    Array.from({ length: count }, (_, number) => {
      const id = `fails-${String(number + 1)}`;
      const body = { correlation_id: id, student_id: 's', topic: `Topic of ${id}`, requested_modalities: ['text'] };
      return {
        kind: 'fails',
        rowId: rowIdOf(id),
        correlationId: id,
        bodies: [Buffer.from(JSON.stringify(body))],
        script: [{ kind: 'status', status: 422 }],
        ends: { statuses: ['failed'], retryCount: 1, letter: 'generation_failed' },
      };
    }),
  );
}

interface Sketch extends Pick<PlannedRequest, 'kind' | 'rowId' | 'correlationId' | 'script' | 'ends'> {
  readonly bodies: readonly Buffer[];
}

function planOf(sketches: readonly Sketch[]): Plan {
  let index = 0;
  const requests = sketches.map(({ bodies, ...sketch }): PlannedRequest => ({
    ...sketch,
    messages: bodies.map((body) => ({ index: index++, body, content: 'a' })),
    apiRow: null,
    videoLooks: 0,
  }));
  return {
    requests,
    messages: requests.flatMap((request) => request.messages.map((message) => ({ message, request }))),
  };
}

/** Only kinds that are invalid, without rows that wait for them. */
function poison(count: number, random: Random): Plan {
  const kinds = KINDS.filter(({ name }) => /^(not |invalid fields)/.test(name));
  const sketches = Array.from({ length: count }, (_, number): Sketch => {
    const { bodies, rowId, correlationId, ends } = random.pick(kinds).make(random, `poison-${String(number + 1)}`);
    return { kind: 'poison', rowId, correlationId, bodies: bodies.map(({ body }) => body), script: [], ends };
  });
  return planOf(sketches);
}

function together(...plans: readonly Plan[]): Plan {
  return planOf(
    plans.flatMap(({ requests }) =>
      requests.map((request) => ({ ...request, bodies: request.messages.map(({ body }) => body) })),
    ),
  );
}

function startAll({ world }: Chaos): void {
  for (const each of [...world.bridges, ...world.workers]) each.start();
}

const countRows = async ({ world }: Chaos, status: string): Promise<number> => {
  const rows = await world.query('select count(*)::int as count from content_requests where status::text = $1', [
    status,
  ]);
  return Number(rows[0]?.['count']);
};

const noLetters = ({ letters, mostDeliveries }: Outcome): string[] => [
  ...(letters === 0 ? [] : [`${String(letters)} dead letters, and none is due`]),
  ...(mostDeliveries < 25 ? [] : [`delivered ${String(mostDeliveries)} times`]),
];

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'Temporal down for five bridge executions in a row',
    options: (short) => ({
      plan: () => healthy(short ? 50 : 500),
      script: {
        startsAll: true,
        run: async (chaos, publish) => {
          const { world, log } = chaos;
          for (const worker of world.workers) worker.start();
          await publish();
          const window = log.begin({ name: 'Temporal unreachable', redelivers: true, outage: 'temporal' });
          world.gates.bridgesToTemporal.down();
          world.gates.workersToTemporal.down();
          for (let times = 1; times <= 5; times += 1) {
            const execution = log.begin({ name: 'bridge execution without Temporal', redelivers: true });
            const how = await world.drain.once();
            execution.to = Date.now();
            if (how !== 3) throw new Error(`a bridge without Temporal ends with 3, not ${String(how)}`);
          }
          world.gates.bridgesToTemporal.up();
          world.gates.workersToTemporal.up();
          window.to = Date.now();
          for (const bridge of world.bridges) bridge.start();
        },
      },
      openLimit: Infinity,
      world: { bridgeEnv: { BRIDGE_OUTAGE_LIMIT_MS: '4000' } },
    }),
    demands: noLetters,
  },
  {
    name: 'PostgreSQL down',
    options: (short) => ({
      plan: () => healthy(short ? 50 : 500),
      script: {
        startsAll: true,
        run: async (chaos, publish) => {
          const { world, log } = chaos;
          startAll(chaos);
          await publish();
          const window = log.begin({ name: 'PostgreSQL down', redelivers: false });
          await world.servers.postgres.end('SIGINT');
          // Row writes are tried again 1, 2, 4 … 30 s apart: six tries, of which the last are as far apart as they get.
          await sleep(short ? 20_000 : 120_000);
          await world.servers.postgres.start();
          window.to = Date.now();
        },
      },
      openLimit: Infinity,
    }),
    demands: noLetters,
  },
  {
    name: 'Pub/Sub emulator kill -9, and what had not ended is published again',
    options: (short) => ({
      plan: () => together(healthy(short ? 50 : 400), failing(short ? 5 : 40)),
      script: {
        run: async (chaos, publish) => {
          const { world, log } = chaos;
          await publish();
          await waitFor('some are completed', async () => (await countRows(chaos, 'completed')) > 20, LONG_MS);
          // A subscription that is gone is no outage: bridges end with 2 until it is there again.
          const window = log.begin({
            name: 'Pub/Sub emulator kill -9',
            redelivers: true,
            outage: 'pubsub',
            exits: [2],
          });
          await world.servers.pubsub.end('SIGKILL');
          await world.servers.pubsub.start();
          await chaos.pubsubIsNew();
          // It keeps messages in memory only: whoever published them does it again, as from an outbox.
          for (const request of await chaos.left()) await chaos.publishAgain(request);
          await waitFor('the bridges are back', async () => (await chaos.left()).length === 0, LONG_MS);
          window.to = Date.now();
        },
      },
      openLimit: Infinity,
    }),
  },
  {
    name: 'provider down for three minutes',
    options: (short) => ({
      plan: () => healthy(short ? 50 : 200),
      script: {
        run: async ({ world, log }, publish) => {
          world.provider.trouble = 503;
          await publish();
          const window = log.begin({ name: 'provider answers 503', redelivers: false });
          await sleep(short ? 15_000 : 180_000);
          world.provider.trouble = null;
          window.to = Date.now();
        },
      },
      openLimit: Infinity,
    }),
    demands: noLetters,
  },
  {
    name: 'all messages queued at once',
    options: (short) => ({
      plan: (random) => makePlan(short ? 1_000 : 20_000, random, 'flood'),
      script: {
        startsAll: true,
        run: async (chaos, publish) => {
          await publish();
          startAll(chaos);
        },
      },
      openLimit: Infinity,
      patienceMs: 180_000,
    }),
    demands: ({ peakRssMib }) =>
      Object.entries(peakRssMib).flatMap(([role, mib]) => (mib < 700 ? [] : [`a ${role} took ${String(mib)} MiB`])),
  },
  goodOnes(BEHIND_POISON, (count, random) => together(poison(count, random), healthy(count))),
  goodOnes(WITHOUT_POISON, (count) => healthy(count)),
  {
    name: 'bodies of 512 KiB',
    options: (short) => ({
      plan: () => {
        // What nobody knows is dropped, and it has to be carried all the same.
        const room = 512 * 1_024 - 200;
        return together(
          healthy(short ? 10 : 60, [OK], { padding: 'x'.repeat(room) }),
          planOf([
            {
              kind: 'large, and never works',
              rowId: rowIdOf('large-fails'),
              correlationId: 'large-fails',
              bodies: [
                Buffer.from(
                  JSON.stringify({
                    correlation_id: 'large-fails',
                    student_id: 's',
                    topic: 't',
                    padding: 'x'.repeat(room),
                  }),
                ),
              ],
              script: [{ kind: 'status', status: 422 }],
              ends: { statuses: ['failed'], retryCount: 1, letter: 'generation_failed' },
            },
          ]),
        );
      },
      script: { run: (_, publish) => publish() },
    }),
  },
  {
    name: 'the same message 1,000 times',
    options: (short) => ({
      plan: () => {
        const body = Buffer.from(
          JSON.stringify({
            correlation_id: 'again',
            student_id: 's',
            topic: 'Topic of again',
            requested_modalities: ['text'],
          }),
        );
        return planOf([
          {
            kind: 'the same',
            rowId: rowIdOf('again'),
            correlationId: 'again',
            bodies: Array.from({ length: short ? 200 : 1_000 }, () => body),
            script: [OK],
            ends: { statuses: ['completed'], retryCount: 0, letter: null },
          },
        ]);
      },
      script: { run: (_, publish) => publish() },
      openLimit: Infinity,
    }),
  },
  {
    name: 'worker kill -9 with 100 generations in flight',
    options: () => ({
      // The first call takes longer than anybody waits; the second is the one that recovers.
      plan: () =>
        healthy(100, [
          { kind: 'ok', ms: 120_000 },
          { kind: 'ok', ms: 1_000 },
        ]),
      world: { workers: 2, workerSlots: 100 },
      script: {
        startsAll: true,
        run: async (chaos, publish) => {
          const { world, log } = chaos;
          const [victim, other] = world.workers;
          if (victim === undefined || other === undefined) throw new Error('two workers are needed');
          for (const each of [...world.bridges, victim]) each.start();
          await publish();
          await waitFor('100 generations are in flight', () => world.provider.calls.length === 100, LONG_MS);
          other.start();
          await waitFor('the other worker polls', () => pollers(chaos, 2), LONG_MS);
          const window = log.begin({ name: 'worker kill -9', redelivers: false, workers: [1] });
          victim.signal('SIGKILL');
          await waitFor('all are completed', async () => (await countRows(chaos, 'completed')) === 100, LONG_MS);
          chaos.measured('recovery seconds', (Date.now() - window.from) / 1_000);
          chaos.measured('provider calls', world.provider.calls.length);
          window.to = Date.now();
        },
      },
      openLimit: Infinity,
    }),
    demands: (outcome) => {
      const { 'provider calls': calls = 0 } = outcome.figures;
      // The first of each victim, and its second; nobody else's.
      return [...recovered(outcome), ...(calls === 200 ? [] : [`${String(calls)} calls of the provider, not 200`])];
    },
  },
  {
    name: 'bridge kill -9 in mid-batch',
    options: () => ({
      plan: () => healthy(32),
      // As in production, and three times the lease of the other runs.
      world: { bridges: 1, leaseSeconds: 30, bridgeEnv: { BRIDGE_LEASE_RENEW_MS: '10000' } },
      script: {
        run: async (chaos, publish) => {
          const { world, log } = chaos;
          const [bridge] = world.bridges;
          await publish();
          const slowly = log.begin({ name: 'Temporal slow', redelivers: false, outage: 'temporal' });
          world.gates.bridgesToTemporal.slow(3_000);
          await waitFor(
            'the bridge holds them all',
            async () => ((await bridge?.said('"message pulled"')) ?? 0) >= 32,
            LONG_MS,
          );
          const window = log.begin({ name: 'bridge kill -9', redelivers: true });
          bridge?.signal('SIGKILL');
          world.gates.bridgesToTemporal.up();
          slowly.to = Date.now();
          await waitFor('all are completed', async () => (await countRows(chaos, 'completed')) === 32, LONG_MS);
          chaos.measured('recovery seconds', (Date.now() - window.from) / 1_000);
          window.to = Date.now();
        },
      },
      openLimit: Infinity,
    }),
    demands: recovered,
  },
];

/** How long good ones take from the start of the processes, queued behind whatever the plan puts before them. */
function goodOnes(name: string, planOfGood: (count: number, random: Random) => Plan): Scenario {
  return {
    name,
    options: (short) => {
      const count = short ? 200 : 2_000;
      return {
        plan: (random) => planOfGood(count, random),
        script: {
          startsAll: true,
          run: async (chaos, publish) => {
            await publish();
            const startedAt = Date.now();
            startAll(chaos);
            const completed = async (): Promise<boolean> => (await countRows(chaos, 'completed')) === count;
            await waitFor('all good ones are completed', completed, 900_000);
            chaos.measured('p95 seconds', await p95(chaos, startedAt));
          },
        },
        openLimit: Infinity,
      };
    },
  };
}

/** The goal is 30. */
function recovered({ figures }: Outcome): string[] {
  const seconds = figures['recovery seconds'] ?? Infinity;
  return seconds <= 60 ? [] : [`recovery took ${String(seconds)} s`];
}

async function p95({ world }: Chaos, startedAt: number): Promise<number> {
  const rows = await world.query(
    `select extract(epoch from percentile_disc(0.95) within group (order by completed_at) - to_timestamp($1))::float as p95
       from content_requests where status = 'completed'`,
    [startedAt / 1_000],
  );
  return Math.round(Number(rows[0]?.['p95']) * 10) / 10;
}

async function pollers({ world }: Chaos, count: number): Promise<boolean> {
  const { pollers: found } = await world.temporal.workflowService.describeTaskQueue({
    namespace: world.temporal.options.namespace,
    taskQueue: { name: NAMES.taskQueue },
    taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
  });
  return found.length >= count;
}
