/** The faults, each injected, held for a while and mended again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import { NAMES, workflowId, WORKFLOW } from '../../src/contract/names.ts';
import { faultsAsEnv } from '../../src/dev/faults.ts';
import type { Gateway } from '../support/e2e-gateway.ts';
import type { FaultWindow, Log } from './history.ts';
import type { PlannedRequest } from './mix.ts';
import { cancelling, giveOrder, resetting, terminating, type Order, type RunHandle } from './orders.ts';
import type { Random } from './random.ts';
import type { Supervised } from './supervised.ts';
import type { World } from './world.ts';

export interface Chaos {
  readonly world: World;
  readonly log: Log;
  readonly random: Random;
  /** Faults are mended at once when it aborts. */
  readonly signal: AbortSignal;
  /** Requests that are published already. */
  readonly published: () => readonly PlannedRequest[];
  publishAgain(request: PlannedRequest): Promise<void>;
  /** After the emulator has lost all: its topics and subscriptions are made anew. */
  pubsubIsNew(): Promise<void>;
  /** Published, and not ended. */
  left(): Promise<readonly PlannedRequest[]>;
  /** For the report. */
  measured(name: string, figure: number): void;
}

export interface Fault {
  readonly name: string;
  /** How often among the others. */
  readonly weight: number;
  /** Only one fault at a time may hold it. */
  readonly on: 'bridge' | 'worker' | 'temporal' | 'postgres' | 'pubsub' | 'provider' | 'operator';
  readonly run: (chaos: Chaos) => Promise<void>;
}

/** Longer than the longest heartbeat and startToClose timeout of the workflows. */
const LONGER_THAN_HEARTBEAT_MS = 33_000;
/** Longer than the lease of 10 s. */
const LONGER_THAN_LEASE_MS = 12_000;

async function hold(chaos: Chaos, milliseconds: number): Promise<void> {
  await sleep(milliseconds, undefined, { signal: chaos.signal }).catch(() => undefined);
}

async function during(
  chaos: Chaos,
  fault: Omit<FaultWindow, 'from' | 'to'>,
  inject: () => void | Promise<void>,
  milliseconds: number,
  mend: () => void | Promise<void>,
  /** For how long it is felt after that; another fault may begin meanwhile. */
  feltMs = 0,
): Promise<void> {
  const window = chaos.log.begin(fault);
  try {
    await inject();
    await hold(chaos, milliseconds);
  } finally {
    await mend();
    window.to = Date.now() + feltMs;
  }
}

const all = (chaos: Chaos): number[] => chaos.world.workers.map((_, index) => index + 1);

function oneWorker({ world, random }: Chaos): { worker: Supervised; number: number } {
  const number = random.int(1, world.workers.length);
  const worker = world.workers[number - 1];
  if (worker === undefined) throw new Error('there is no worker');
  return { worker, number };
}

function signalled(name: string, signal: NodeJS.Signals, weight: number): Fault[] {
  return [
    {
      name: `bridge ${name}`,
      weight,
      on: 'bridge',
      run: (chaos) => {
        const fault = { name: `bridge ${name}`, redelivers: true };
        return during(
          chaos,
          fault,
          () => chaos.random.pick(chaos.world.bridges).signal(signal),
          500,
          () => undefined,
        );
      },
    },
    {
      name: `worker ${name}`,
      weight,
      on: 'worker',
      run: (chaos) => {
        const { worker, number } = oneWorker(chaos);
        const fault = { name: `worker ${name}`, workers: [number], redelivers: false };
        return during(
          chaos,
          fault,
          () => worker.signal(signal),
          500,
          () => undefined,
        );
      },
    },
  ];
}

const paused: Fault[] = [
  {
    name: 'bridge SIGSTOP, longer than its leases',
    weight: 2,
    on: 'bridge',
    run: (chaos) => {
      const bridge = chaos.random.pick(chaos.world.bridges);
      const fault = { name: 'bridge SIGSTOP, longer than its leases', redelivers: true };
      return during(
        chaos,
        fault,
        () => bridge.signal('SIGSTOP'),
        LONGER_THAN_LEASE_MS,
        () => bridge.signal('SIGCONT'),
      );
    },
  },
  {
    name: 'worker SIGSTOP, longer than its heartbeat',
    weight: 2,
    on: 'worker',
    run: (chaos) => {
      const { worker, number } = oneWorker(chaos);
      const fault = {
        name: 'worker SIGSTOP, longer than its heartbeat',
        workers: [number],
        wakes: true,
        redelivers: false,
      };
      return during(
        chaos,
        fault,
        () => worker.signal('SIGSTOP'),
        LONGER_THAN_HEARTBEAT_MS,
        () => worker.signal('SIGCONT'),
      );
    },
  },
];

