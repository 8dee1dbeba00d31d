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

  const fresh = (): ProviderState => {
    const generator: Generator = {
      name: 'fake',
      generate: () => Promise.reject(new Error('not asked for')),
      check: () => {
        checks += 1;
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
});
