/** What readiness says of the provider, after each way in which a call can end. */
import assert from 'node:assert/strict';
import pino from 'pino';
import type { Failure } from '../../src/activities/classify.ts';
import { GeneratorError, HttpStatusError, type Generator } from '../../src/generators/generator.ts';
import { ProviderState, type ProviderWord } from '../../src/worker/provider-state.ts';
import { waitFor } from '../support/wait-for.ts';

const CONFIGURATION: Failure = { kind: 'configuration', code: 'http_403' };
const UNAVAILABLE: Failure = { kind: 'unavailable', code: 'http_503', retryAfterMs: null };

describe('ProviderState', () => {
  let now = 0;
  let checks: number;
  let answer: Error | null;
  let lines: Record<string, unknown>[];
  beforeEach(() => {
    now = 0;
    checks = 0;
    answer = null;
    lines = [];
  });

  /** Each check under way waits here for its end. */
  let held: ((end: Error | null) => void)[] | null;
  beforeEach(() => {
    held = null;
  });

  const fresh = (): ProviderState => {
    const generator: Generator = {
      name: 'fake',
      generate: () => Promise.reject(new Error('not asked for')),
      check: () => {
        checks += 1;
        const waiting = held;
        if (waiting !== null) {
          return new Promise((resolve, reject) => {
            waiting.push((end) => (end === null ? resolve('all well') : reject(end)));
          });
        }
        return answer === null ? Promise.resolve('all well') : Promise.reject(answer);
      },
    };
    const log = pino(
      { level: 'info' },
      { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    );
    return new ProviderState(generator, log, () => now);
  };

  const reports: readonly (readonly [string, readonly (Failure | null)[], ProviderWord, boolean])[] = [
    ['nothing yet', [], 'not asked yet', true],
    ['an answer', [null], 'ok', true],
    ['a refusal of one request: the provider works', [{ kind: 'permanent', code: 'content_blocked' }], 'ok', true],
    ['a configuration that is refused', [null, CONFIGURATION], 'misconfigured', false],
    ['an outage', [null, UNAVAILABLE], 'unavailable', true],
    ['an outage, then an answer', [UNAVAILABLE, null], 'ok', true],
    ['refused, then mended', [CONFIGURATION, null], 'ok', true],
    [
      'refused, then a failure of one attempt',
      [CONFIGURATION, { kind: 'transient', code: 'x' }],
      'misconfigured',
      false,
    ],
    ['trouble with the database, which is not the provider', [null, { kind: 'database', code: '53300' }], 'ok', true],
  ];
  for (const [what, failures, word, ready] of reports) {
    it(`${what}: ${word}`, () => {
      const state = fresh();
      for (const failure of failures) state.report(failure);
      assert.deepEqual([state.word, state.ready], [word, ready]);
    });
  }

  const looks: readonly (readonly [string, Error | null, ProviderWord])[] = [
    ['all well', null, 'ok'],
    ['a role that is missing', new HttpStatusError(403, 'no role', null), 'misconfigured'],
    [
      'a request that is refused, though it holds nothing of a student',
      new HttpStatusError(400, 'no', null),
      'misconfigured',
    ],
    ['a provider that is away', new GeneratorError('unavailable', 'ECONNREFUSED', 'away'), 'unavailable'],
    ['a fault of the provider', new HttpStatusError(500, 'oops', null), 'unavailable'],
  ];
  for (const [what, error, word] of looks) {
    it(`a look that finds ${what}: ${word}, and a line that says so`, async () => {
      answer = error;
      const state = fresh();
      await state.look();
      assert.equal(state.word, word);
      assert.deepEqual(
        lines.map(({ msg }) => msg),
        [error === null ? 'provider checked' : 'provider check failed'],
      );
    });
  }

  it('whoever asks whether it is ready makes it look again, every 30 s while it is not well', async () => {
    answer = new HttpStatusError(403, 'no role', null);
    const state = fresh();
    await state.look();
    now = 29_999;
    state.lookAgainIfDue();
    assert.equal(checks, 1, 'not yet');
    now = 30_000;
    answer = null;
    state.lookAgainIfDue();
    state.lookAgainIfDue();
    assert.equal(checks, 2, 'once');
    await waitFor('it is well again, without a request', () => state.word === 'ok');
    now = 1e9;
    state.lookAgainIfDue();
    assert.equal(checks, 2, 'while all is well, the requests say enough');
  });

  const FORBIDDEN = new HttpStatusError(403, 'no role', null);
  /** [what a request told while the look was under way, how the look ended, what readiness says then] */
  const late: readonly (readonly [string, Failure | null | 'nothing', Error | null, ProviderWord])[] = [
    ['an answer stands against a look that failed', null, FORBIDDEN, 'ok'],
    ['a refusal stands against a look that was answered', CONFIGURATION, null, 'misconfigured'],
    ['an outage stands against a look that was answered', UNAVAILABLE, null, 'unavailable'],
    ['a failure of one attempt says nothing, so the look counts', { kind: 'transient', code: 'x' }, null, 'ok'],
    ['the twin: with nothing told meanwhile the look counts', 'nothing', FORBIDDEN, 'misconfigured'],
  ];
  for (const [what, told, end, word] of late) {
    it(`a look that ends late: ${what}`, async () => {
      const waiting = (held = []) as ((end: Error | null) => void)[];
      const state = fresh();
      // Told before the look began: older than it.
      state.report(UNAVAILABLE);
      const look = state.look();
      if (told !== 'nothing') state.report(told);
      waiting[0]?.(end);
      await look;
      assert.equal(state.word, word);
    });
  }

  it('of two looks the one that began later counts, whichever ends first', async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const waiting = (held = []) as ((end: Error | null) => void)[];
      const state = fresh();
      const looks = [state.look(), state.look()];
      for (const index of order) {
        waiting[index]?.(index === 0 ? FORBIDDEN : null);
        await looks[index];
      }
      assert.equal(state.word, 'ok', order.join(', '));
    }
  });
});