interface Line {
  readonly name: string;
  readonly on: Fault['on'];
  readonly gates: (world: World) => readonly Gateway[];
  readonly cutsCalls: boolean;
  readonly redelivers: boolean;
  readonly outage?: FaultWindow['outage'];
}

const LINES: readonly Line[] = [
  {
    name: 'Temporal',
    on: 'temporal',
    gates: ({ gates }) => [gates.workersToTemporal, gates.bridgesToTemporal],
    cutsCalls: true,
    redelivers: true,
    outage: 'temporal',
  },
  {
    name: 'PostgreSQL',
    on: 'postgres',
    gates: ({ gates }) => [gates.workersToPostgres],
    cutsCalls: false,
    redelivers: false,
  },
  {
    name: 'Pub/Sub',
    on: 'pubsub',
    gates: ({ gates }) => [gates.bridgesToPubsub],
    cutsCalls: false,
    redelivers: true,
    outage: 'pubsub',
  },
];

const connections: Fault[] = LINES.flatMap((line) => {
  const on = (
    how: string,
    weight: number,
    inject: (gate: Gateway, random: Random) => void,
    ms: readonly [number, number],
    feltMs = 0,
  ): Fault => {
    const name = `${line.name} ${how}`;
    return {
      name,
      weight,
      on: line.on,
      run: (chaos) => {
        const gates = line.gates(chaos.world);
        const cut = line.cutsCalls ? { workers: all(chaos) } : {};
        return during(
          chaos,
          {
            name,
            redelivers: line.redelivers,
            ...(line.outage === undefined ? {} : { outage: line.outage }),
            ...cut,
          },
          () => gates.forEach((gate) => inject(gate, chaos.random)),
          chaos.random.int(...ms),
          () => gates.forEach((gate) => gate.up()),
          feltMs,
        );
      },
    };
  };
  return [
    on('unreachable', 3, (gate) => gate.down(), [2_000, 8_000]),
    on('silent', 2, (gate) => gate.stall(), [3_000, 10_000]),
    on('slow', 2, (gate, random) => gate.slow(random.int(100, 900)), [3_000, 8_000]),
    // The connections of this moment never come back, and nobody is told.
    // Noticed by the keepalive of gRPC (30 s and 15 s for an answer), by the query's own limit, or by the next call's.
    on('half-open', 1, (gate) => gate.strand(), [500, 500], 45_000),
  ];
});

const temporalServer: Fault[] = [
  {
    name: 'Temporal kill -9',
    weight: 2,
    on: 'temporal',
    run: (chaos) => {
      const { temporal } = chaos.world.servers;
      return during(
        chaos,
        { name: 'Temporal kill -9', redelivers: true, outage: 'temporal', workers: all(chaos) },
        () => temporal.end('SIGKILL'),
        chaos.random.int(0, 3_000),
        () => temporal.start(),
      );
    },
  },
  {
    name: 'Temporal RESOURCE_EXHAUSTED',
    weight: 1,
    on: 'temporal',
    run: async (chaos) => {
      const { temporal } = chaos.world.servers;
      const limited = async (): Promise<void> => {
        await temporal.end('SIGTERM');
        // Per namespace and second; polls count as well.
        await temporal.start(['frontend.namespaceRPS=15', 'frontend.namespaceBurstRatio=1']);
      };
      const mend = async (): Promise<void> => {
        await temporal.end('SIGTERM');
        await temporal.start();
      };
      await during(
        chaos,
        { name: 'Temporal RESOURCE_EXHAUSTED', redelivers: true, outage: 'temporal', workers: all(chaos) },
        limited,
        chaos.random.int(4_000, 9_000),
        mend,
      );
    },
  },
];

const restarted = (how: string, signal: NodeJS.Signals): Fault => ({
  name: `PostgreSQL ${how}`,
  weight: 2,
  on: 'postgres',
  run: (chaos) => {
    const { postgres } = chaos.world.servers;
    return during(
      chaos,
      { name: `PostgreSQL ${how}`, redelivers: false },
      () => postgres.end(signal),
      chaos.random.int(0, 4_000),
      () => postgres.start(),
    );
  },
});

