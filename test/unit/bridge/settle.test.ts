import assert from 'node:assert/strict';
import { EXIT_CODE, exitCodeOf } from '../../../src/bridge/exit.ts';
import { settle, type Action, type Outcome } from '../../../src/bridge/settle.ts';

/** The table of the design, written a second time: whoever changes one must change the other. */
const TABLE: Record<Outcome, Action> = {
  started: 'ack',
  duplicate: 'ack',
  conflict: 'dead-letter-then-ack',
  'invalid-identified': 'dead-letter-and-reject-then-ack',
  'invalid-anonymous': 'dead-letter-then-ack',
  'run-is-undecided': 'keep-then-give-back',
  'temporal-outage': 'keep',
  'publish-outage': 'keep',
  misconfigured: 'give-back-and-exit-2',
  unpublishable: 'leave-to-backstop',
};

describe('settle', () => {
  for (const [outcome, action] of Object.entries(TABLE) as [Outcome, Action][]) {
    it(`${outcome}: ${action}`, () => assert.equal(settle(outcome), action));
  }

  it('an outage is never acked or dead-lettered', () => {
    for (const outcome of ['temporal-outage', 'publish-outage', 'misconfigured', 'run-is-undecided'] as const) {
      assert.doesNotMatch(settle(outcome), /^ack|then-ack|dead-letter/);
    }
  });
});

describe('exit codes', () => {
  it('says with 5 that a clean end had too many rejections, and hides no other code', () => {
    assert.equal(exitCodeOf('drained', false), 0);
    assert.equal(exitCodeOf('drained', true), 5);
    assert.equal(exitCodeOf('signal', true), 5);
    assert.equal(exitCodeOf('temporal_unavailable', true), 3);
    assert.equal(exitCodeOf('configuration', true), 2);
    assert.deepEqual(new Set(Object.values(EXIT_CODE)), new Set([0, 1, 2, 3, 4, 5]));
  });
});
