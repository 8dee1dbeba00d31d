/** What the verbs decide where the e2e test cannot bring a server to it: races, outages in between, and waits to their end. */
import assert from 'node:assert/strict';
import type { Clock } from '../../../src/bridge/clock.ts';
import { CODE } from '../../../src/bridge/grpc.ts';
import { drained, promote, ramp, rollback } from '../../../src/rollout/verbs.ts';
import type { Build, Routing, WorkerDeployment } from '../../../src/rollout/worker-deployment.ts';

/** Whoever sleeps gets what `onSleep` brings about. */
function clockOf(onSleep: () => void = () => undefined): Clock {
  let now = 0;
  return {
    now: () => now,
    date: () => new Date(now),
    sleep: (ms) => {
      now += ms;
      onSleep();
      return Promise.resolve();
    },
  };
}

const build = (buildId: string, more: Partial<Build> = {}): Build => ({
  buildId,
  status: 'inactive',
  firstActiveMs: null,
  lastCurrentMs: null,
  ...more,
});

interface Made extends WorkerDeployment {
  /** What was asked for, in order. */
  readonly changes: string[];
  state: Routing | null;
  readonly pollers: Set<string | null>;
  /** Thrown by the calls to come, one each. */
  readonly troubles: (Error | null)[];
}

const grpcError = (code: number, message = 'said the server'): Error => Object.assign(new Error(message), { code });

/** Every change makes a new token, and is refused with an old one, as by the server. */
function made(routing: Partial<Routing> | null, pollers: readonly (string | null)[]): Made {
  let version = 1;
  const token = (): Uint8Array => Uint8Array.of(version);
  const apply = (given: Uint8Array | null, text: string, next: Partial<Routing>): Promise<void> => {
    const trouble = self.troubles.shift() ?? null;
    if (trouble !== null) return Promise.reject(trouble);
    if (given?.[0] !== version) return Promise.reject(grpcError(CODE.failedPrecondition, 'conflict token mismatch'));
    version += 1;
    assert(self.state, 'a deployment that is known');
    self.state = { ...self.state, ...next, token: token() };
    self.changes.push(text);
    return Promise.resolve();
  };
  const self: Made = {
    changes: [],
    pollers: new Set(pollers),
    troubles: [],
    state:
      routing === null ? null : { current: null, ramping: null, builds: [], settled: true, ...routing, token: token() },
    routing: () => {
      const trouble = self.troubles.shift() ?? null;
      return trouble === null ? Promise.resolve(self.state) : Promise.reject(trouble);
    },
    polling: () => Promise.resolve(self.pollers),
    setCurrent: (buildId, given) => apply(given, `current ${String(buildId)}`, { current: buildId }),
    setRamping: (next, given) =>
      apply(given, next === null ? 'no ramp' : `ramp ${next.buildId} ${String(next.percent)}`, { ramping: next }),
  };
  return self;
}

const AT_ONCE = { waitMs: 0, clock: clockOf() };

