/** Which pools may go, and whether a build gets new runs, read from what the rollout prints. */
import assert from 'node:assert/strict';
import { getsNewRuns, over, readStatus, type Status } from '../../../scripts/rollout-status.ts';
import type { BuildStatus } from '../../../src/rollout/worker-deployment.ts';
import type { Status as Told } from '../../../src/rollout/verbs.ts';

interface Given {
  readonly buildId: string;
  readonly status: BuildStatus;
  readonly lastCurrentMs?: number;
  /** No run ever began on it. */
  readonly unused?: true;
}
function statusOf(current: string | null, ramping: string | null, builds: readonly Given[]): Status {
  // Of the type that the rollout prints: a field that it does not have cannot be asked for here.
  const told: Told = {
    current,
    ramping: ramping === null ? null : { buildId: ramping, percent: 10 },
    settled: true,
    unversionedPolling: false,
    builds: builds.map(({ unused, ...build }) => ({
      lastCurrentMs: null,
      firstActiveMs: unused === true ? null : (build.lastCurrentMs ?? 9),
      polling: true,
      ...build,
    })),
  };
  return readStatus(JSON.stringify(told));
}
const CURRENT: Given = { buildId: 'c', status: 'current' };
const BEFORE: Given = { buildId: 'b', status: 'drained', lastCurrentMs: 2 };
const OLD: Given = { buildId: 'a', status: 'drained', lastCurrentMs: 1 };

describe('rollout status', () => {
  for (const [what, seen, gone] of [
    ['a drained build goes, the one before stays', statusOf('c', null, [OLD, BEFORE, CURRENT]), ['a']],
    ['the order of the builds does not matter', statusOf('c', null, [CURRENT, BEFORE, OLD]), ['a']],
    ['a build with open runs stays', statusOf('c', null, [{ ...OLD, status: 'draining' }, BEFORE, CURRENT]), []],
    [
      'where the current one was gone back to, the one before it stays: a rollback goes there, not to the bad one',
      statusOf('b', null, [
        OLD,
        { ...BEFORE, status: 'current' },
        { buildId: 'c', status: 'drained', lastCurrentMs: 3 },
      ]),
      ['c'],
    ],
    [
      'a build that was ramped and never current goes when it is drained',
      statusOf('c', null, [BEFORE, { buildId: 'r', status: 'drained' }, CURRENT]),
      ['r'],
    ],
    [
      'a build that never had a run goes',
      statusOf('c', null, [BEFORE, { buildId: 'n', status: 'inactive', unused: true }, CURRENT]),
      ['n'],
    ],
    [
      'an inactive build that had one stays: Temporal has not told yet how it is',
      statusOf('c', null, [BEFORE, { buildId: 'n', status: 'inactive' }, CURRENT]),
      [],
    ],
    ['beside a ramp the same', statusOf('c', 'd', [OLD, BEFORE, CURRENT, { buildId: 'd', status: 'ramping' }]), ['a']],
    ['whatever Temporal calls it, who gets new runs stays', statusOf('b', 'a', [OLD, BEFORE]), []],
    ['no build is current', statusOf(null, null, [OLD, BEFORE]), ['a']],
    ['no build has ever polled', readStatus('null'), []],
  ] as const) {
    it(what, () => assert.deepEqual(over(seen), gone));
  }

  it('new runs go to the current build and to a ramp, to no other', () => {
    const seen = statusOf('c', 'd', []);
    assert.deepEqual(
      ['c', 'd', 'b', ''].map((build) => getsNewRuns(seen, build)),
      [true, true, false, false],
    );
    assert.equal(getsNewRuns(readStatus('null'), 'c'), false);
  });

  for (const text of ['', '{}', '{"current":null,"ramping":null,"builds":[{"buildId":"a"}]}']) {
    it(`refuses '${text}'`, () => assert.throws(() => readStatus(text)));
  }
});
