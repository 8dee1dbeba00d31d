import assert from 'node:assert/strict';
import pino from 'pino';
import type { Clock } from '../../../src/bridge/clock.ts';
import { Leases } from '../../../src/bridge/leases.ts';
import type { SubscriberApi } from '../../../src/bridge/pull.ts';

const log = pino({ level: 'silent' });

/** Time passes only when a test says so. */
class HandClock implements Clock {
  time = 0;
  readonly #sleepers: { at: number; wake: () => void }[] = [];

  now(): number {
    return this.time;
  }

  date(): Date {
    return new Date(this.time);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake) => {
      this.#sleepers.push({ at: this.time + ms, wake });
      signal?.addEventListener('abort', () => wake(), { once: true });
    });
  }

  async pass(ms: number): Promise<void> {
    this.time += ms;
    for (const sleeper of this.#sleepers.splice(0)) {
      if (sleeper.at <= this.time) sleeper.wake();
      else this.#sleepers.push(sleeper);
    }
    // The woken ones run before the next line of the test.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function recording(): { api: SubscriberApi; calls: { ids: string[]; seconds: number }[]; failing: boolean } {
  const state = { calls: [] as { ids: string[]; seconds: number }[], failing: false };
  const api: SubscriberApi = {
    getSubscription: () => Promise.resolve(),
    pull: () => Promise.reject(new Error('not here')),
    acknowledge: () => Promise.reject(new Error('not here')),
    modifyAckDeadline: (request) => {
      state.calls.push({ ids: request.ackIds, seconds: request.ackDeadlineSeconds });
      return state.failing ? Promise.reject(new Error('unavailable')) : Promise.resolve();
    },
  };
  return Object.assign(state, { api });
}

const OPTIONS = { subscription: 's', ackDeadlineSeconds: 30, renewMs: 10_000 };

describe('leases', () => {
  it('renews what is held, every renewal, and nothing after its release', async () => {
    const clock = new HandClock();
    const recorded = recording();
    const leases = new Leases(recorded.api, OPTIONS, clock, log);
    const stop = new AbortController();
    const renewing = leases.keepRenewing(stop.signal);
    leases.hold('a');
    leases.hold('b');
    await clock.pass(9_999);
    assert.equal(recorded.calls.length, 0);
    await clock.pass(1);
    leases.release('a');
    await clock.pass(10_000);
    assert.deepEqual(recorded.calls, [
      { ids: ['a', 'b'], seconds: 30 },
      { ids: ['b'], seconds: 30 },
    ]);
    stop.abort();
    await renewing;
    await clock.pass(60_000);
    assert.equal(recorded.calls.length, 2);
  });

  it('a failed renewal is tried again at the next', async () => {
    const clock = new HandClock();
    const recorded = recording();
    recorded.failing = true;
    const leases = new Leases(recorded.api, OPTIONS, clock, log);
    leases.hold('a');
    await leases.renew();
    assert.equal(leases.holds('a'), true);
    await leases.renew();
    assert.equal(recorded.calls.length, 2);
  });

  it('a renewal that hangs does not put off the next: half a lease apart, one may be lost', async () => {
    const clock = new HandClock();
    const recorded = recording();
    const hanging: SubscriberApi = {
      ...recorded.api,
      modifyAckDeadline: async (request, limits) => {
        await recorded.api.modifyAckDeadline(request, limits);
        if (recorded.calls.length === 1) await new Promise(() => undefined);
      },
    };
    const leases = new Leases(hanging, { ...OPTIONS, renewMs: 15_000 }, clock, log);
    const stop = new AbortController();
    const renewing = leases.keepRenewing(stop.signal);
    leases.hold('a');
    await clock.pass(15_000);
    await clock.pass(15_000);
    assert.equal(recorded.calls.length, 2);
    stop.abort();
    await renewing;
  });

  it('gives back in calls of at most 1000 ids', async () => {
    const recorded = recording();
    const leases = new Leases(recorded.api, OPTIONS, new HandClock(), log);
    const ids = Array.from({ length: 2_001 }, (_, n) => String(n));
    for (const id of ids) leases.hold(id);
    await leases.giveBack(ids);
    assert.deepEqual(
      recorded.calls.map((call) => [call.ids.length, call.seconds]),
      [
        [1000, 0],
        [1000, 0],
        [1, 0],
      ],
    );
    await leases.renew();
    assert.equal(recorded.calls.length, 3, 'nothing is held any more');
  });
});