const CUT = `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'content_worker'`;

const settingOf = (
  name: string,
  set: readonly string[],
  unset: readonly string[],
  ms: readonly [number, number],
): Fault => ({
  name: `PostgreSQL ${name}`,
  weight: 2,
  on: 'postgres',
  run: (chaos) => {
    const run = async (statements: readonly string[]): Promise<void> => {
      for (const statement of statements) await chaos.world.query(statement);
    };
    const fault = { name: `PostgreSQL ${name}`, redelivers: false };
    return during(
      chaos,
      fault,
      () => run(set),
      chaos.random.int(...ms),
      () => run(unset),
    );
  },
});

const postgresServer: Fault[] = [
  restarted('kill -9', 'SIGKILL'),
  restarted('fast restart', 'SIGINT'),
  restarted('immediate restart', 'SIGQUIT'),
  settingOf('connections cut', [CUT], [], [0, 0]),
  settingOf(
    'read-only',
    ['alter role content_worker set default_transaction_read_only = on', CUT],
    ['alter role content_worker reset default_transaction_read_only', CUT],
    [2_000, 6_000],
  ),
  settingOf(
    'out of connections',
    ['alter role content_worker connection limit 1', CUT],
    ['alter role content_worker connection limit -1'],
    [2_000, 6_000],
  ),
  {
    name: 'PostgreSQL statement timeouts',
    weight: 2,
    on: 'postgres',
    run: (chaos) =>
      during(
        chaos,
        { name: 'PostgreSQL statement timeouts', redelivers: false },
        // Longer than the workers' statement_timeout; the lock goes with the statement.
        async () => {
          const locked = `do $$ begin lock table content_requests in access exclusive mode; perform pg_sleep(5); end $$`;
          await chaos.world.query(locked);
        },
        0,
        () => undefined,
      ),
  },
];

const provider: Fault[] = (
  [
    ['provider answers 503', 503],
    ['provider unreachable', 'reset'],
  ] as const
).map(([name, trouble]) => ({
  name,
  weight: 2,
  on: 'provider',
  run: (chaos) => {
    const { provider: server } = chaos.world;
    return during(
      chaos,
      { name, redelivers: false },
      () => void (server.trouble = trouble),
      chaos.random.int(2_000, 6_000),
      () => void (server.trouble = null),
    );
  },
}));

interface OpenRun {
  readonly rowId: string;
  readonly runId: string;
}

/** Some of the runs that are open now. */
async function openRuns({ world, random }: Chaos, count: number): Promise<OpenRun[]> {
  const open: OpenRun[] = [];
  const query = `WorkflowType = '${WORKFLOW.process}' AND ExecutionStatus = 'Running'`;
  for await (const run of world.temporal.workflow.list({ query, pageSize: 100 })) {
    open.push({ rowId: run.workflowId.slice(workflowId.process('').length), runId: run.runId });
    if (open.length === 100) break;
  }
  return Array.from({ length: Math.min(count, open.length) }, () => random.pick(open));
}

function fromOutside(
  name: string,
  weight: number,
  orderOf: (world: World, run: OpenRun) => Order | Promise<Order | null>,
): Fault {
  return {
    name,
    weight,
    on: 'operator',
    run: async (chaos) => {
      const window = chaos.log.begin({ name, redelivers: false });
      await unlessTemporalIsAway(async () => {
        for (const run of await openRuns(chaos, chaos.random.int(1, 5))) {
          await unlessEnded(async () => {
            const order = await orderOf(chaos.world, run);
            if (order !== null) await giveOrder(chaos.log, run.rowId, run.runId, order);
          });
        }
      });
      window.to = Date.now();
    },
  };
}

/** It may be gone before anything is ordered. */
async function unlessEnded(act: () => Promise<void>): Promise<void> {
  await act().catch((error: unknown) => {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  });
}

/** An operator whose Temporal is away does nothing; whether anything was done the touches say. */
async function unlessTemporalIsAway(act: () => Promise<void>): Promise<void> {
  await act().catch((error: unknown) => {
    if (!isTemporalAway(error)) throw error;
  });
}

function isTemporalAway(error: unknown): boolean {
  const text = error instanceof Error ? `${error.message} ${String(error.cause)}` : '';
  return /UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ECONN|Failed to|CANCELLED|not found|not ready/i.test(text);
}

