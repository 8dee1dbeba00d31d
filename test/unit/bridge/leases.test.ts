import assert from 'node:assert/strict';
import pino from 'pino';
import { Leases } from '../../../src/bridge/leases.ts';
import type { SubscriberApi } from '../../../src/bridge/pull.ts';
import { HandClock } from '../../support/hand-clock.ts';

const log = pino({ level: 'silent' });

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
