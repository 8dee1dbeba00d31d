import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  admit,
  afterOutage,
  afterSuccess,
  BACKOFF,
  backoffMs,
  CLOSED,
  troubledForMs,
  type Breaker,
} from '../../../src/bridge/breaker.ts';

const POLICY = { threshold: 3, ...BACKOFF };
const middle = (): number => 0.5;
const fails = (breaker: Breaker, now: number): Breaker => afterOutage(breaker, now, POLICY, middle);

describe('breaker', () => {
  it('opens at the threshold, not before, and a success between starts the count again', () => {
    const twice = fails(fails(CLOSED, 0), 1);
    assert.equal(twice.state, 'closed');
    assert.equal(fails(twice, 2).state, 'open');
    assert.equal(fails(fails(afterSuccess(), 2), 3).state, 'closed');
  });

  it('lets one probe through when the wait is over', () => {
    const open = fails(fails(fails(CLOSED, 0), 0), 0);
    assert.equal(admit(open, 249).go, false);
    const probe = admit(open, 250);
    assert.deepEqual([probe.go, probe.next.state], [true, 'half-open']);
    assert.equal(admit(probe.next, 10_000).go, false, 'only one');
    assert.equal(admit(afterSuccess(), 0).go, true);
  });

  it('doubles the wait with each failed probe, up to the cap, and remembers when it began', () => {
    let breaker = fails(fails(fails(CLOSED, 100), 100), 100);
    const waits: number[] = [];
    while (waits.length < 7) {
      assert.ok(breaker.state === 'open');
      waits.push(breaker.waitMs);
      const now = breaker.retryAt;
      assert.equal(troubledForMs(breaker, now), now - 100);
      breaker = fails(admit(breaker, now).next, now);
    }
    assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
  });

  it('calls that fail late say nothing new', () => {
    const open = fails(fails(fails(CLOSED, 0), 0), 0);
    assert.equal(fails(open, 99), open);
  });

  it('never blocks for ever, whatever happens in whatever order', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('outage', 'success', 'ask'), { maxLength: 50 }), (events) => {
        let breaker: Breaker = CLOSED;
        let now = 0;
        for (const event of events) {
          now += 100;
          if (event === 'success') breaker = afterSuccess();
          else if (event === 'outage') breaker = fails(breaker, now);
          else breaker = admit(breaker, now).next;
          if (breaker.state === 'open') assert.ok(breaker.retryAt - now <= BACKOFF.maxWaitMs * 1.2);
        }
        assert.equal(admit(afterSuccess(), now).go, true);
      }),
    );
  });

  it('backs off within its bounds', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (retry, random) => {
          const wait = backoffMs(retry, () => random);
          assert.ok(wait >= BACKOFF.firstWaitMs * 0.8 && wait <= BACKOFF.maxWaitMs * 1.2);
        },
      ),
    );
  });
});
