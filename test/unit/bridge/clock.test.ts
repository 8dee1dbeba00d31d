import assert from 'node:assert/strict';
import { systemClock, untilAborted } from '../../../src/bridge/clock.ts';

describe("the bridge's clock", () => {
  const { now } = Date;
  afterEach(() => {
    Date.now = now;
  });

  it('waits and limits go on when the wall clock is set back an hour', () => {
    const before = systemClock.now();
    const real = now();
    Date.now = () => real - 3_600_000;
    assert.ok(systemClock.now() >= before);
    // The twin: what stood here before would not.
    assert.ok(Date.now() < real);
  });

  it('its date is what the calendar says', () => {
    assert.ok(Math.abs(systemClock.date().getTime() - now()) < 60_000);
  });
});

describe('untilAborted', () => {
  const unheard: unknown[] = [];
  const onUnheard = (reason: unknown): void => void unheard.push(reason);
  before(() => process.on('unhandledRejection', onUnheard));
  after(() => process.removeListener('unhandledRejection', onUnheard));
  /** Node has told of what nobody heard by then. */
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('a failure after the signal is heard, however early the signal came: unheard it would end the process', async () => {
    const failing = (): Promise<never> => Promise.reject(new Error('nobody waits for it'));
    assert.equal(await untilAborted(AbortSignal.abort(), failing()), 'aborted');
    const stop = new AbortController();
    let fail = (_: Error): void => undefined;
    const asked = untilAborted(stop.signal, new Promise<never>((_, reject) => (fail = reject)));
    stop.abort();
    assert.equal(await asked, 'aborted');
    fail(new Error('too late'));
    await turn();
    assert.deepEqual(unheard, []);
  });

  it('the twin: without a signal it is heard', async () => {
    const failing = untilAborted(new AbortController().signal, Promise.reject(new Error('heard')));
    await assert.rejects(failing, /heard/);
  });
});
