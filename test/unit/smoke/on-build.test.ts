/** How many messages it takes until one has met a build, and what each end says about it. */
import assert from 'node:assert/strict';
import type { Clock } from '../../../src/bridge/clock.ts';
import { MAX_MESSAGES, nextOf, smokeOnBuild, TAKEN_UP_WITHIN_MS, type Published } from '../../../src/smoke/on-build.ts';
import type { Outcome } from '../../../src/smoke/smoke.ts';
import type { SeenRun } from '../../../src/smoke/watch.ts';

const OLD = 'aaaa00000001';
const NEW = 'bbbb00000002';

const NOTHING: SeenRun = { row: null, end: null, begun: false, buildId: null };
const BEGUN: SeenRun = { ...NOTHING, row: { id: 'x' }, begun: true };
const on = (buildId: string | null, end: SeenRun['end'] = null): SeenRun => ({ ...BEGUN, buildId, end });

const published = (seen: SeenRun, begunMs: number | null = seen.begun ? 0 : null): Published => ({
  correlationId: 'smoke-x',
  seen,
  begunMs,
});
const many = (count: number, seen: SeenRun): Published[] => Array.from({ length: count }, () => published(seen));

describe('smoke test of a build: the next step', () => {
  const cases: readonly (readonly [string, readonly Published[], number | Outcome['reason'], number?])[] = [
    ['nothing is published yet', [], 1],
    ['nobody has taken it', [published(NOTHING)], 0, 1_000_000],
    ['it has begun, and no worker has it', [published(BEGUN)], 0, TAKEN_UP_WITHIN_MS - 1],
    ['it has begun, and no worker has taken it in time', [published(BEGUN)], 2, TAKEN_UP_WITHIN_MS],
    ['one on the build is not at its end', [published(on(NEW))], 0, 1_000_000],
    ['one on the build is completed', [published(on(NEW, 'completed'))], 'completed'],
    ['one on the build has failed', [published(on(NEW, 'failed'))], 'failed'],
    ['one on the build was cancelled', [published(on(NEW, 'cancelled'))], 'failed'],
    ['two on the build, one of them open', [published(on(NEW, 'completed')), published(on(NEW))], 0],
    ['two on the build, one failed', [published(on(NEW, 'completed')), published(on(NEW, 'failed'))], 'failed'],
    ['one on the build, another nobody has', [published(on(NEW, 'completed')), published(NOTHING)], 'completed'],
    ['one on the old build, open', [published(on(OLD))], 2],
    ['one on the old build, completed: says nothing about the new one', [published(on(OLD, 'completed'))], 2],
    ['one on the old build, failed: neither', [published(on(OLD, 'failed'))], 2],
    [
      'one on the old build, failed, and one completed on the new',
      [published(on(OLD, 'failed')), published(on(NEW, 'completed'))],
      'completed',
    ],
    ['one that workers without a version have completed', [published(on(null, 'completed'))], 2],
    ['one on the old build, one of the same round not taken', [published(on(OLD)), published(NOTHING)], 0],
    ['three on the old build', many(3, on(OLD)), 4],
    ['63 on the old build: no more than a hundred', many(63, on(OLD)), MAX_MESSAGES - 63],
    ['a hundred on the old build', many(MAX_MESSAGES, on(OLD)), 'timed_out'],
    ['of a hundred one may still come', [...many(MAX_MESSAGES - 1, on(OLD)), published(BEGUN)], 0, 1_000_000],
  ];
  for (const [what, messages, expected, nowMs = 0] of cases) {
    it(`${what}: ${String(expected)}`, () => {
      const next = nextOf(messages, NEW, nowMs);
      assert.equal(next.kind === 'ended' ? next.outcome.reason : next.publish, expected);
    });
  }
});

describe('smoke test of a build', () => {
  interface Tried {
    readonly outcome: Outcome;
    readonly published: number;
    readonly said: string;
    readonly ms: number;
  }

  /** @param seenOf What becomes of the n-th message, from 1 on. */
  async function tried(seenOf: (n: number) => SeenRun, waitMs = 60_000): Promise<Tried> {
    let now = 0;
    const clock: Clock = {
      now: () => now,
      date: () => new Date(now),
      sleep: (ms) => {
        now += ms;
        return Promise.resolve();
      },
    };
    const ids: string[] = [];
    const said: string[] = [];
    const outcome = await smokeOnBuild(
      (body) => {
        ids.push((JSON.parse(body) as { correlation_id: string }).correlation_id);
        return Promise.resolve(String(ids.length));
      },
      {
        asked: '',
        look: (correlationId) => Promise.resolve(seenOf(ids.indexOf(correlationId) + 1)),
        close: () => Promise.resolve(),
      },
      NEW,
      waitMs,
      (line) => said.push(line),
      clock,
    );
    assert.equal(new Set(ids).size, ids.length, 'never twice under the same id');
    return { outcome, published: ids.length, said: said.join('\n'), ms: now };
  }

  it('is one message where the build gets all runs', async () => {
    const { outcome, published: count } = await tried(() => on(NEW, 'completed'));
    assert.equal(outcome.reason, 'completed');
    assert.equal(count, 1);
  });

  it('goes on until one has met the build, whatever becomes of those on others', async () => {
    const { outcome, said } = await tried((n) => (n === 20 ? on(NEW, 'completed') : on(OLD, 'failed')));
    assert.equal(outcome.reason, 'completed');
    assert.match(said, /^of 31 messages: 30 on aaaa00000001, 1 on bbbb00000002$/m);
  });

  it('the twin: when that one fails, so does the test', async () => {
    const { outcome } = await tried((n) => (n === 20 ? on(NEW, 'failed') : on(OLD, 'completed')));
    assert.equal(outcome.reason, 'failed');
    assert.match(outcome.verdict, /^FAILED: a run on bbbb00000002 did not end as completed$/);
  });

  it('ends after a hundred that have all completed elsewhere, and says where', async () => {
    const { outcome, published: count, said, ms } = await tried(() => on(OLD, 'completed'));
    assert.equal(outcome.reason, 'timed_out');
    assert.match(outcome.verdict, /^MISSED: none of 100 messages ran on bbbb00000002: .*rollout -- status/);
    assert.match(said, /^of 100 messages: 100 on aaaa00000001$/m);
    assert.equal(count, MAX_MESSAGES);
    assert.ok(ms < 60_000, 'a wait could bring nothing');
  });

  it('ends when its time is over: nobody takes messages, or runs, or ends them', async () => {
    const verdictOf = async (seen: SeenRun): Promise<string> => {
      const { outcome, ms } = await tried(() => seen);
      assert.equal(outcome.reason, 'timed_out');
      assert.ok(ms >= 60_000, `${String(ms)} ms`);
      return outcome.verdict;
    };
    assert.match(
      await verdictOf(NOTHING),
      /^TIMED OUT after 60 s: nobody has taken the message: does the bridge run\?$/,
    );
    assert.match(await verdictOf(BEGUN), /^TIMED OUT after 60 s: none of \d+ messages ran on bbbb00000002: /);
    assert.match(await verdictOf(on(NEW)), /^TIMED OUT after 60 s: a run on bbbb00000002 has not ended$/);
  });

  it('misses a build with a share of 10 % once in a hundred times with 44 messages, and hardly ever with all', () => {
    const chanceToMiss = (messages: number): number => 0.9 ** messages;
    assert.ok(chanceToMiss(44) < 0.01 && chanceToMiss(43) > 0.01);
    assert.ok(Math.abs(1 / chanceToMiss(MAX_MESSAGES) - 38_000) < 500);
  });
});
