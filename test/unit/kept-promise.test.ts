/** The twin of every test of a fault: what they ask of the facts can be answered with no. */
import assert from 'node:assert/strict';
import { brokenPromises, type Due, type Facts } from '../support/kept-promise.ts';

const COMPLETED: Facts = {
  status: 'completed',
  statuses: ['pending', 'generating_script', 'completed'],
  letters: [],
  calls: [{ key: 'row-1', body: '{}' }],
};
const COMPLETION: Due = { status: 'completed', letter: null, calls: { 'row-1': 1 } };

const LETTER = { dlqId: 'a', reason: 'generation_failed' };
const FAILED: Facts = {
  ...COMPLETED,
  status: 'failed',
  statuses: ['pending', 'generating_script', 'failed'],
  letters: [LETTER],
};
const FAILURE: Due = { status: 'failed', letter: 'generation_failed', calls: { 'row-1': 1 } };

describe('the promise, as it is asked of facts', () => {
  it('kept', () => {
    assert.deepEqual(brokenPromises(COMPLETED, COMPLETION), []);
    assert.deepEqual(brokenPromises(FAILED, FAILURE), []);
    assert.deepEqual(brokenPromises({ ...FAILED, letters: [LETTER, LETTER] }, { ...FAILURE, copies: 2 }), []);
    assert.deepEqual(
      brokenPromises({ status: null, statuses: [], letters: [], calls: [] }, { status: null, letter: null, calls: {} }),
      [],
    );
  });

  const BROKEN: readonly (readonly [what: string, facts: Facts, due: Due, says: RegExp])[] = [
    ['a row left open', { ...COMPLETED, status: 'pending', statuses: ['pending'] }, COMPLETION, /row: "pending"/],
    ['no row', { ...COMPLETED, status: null, statuses: [] }, COMPLETION, /row: null/],
    [
      'a second completion',
      { ...COMPLETED, statuses: [...COMPLETED.statuses, 'completed'] },
      COMPLETION,
      /ends of the row: \["completed","completed"\]/,
    ],
    [
      'an end before the end',
      { ...COMPLETED, statuses: ['pending', 'failed', 'pending', 'completed'] },
      COMPLETION,
      /ends of the row: \["failed","completed"\]/,
    ],
    ['a letter that is missing', { ...FAILED, letters: [] }, FAILURE, /reasons of letters: \[\]/],
    ['a letter that is not due', { ...COMPLETED, letters: [LETTER] }, COMPLETION, /1 copies of letters, at most 0/],
    ['a letter of another reason', { ...FAILED, letters: [{ ...LETTER, reason: 'not_json' }] }, FAILURE, /not_json/],
    [
      'two different letters',
      { ...FAILED, letters: [LETTER, { ...LETTER, dlqId: 'b' }] },
      { ...FAILURE, copies: 2 },
      /2 different letters/,
    ],
    ['a copy where none is due', { ...FAILED, letters: [LETTER, LETTER] }, FAILURE, /2 copies of letters, at most 1/],
    [
      'paid for twice',
      { ...COMPLETED, calls: [...COMPLETED.calls, ...COMPLETED.calls] },
      COMPLETION,
      /paid calls: \[\["row-1",2\]\]/,
    ],
    ['not paid for', { ...COMPLETED, calls: [] }, COMPLETION, /paid calls: \[\]/],
    [
      'asked again with other words',
      { ...COMPLETED, calls: [...COMPLETED.calls, { key: 'row-1', body: '{"attempt":2}' }] },
      { ...COMPLETION, calls: { 'row-1': 2 } },
      /2 different bodies/,
    ],
  ];
  for (const [what, facts, due, says] of BROKEN) {
    it(`broken: ${what}`, () => {
      assert.match(brokenPromises(facts, due).join('\n'), says);
    });
  }
});