const operator: Fault[] = [
  fromOutside('operator cancels', 1, (world, run) => cancelling(handleOf(world, run))),
  fromOutside('operator terminates', 1, (world, run) => terminating(handleOf(world, run))),
  fromOutside('operator resets', 1, (world, run) => reset(world, run)),
  {
    name: 'published again',
    weight: 3,
    on: 'operator',
    run: async (chaos) => {
      const requests = chaos.published().filter(({ rowId, messages }) => rowId !== null && messages.length === 1);
      if (requests.length === 0) return;
      const window = chaos.log.begin({ name: 'published again', redelivers: false });
      for (let times = chaos.random.int(1, 8); times > 0; times -= 1) {
        // The younger a request, the likelier that its run is just about to end.
        await chaos.publishAgain(chaos.random.pick(requests.slice(-100)));
      }
      window.to = Date.now();
    },
  },
];

function handleOf({ temporal }: World, { rowId, runId }: OpenRun): RunHandle {
  return temporal.workflow.getHandle(workflowId.process(rowId), runId);
}

function reset(world: World, run: OpenRun): Promise<Order | null> {
  const id = workflowId.process(run.rowId);
  return resetting(handleOf(world, run), world.temporal.workflow.getHandle(id), (workflowTaskFinishEventId) =>
    world.temporal.workflowService.resetWorkflowExecution({
      namespace: NAMES.namespace,
      workflowExecution: { workflowId: id, runId: run.runId },
      reason: 'chaos',
      workflowTaskFinishEventId,
      requestId: crypto.randomUUID(),
    }),
  );
}

/**
 * A worker that is cut off before it writes `completed`, whose runs are then started anew: its writes come too late.
 * `whenHeld` runs when it holds some. Among other faults it may find nothing to hold, and a run may not end: it goes on
 * after 15 and 30 s; with `patient` it waits for both.
 */
export async function letZombieWrite(
  chaos: Chaos,
  whenHeld: () => void | Promise<void>,
  patient = false,
): Promise<void> {
  const { world, log } = chaos;
  const name = `worker-zombie-${String(log.faults.length)}`;
  const worker = world.extraWorker(name, faultsAsEnv([{ point: 'worker.completing', action: 'hold', times: 3 }]));
  const window = log.begin({ name: 'zombie worker', redelivers: false, workers: [worker.number] });
  const ended = worker.once();
  const held = await heldRows(chaos, worker, patient ? Infinity : 30);
  await whenHeld();
  for (const rowId of held) {
    await unlessTemporalIsAway(() =>
      unlessEnded(async () => {
        const { runId } = await world.temporal.workflow.getHandle(workflowId.process(rowId)).describe();
        await giveOrder(log, rowId, runId, terminating(handleOf(world, { rowId, runId })));
      }),
    );
    const request = chaos.published().find((one) => one.rowId === rowId);
    if (request !== undefined) await chaos.publishAgain(request);
  }
  // Until the new runs have ended, or the faults must end.
  for (let tries = 0; tries < (patient ? Infinity : 60) && !chaos.signal.aborted && held.length > 0; tries += 1) {
    const rows = await world.query(
      `select count(*)::int as open from content_requests where id = any($1) and completed_at is null`,
      [held],
    );
    if (rows[0]?.['open'] === 0) break;
    await hold(chaos, 500);
  }
  worker.signal('SIGUSR2');
  await hold(chaos, 2_000);
  await worker.stop();
  await ended;
  window.to = Date.now();
}

const zombie: Fault = {
  name: 'zombie worker',
  weight: 1,
  on: 'worker',
  run: (chaos) => letZombieWrite(chaos, () => undefined),
};

/** Rows whose completion is held, as soon as there are three or half a second was waited so many times. */
async function heldRows(chaos: Chaos, worker: Supervised, most: number): Promise<string[]> {
  let rows: string[] = [];
  for (let tries = 0; tries < most && rows.length < 3 && !chaos.signal.aborted; tries += 1) {
    await hold(chaos, 500);
    rows = (await worker.output()).split('\n').flatMap((line) => {
      if (!line.startsWith('{"message":"fault point"')) return [];
      return (JSON.parse(line) as { keys: string[] }).keys;
    });
  }
  return rows;
}

export const FAULTS: readonly Fault[] = [
  ...signalled('kill -9', 'SIGKILL', 4),
  ...signalled('SIGTERM', 'SIGTERM', 3),
  ...paused,
  ...connections,
  ...temporalServer,
  ...postgresServer,
  ...provider,
  ...operator,
  zombie,
];
