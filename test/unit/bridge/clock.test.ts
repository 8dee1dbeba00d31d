import assert from 'node:assert/strict';
import { systemClock } from '../../../src/bridge/clock.ts';

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
