/** Whoever gets new runs must be polled for: which builds are not, from what a server says of a task queue. */
import assert from 'node:assert/strict';
import proto from '@temporalio/proto';
import { buildOf, unservedOf, type Build } from '../../../src/bridge/pollers.ts';

const { WORKER_VERSIONING_MODE_VERSIONED: VERSIONED, WORKER_VERSIONING_MODE_UNVERSIONED: UNVERSIONED } =
  proto.temporal.api.enums.v1.WorkerVersioningMode;

const build = (buildId: string, deploymentName = 'content-worker'): Build => ({ deploymentName, buildId });
const versioned = (buildId: string, deploymentName?: string): Parameters<typeof buildOf>[0] => ({
  deploymentOptions: { ...build(buildId, deploymentName), workerVersioningMode: VERSIONED },
});
/** As a worker with a BUILD_ID and WORKER_VERSIONING=0 is seen, and one of an SDK that knows no versions. */
const unversioned = { deploymentOptions: { ...build('a'), workerVersioningMode: UNVERSIONED } };
const old = {};

describe('who is polled for', () => {
  it('a build is of a version only where its worker says so', () => {
    assert.deepEqual(buildOf(versioned('a')), build('a'));
    assert.equal(buildOf(unversioned), null);
    assert.equal(buildOf(old), null);
  });

  const current = { currentDeploymentVersion: build('a') };
  const ramp = (percent: number): object => ({
    ...current,
    rampingDeploymentVersion: build('b'),
    rampingVersionPercentage: percent,
  });
  const cases: readonly (readonly [string, Parameters<typeof unservedOf>[0], readonly (Build | null)[]])[] = [
    ['nobody at all', { pollers: [] }, [null]],
    ['a worker without a version, none current', { pollers: [unversioned] }, []],
    ['a worker of an older SDK, none current', { pollers: [old] }, []],
    ['only a version, none current', { pollers: [versioned('a')] }, [null]],
    ['the current one', { pollers: [versioned('a')], versioningInfo: current }, []],
    ['another one than the current', { pollers: [versioned('b')], versioningInfo: current }, [build('a')]],
    ['the same build of another deployment', { pollers: [versioned('a', 'x')], versioningInfo: current }, [build('a')]],
    ['only one without a version', { pollers: [unversioned], versioningInfo: current }, [build('a')]],
    ['a ramp, both', { pollers: [versioned('a'), versioned('b')], versioningInfo: ramp(10) }, []],
    ['a ramp without its workers', { pollers: [versioned('a')], versioningInfo: ramp(10) }, [build('b')]],
    ['a ramp at 0', { pollers: [versioned('a')], versioningInfo: ramp(0) }, []],
    ['a ramp at 100, the current one gone', { pollers: [versioned('b')], versioningInfo: ramp(100) }, []],
    [
      'a ramp to workers without a version',
      { pollers: [versioned('a')], versioningInfo: { ...current, rampingVersionPercentage: 10 } },
      [null],
    ],
  ];
  for (const [what, queue, expected] of cases) {
    it(`${what}: ${expected.length === 0 ? 'all are' : 'not all are'}`, () => {
      assert.deepEqual(unservedOf(queue), expected);
    });
  }
});
