import assert from 'node:assert/strict';
import { IdleWatch } from '../../../src/bridge/idle.ts';
import { RejectAlarm } from '../../../src/bridge/reject-alarm.ts';

describe('idle watch', () => {
  it('needs three empty answers and the whole window', () => {
    const idle = new IdleWatch(30_000);
    idle.empty(0);
    idle.empty(10_000);
    assert.equal(idle.isIdle(60_000), false, 'two answers, however long');
    idle.empty(20_000);
    assert.equal(idle.isIdle(29_999), false);
    assert.equal(idle.isIdle(30_000), true);
  });

  it('three quick empty answers are no proof', () => {
    const idle = new IdleWatch(30_000);
    for (const at of [0, 1, 2]) idle.empty(at);
    assert.equal(idle.isIdle(3), false);
  });

  it('starts again after a message or an error', () => {
    const idle = new IdleWatch(1_000);
    for (const at of [0, 500, 900]) idle.empty(at);
    idle.reset();
    assert.equal(idle.isIdle(5_000), false);
    for (const at of [5_000, 5_500, 5_900]) idle.empty(at);
    assert.equal(idle.isIdle(6_000), true);
  });
});

describe('reject alarm', () => {
  const alarm = (): RejectAlarm => new RejectAlarm({ count: 20, ratio: 0.2 });

  it('rises at the count, once', () => {
    const watched = alarm();
    const rises = Array.from({ length: 40 }, () => watched.record(true));
    assert.equal(rises.indexOf(true), 19);
    assert.equal(rises.filter(Boolean).length, 1);
    assert.equal(watched.raised, true);
  });

  it('is told again with every hundredth message while it holds, and anew when it rises anew', () => {
    const watched = alarm();
    const tell = (count: number, rejected: boolean): number[] =>
      Array.from({ length: count }, () => watched.record(rejected)).flatMap((told, index) => (told ? [index] : []));
    assert.deepEqual(tell(250, true), [19, 119, 219]);
    assert.deepEqual(tell(1_000, false), [69], 'the window still holds 30 of them');
    assert.deepEqual(tell(25, true), [20], '21 of 100 are the first that are more than a fifth');
  });

  it('needs the ratio too: 20 of 100 is not more than 20 %', () => {
    const watched = alarm();
    for (let n = 0; n < 500; n += 1) watched.record(n % 5 === 4);
    assert.equal(watched.raised, false);
    for (let n = 0; n < 500; n += 1) watched.record(n % 4 === 3);
    assert.equal(watched.raised, true);
  });

  it('forgets what is longer ago than the last 100', () => {
    const watched = alarm();
    for (let n = 0; n < 19; n += 1) watched.record(true);
    for (let n = 0; n < 100; n += 1) watched.record(false);
    assert.equal(watched.record(true), false);
    assert.equal(watched.raised, false);
  });
});