describe('rollout verbs', () => {
  const three = [
    build('a', { firstActiveMs: 1_000, lastCurrentMs: 1_000 }),
    build('b', { firstActiveMs: 2_000, lastCurrentMs: 2_000 }),
    build('c', { firstActiveMs: 3_000, lastCurrentMs: 3_000, status: 'current' }),
  ];

  it('a promotion ends the ramp of a third build first, and each change has the newest token', async () => {
    const deployment = made({ current: 'c', ramping: { buildId: 'b', percent: 10 }, builds: three }, ['a', 'b', 'c']);
    assert.deepEqual(await promote(deployment, 'a', AT_ONCE), { reason: 'done', text: 'a gets all new runs' });
    assert.deepEqual(deployment.changes, ['no ramp', 'current a']);
  });

  it('a promotion of what is current only ends the ramp', async () => {
    const deployment = made({ current: 'c', ramping: { buildId: 'b', percent: 10 }, builds: three }, ['b', 'c']);
    assert.equal((await promote(deployment, 'c', AT_ONCE)).reason, 'done');
    assert.deepEqual(deployment.changes, ['no ramp']);
  });

  it('a promotion of what is ramped is one change', async () => {
    const deployment = made({ current: 'c', ramping: { buildId: 'b', percent: 10 }, builds: three }, ['b', 'c']);
    assert.equal((await promote(deployment, 'b', AT_ONCE)).reason, 'done');
    assert.deepEqual(deployment.changes, ['current b']);
  });

  it('a rollback goes to whoever was current before, and a second call changes nothing', async () => {
    const deployment = made({ current: 'c', builds: three }, ['a', 'b', 'c']);
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).text, 'b gets all new runs again, instead of c');
    assert.deepEqual(await rollback(deployment, 'c', AT_ONCE), {
      reason: 'done',
      text: 'c gets no new runs as it is: nothing is changed',
    });
    assert.deepEqual(deployment.changes, ['current b']);
  });

  it('the twin: named another build, the second call does change something', async () => {
    const deployment = made({ current: 'c', builds: three }, ['a', 'b', 'c']);
    await rollback(deployment, 'c', AT_ONCE);
    // As the server has it now: b is current for the second time, after c.
    const again = build('b', { firstActiveMs: 2_000, lastCurrentMs: 4_000, status: 'current' });
    deployment.state &&= { ...deployment.state, builds: three.map((each) => (each.buildId === 'b' ? again : each)) };
    assert.equal((await rollback(deployment, 'b', AT_ONCE)).text, 'a gets all new runs again, instead of b');
    assert.deepEqual(deployment.changes, ['current b', 'current a'], 'c was current more recently, and is bad');
  });

  it('a build that only newer ones have followed has nothing to go back to', async () => {
    const builds = [build('b', { firstActiveMs: 1_000, lastCurrentMs: 4_000 }), ...three.slice(2)];
    const deployment = made({ current: 'b', builds }, ['b', 'c']);
    assert.equal((await rollback(deployment, 'b', AT_ONCE)).reason, 'refused');
    assert.deepEqual(deployment.changes, []);
    deployment.pollers.add(null);
    assert.match((await rollback(deployment, 'b', AT_ONCE)).text, /^workers without a version get all new runs again/);
    assert.deepEqual(deployment.changes, ['current null']);
  });

  it('the ramp of the bad build ends, and a second call leaves the good build and its own ramps alone', async () => {
    const deployment = made({ current: 'b', ramping: { buildId: 'c', percent: 10 }, builds: three }, ['a', 'b', 'c']);
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).text, 'c gets no new runs; b gets all');
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).reason, 'done');
    await ramp(deployment, 'a', 10, AT_ONCE);
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).reason, 'done');
    assert.deepEqual(deployment.changes, ['no ramp', 'ramp a 10']);
  });

  it('a ramp beside a bad current build ends with it: one build that is known gets all', async () => {
    const deployment = made({ current: 'c', ramping: { buildId: 'a', percent: 10 }, builds: three }, ['a', 'b', 'c']);
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).reason, 'done');
    assert.deepEqual(deployment.changes, ['no ramp', 'current b']);
  });

  it('a build that nobody knows is no reason to change anything', async () => {
    const deployment = made({ current: 'c', builds: three }, ['a', 'b', 'c']);
    assert.deepEqual(await rollback(deployment, 'd', AT_ONCE), {
      reason: 'unknown_build',
      text: 'Temporal knows no build d',
    });
    assert.equal((await rollback(made(null, []), 'c', AT_ONCE)).reason, 'unknown_build');
    assert.deepEqual(deployment.changes, []);
  });

  it('after a rollback that was not everywhere in time, the second call waits until it is', async () => {
    const deployment = made({ current: 'c', settled: false, builds: three }, ['a', 'b', 'c']);
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).reason, 'not_yet');
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).reason, 'not_yet');
    deployment.state &&= { ...deployment.state, settled: true };
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).reason, 'done');
    assert.deepEqual(deployment.changes, ['current b']);
  });

  it('whoever waits for workers of the build before, and is overtaken meanwhile, changes nothing', async () => {
    const deployment = made({ current: 'c', builds: three }, ['a', 'c']);
    const clock = clockOf(() => {
      deployment.pollers.add('b');
      deployment.state &&= { ...deployment.state, current: 'a' };
    });
    assert.equal((await rollback(deployment, 'c', { waitMs: 10_000, clock })).reason, 'refused');
    assert.deepEqual(deployment.changes, []);
  });

  it('and never to one without workers: the one before it is no guess of ours', async () => {
    const deployment = made({ current: 'c', builds: three }, ['a', 'c']);
    assert.equal((await rollback(deployment, 'c', AT_ONCE)).reason, 'no_pollers');
    assert.deepEqual(deployment.changes, []);
  });

  it('a ramp is refused where the current build has no workers: the rest of the new runs would wait', async () => {
    const deployment = made({ current: 'c', builds: three }, ['a']);
    const { reason, text } = await ramp(deployment, 'a', 10, AT_ONCE);
    assert.equal(reason, 'refused');
    assert.match(text, /^no worker of c polls, so 90 % .*: promote a$/);
    assert.deepEqual(deployment.changes, []);
  });

  it('whoever was overtaken, or whose build lacks a task queue, is refused in the words of the server', async () => {
    for (const code of [CODE.failedPrecondition, CODE.aborted]) {
      const deployment = made({ current: 'c', builds: three }, ['a', 'b', 'c']);
      deployment.troubles.push(null, grpcError(code, 'missing task queues'));
      const { reason, text } = await promote(deployment, 'a', AT_ONCE);
      assert.equal(reason, 'refused', `code ${String(code)}`);
      assert.match(text, /missing task queues/);
    }
  });

  it('the twin: any other refusal is thrown, and told by its code', async () => {
    const deployment = made({ current: 'c', builds: three }, ['a', 'b', 'c']);
    deployment.troubles.push(null, grpcError(CODE.permissionDenied));
    await assert.rejects(promote(deployment, 'a', AT_ONCE), { code: CODE.permissionDenied });
  });

  it('a change that is not everywhere within a minute is told as not yet', async () => {
    const deployment = made({ current: 'c', settled: false, builds: three }, ['a', 'c']);
    const { reason, text } = await promote(deployment, 'a', AT_ONCE);
    assert.equal(reason, 'not_yet');
    assert.match(text, /^a gets all new runs; not every task queue has heard of the last change yet$/);
    assert.deepEqual(deployment.changes, ['current a']);
  });

  it('the twin: one that is there after a while is done', async () => {
    const deployment = made({ current: 'c', settled: false, builds: three }, ['a', 'c']);
    const clock = clockOf(() => {
      if (clock.now() > 30_000 && deployment.state !== null) deployment.state = { ...deployment.state, settled: true };
    });
    assert.equal((await promote(deployment, 'a', { waitMs: 0, clock })).reason, 'done');
  });

  it('workers that come while they are waited for are enough, also the very first', async () => {
    const deployment = made(null, []);
    const clock = clockOf(() => {
      if (clock.now() < 5_000) return;
      deployment.state = { current: null, ramping: null, builds: [build('a')], settled: true, token: Uint8Array.of(1) };
      if (clock.now() >= 8_000) deployment.pollers.add('a');
    });
    assert.equal((await promote(deployment, 'a', { waitMs: 10_000, clock })).reason, 'done');
    assert.ok(clock.now() >= 8_000, `${String(clock.now())} ms`);
  });

  it('the twin: whoever waits for less is told how long he has waited', async () => {
    const { reason, text } = await promote(made(null, []), 'a', { waitMs: 10_000, clock: clockOf() });
    assert.equal(reason, 'unknown_build');
    assert.match(text, /no worker of a has come within 10 s/);
  });

  it('a server that is away while somebody waits is asked again; at the end of the wait it is told', async () => {
    const builds = [build('a', { status: 'draining', firstActiveMs: 1_000 })];
    const deployment = made({ builds }, []);
    deployment.troubles.push(grpcError(CODE.unavailable), grpcError(CODE.deadlineExceeded));
    const clock = clockOf(() => {
      if (clock.now() < 3_000 || deployment.state === null) return;
      deployment.state = { ...deployment.state, builds: [build('a', { status: 'drained' })] };
    });
    assert.equal((await drained(deployment, 'a', { waitMs: 10_000, clock })).reason, 'done');
    deployment.troubles.push(grpcError(CODE.unavailable));
    await assert.rejects(drained(deployment, 'a', AT_ONCE), { code: CODE.unavailable });
    deployment.troubles.push(grpcError(CODE.permissionDenied));
    await assert.rejects(drained(deployment, 'a', { waitMs: 10_000, clock: clockOf() }), {
      code: CODE.permissionDenied,
    });
  });

  it('drained is a build whose runs have ended, or that never had one', async () => {
    const cases: readonly (readonly [Partial<Build>, string])[] = [
      [{ status: 'drained', firstActiveMs: 1_000 }, 'done'],
      [{ status: 'inactive', firstActiveMs: null }, 'done'],
      [{ status: 'inactive', firstActiveMs: 1_000 }, 'not_yet'],
      [{ status: 'draining', firstActiveMs: 1_000 }, 'not_yet'],
      [{ status: 'current', firstActiveMs: null }, 'not_yet'],
      [{ status: 'ramping', firstActiveMs: null }, 'not_yet'],
      [{ status: 'unknown', firstActiveMs: null }, 'not_yet'],
    ];
    for (const [more, reason] of cases) {
      const { reason: found } = await drained(made({ builds: [build('a', more)] }, []), 'a', AT_ONCE);
      assert.equal(found, reason, JSON.stringify(more));
    }
    assert.equal((await drained(made({ builds: [build('b')] }, []), 'a', AT_ONCE)).reason, 'unknown_build');
  });
});
