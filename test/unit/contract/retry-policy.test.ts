import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DEFAULT_RETRY_POLICY, waitAfterMs, type RetryPolicy } from '../../../src/contract/retry-policy.ts';

const policies: fc.Arbitrary<RetryPolicy> = fc.record({
  maxAttempts: fc.integer({ min: 1, max: 100 }),
  firstWaitMs: fc.integer({ min: 1, max: 3_600_000 }),
  factor: fc.double({ min: 1, max: 100, noNaN: true }),
  maxWaitMs: fc.integer({ min: 1, max: 86_400_000 }),
  maxAgeMs: fc.integer({ min: 0, max: 604_800_000 }),
});
/** Well over the 100 attempts that a policy may have: factor ** failures is infinite there. */
const failures = fc.integer({ min: 1, max: 10_000 });

describe('waitAfterMs', () => {
  it('the default policy waits 10, 20, 40, 80 seconds, and never over 10 minutes', () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 8, 100].map((failure) => waitAfterMs(DEFAULT_RETRY_POLICY, failure) / 1000);
    assert.deepEqual(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
  });

  it('the first wait is the first wait, unless the longest is shorter', () => {
    fc.assert(
      fc.property(policies, (policy) => {
        assert.equal(waitAfterMs(policy, 1), Math.min(policy.firstWaitMs, policy.maxWaitMs));
        assert.equal(waitAfterMs(policy, 0), waitAfterMs(policy, 1));
      }),
    );
  });

  it('is a whole number of milliseconds from the first wait to the longest', () => {
    fc.assert(
      fc.property(policies, failures, (policy, failure) => {
        const wait = waitAfterMs(policy, failure);
        assert.ok(Number.isInteger(wait));
        assert.ok(wait >= Math.min(policy.firstWaitMs, policy.maxWaitMs) && wait <= policy.maxWaitMs);
      }),
    );
  });

  it('never falls with the failures, and reaches the longest', () => {
    fc.assert(
      fc.property(policies, failures, failures, (policy, one, other) => {
        const [few, many] = one < other ? [one, other] : [other, one];
        assert.ok(waitAfterMs(policy, few) <= waitAfterMs(policy, many));
        if (policy.factor >= 1.1) assert.equal(waitAfterMs(policy, 10_000), policy.maxWaitMs);
      }),
    );
  });

  it('twin: a wait that ignores the longest is seen', () => {
    const unbounded = fc.property(policies, failures, (policy, failure) => {
      return waitAfterMs({ ...policy, maxWaitMs: Number.MAX_VALUE }, failure) <= policy.maxWaitMs;
    });
    assert.ok(fc.check(unbounded).failed);
  });
});
