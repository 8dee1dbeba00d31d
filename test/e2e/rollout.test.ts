/**
 * Builds of the worker side by side on a real server: what `npm run rollout` says is what becomes of the runs. The
 * steps follow one another as in a deployment, and each finds what the one before has left.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { readRolloutConfig } from '../../src/config.ts';
import { rowIdOf } from '../../src/contract/identity.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { EXIT_CODE, type ExitReason } from '../../src/rollout/exit.ts';
import type { Status } from '../../src/rollout/verbs.ts';
import { workerDeployment } from '../../src/rollout/worker-deployment.ts';
import { startDeployment, startProcess, type Deployment, type Running } from '../support/deployment.ts';
import { endOfRun, requestFields, soleLetter } from '../support/e2e.ts';
import { SECRET_KEY } from '../support/provider-config.ts';
import { startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts';
import { waitFor } from '../support/wait-for.ts';

const MAIN = path.join(projectRoot, 'src/rollout/main.ts');

const SOON = [
  // The server looks for open runs of a draining build once in three minutes, and believes after as long that none is there.
  'matching.wv.VersionDrainageStatusVisibilityGracePeriod=1',
  'matching.wv.VersionDrainageStatusRefreshInterval=1',
  // Off by default: a worker that has left then counts as polling for 90 s more.
  'frontend.enableCancelWorkerPollsOnShutdown=true',
];

const UNVERSIONED = 'dddd00000000';
const FIRST = 'aaaa00000001';
const SECOND = 'bbbb00000002';
/** Its provider takes its time, then fails once. */
const SLOW_TOPIC = 'A slow one';
const REFUSED_TOPIC = 'A refused one';

describe('rollout', function () {
  // Five workers, and thirty commands of a second each.
  this.timeout(240_000);

  let d: Deployment;
  let provider: ScriptedServer;
  let bridge: Running;
  const workers = new Map<string, Running>();
  const slow: { asked: number; release: () => void } = { asked: 0, release: () => undefined };

  before(async () => {
    d = await startDeployment({ dynamicConfig: SOON });
    const released = new Promise<void>((resolve) => (slow.release = resolve));
    provider = await startScriptedServer(async ({ method, body }) => {
      if (method === 'GET') return { status: 200, body: { name: 'scripted' } };
      if (body.includes(REFUSED_TOPIC)) return { status: 422, body: {} };
      if (body.includes(SLOW_TOPIC)) {
        slow.asked += 1;
        await released;
        if (slow.asked === 1) return { status: 500 };
      }
      return { status: 200, body: { script_text: 'A script.' } };
    });
    bridge = d.bridge(['--follow']);
    await bridge.says({ message: 'bridge polls' });
  });
  after(async () => {
    slow.release();
    await d.stop();
    await provider.stop();
  });

  async function startBuild(buildId: string, versioning: '0' | '1'): Promise<void> {
    const env = { BUILD_ID: buildId, WORKER_VERSIONING: versioning };
    // The slow one takes as long as the test does.
    const generator = { GENERATOR: 'http', GENERATOR_URL: provider.url, SECRET_KEY, GENERATOR_TIMEOUT_MS: '900000' };
    workers.set(buildId, await d.worker({}, { ...env, ...generator }));
  }
  const stopBuild = async (buildId: string): Promise<void> => {
    await workers.get(buildId)?.stop();
    await waitFor(`the server has heard that ${buildId} is gone`, async () => {
      const polling = await workerDeployment(d.temporal.client, readRolloutConfig(d.env)).polling();
      return !polling.has(buildId === UNVERSIONED ? null : buildId);
    });
  };

  const rollout = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Running =>
    startProcess(MAIN, args, { ...d.env, ...env });
  async function ends(reason: ExitReason, started: Running): Promise<string> {
    assert.equal(await started.ended, EXIT_CODE[reason], started.output());
    return started.output();
  }
  const says = async (reason: ExitReason, what: RegExp, ...args: string[]): Promise<void> =>
    assert.match(await ends(reason, rollout(args)), what);
  const statusNow = async (): Promise<Status> =>
    JSON.parse(await ends('done', rollout(['status', '--json']))) as Status;
  const routingNow = async (): Promise<Pick<Status, 'current' | 'ramping'>> => {
    const { current, ramping } = await statusNow();
    return { current, ramping };
  };
  const statusOf = ({ builds }: Status, buildId: string): string | undefined =>
    builds.find((build) => build.buildId === buildId)?.status;

  /** Publishes a request; its row's id. */
  async function publish(topic = 'Photosynthesis'): Promise<string> {
    const fields = requestFields(`rollout-${randomUUID()}`, { topic, requested_modalities: ['text'] });
    await d.publish(fields);
    return rowIdOf(String(fields['correlation_id']));
  }

  interface Worked {
    /** Of the workflow tasks, as the server has them; null = without a version. */
    readonly tasks: ReadonlySet<string | null>;
    /** Of the activities, as each worker signs them. */
    readonly activities: ReadonlySet<string>;
  }

  /** Who has worked on a run. */
  async function workedOn(rowId: string): Promise<Worked> {
    const { events } = await d.run(rowId).fetchHistory();
    const tasks = (events ?? []).flatMap(({ workflowTaskCompletedEventAttributes: task }) =>
      task === null || task === undefined ? [] : [task.deploymentVersion?.buildId ?? null],
    );
    const activities = (events ?? []).flatMap(
      ({ activityTaskStartedEventAttributes: started }) => started?.identity?.split('@').at(-1) ?? [],
    );
    return { tasks: new Set(tasks), activities: new Set(activities) };
  }
  async function completedBy(rowId: string): Promise<string> {
    assert.equal((await endOfRun(d, rowId)).status, 'COMPLETED');
    const { tasks, activities } = await workedOn(rowId);
    const [build = '', ...others] = activities;
    assert.deepEqual(others, [], `activities of ${rowId} ran on more than one build`);
    assert.deepEqual([...tasks], [build === UNVERSIONED ? null : build]);
    return build;
  }
  async function completedByEach(count: number): Promise<ReadonlySet<string>> {
    const rowIds = await Promise.all(Array.from({ length: count }, () => publish()));
    return new Set(await Promise.all(rowIds.map(completedBy)));
  }

  /** What the bridge's preflight warns of. */
  async function warnings(): Promise<unknown[]> {
    const check = d.bridge(['--check']);
    assert.equal(await check.ended, 0, check.output());
    return check.lines().flatMap(({ warning, alert }) => (alert === 'no_worker_polls' ? [warning] : []));
  }

  it('where no build has ever polled, nothing can be rolled out: exit 6', async () => {
    await says('unknown_build', /no build of content-worker has ever polled/, 'status');
    await says(
      'unknown_build',
      /no worker of aaaa00000001 has come within 0 s/,
      'promote',
      FIRST,
      '--wait-seconds',
      '0',
    );
    await says('unknown_build', /no such deployment/, 'rollback', FIRST);
    await says('unknown_build', /no such deployment/, 'drained', FIRST);
    const [warning, ...others] = await warnings();
    assert.match(String(warning), /^nobody polls task queue content-generation: .*npm run worker$/);
    assert.deepEqual(others, []);
  });

  it('workers without a version work as ever, and are no build', async () => {
    await startBuild(UNVERSIONED, '0');
    assert.equal(await completedBy(await publish()), UNVERSIONED);
    assert.deepEqual(await warnings(), []);
    await says('unknown_build', /no build of content-worker has ever polled/, 'status');
  });

  it('beside them, the first build gets its first runs by a ramp, and both ramp and promotion are rolled back', async () => {
    await startBuild(FIRST, '1');
    await says('done', /aaaa00000001 gets 50 % of the new runs/, 'ramp', FIRST, '50');
    assert.deepEqual(await completedByEach(20), new Set([UNVERSIONED, FIRST]));
    await says('done', /aaaa00000001 gets no new runs; no build gets all/, 'rollback', FIRST);
    assert.deepEqual(await completedByEach(8), new Set([UNVERSIONED]));
    await says('done', /aaaa00000001 gets all new runs/, 'promote', FIRST);
    assert.deepEqual(await completedByEach(8), new Set([FIRST]));
    await says('done', /workers without a version get all new runs again, instead of aaaa00000001/, 'rollback', FIRST);
    await says('done', /aaaa00000001 gets no new runs as it is: nothing is changed/, 'rollback', FIRST);
    assert.deepEqual(await completedByEach(8), new Set([UNVERSIONED]));
    assert.deepEqual(await warnings(), []);
  });

  it('a build that polls and is not current gets nothing, which the bridge tells, until it is promoted', async () => {
    await stopBuild(UNVERSIONED);
    const [warning, ...others] = await warnings();
    assert.match(String(warning), /^only workers with a version poll .* npm run rollout -- promote <build id>$/);
    assert.deepEqual(others, []);
    await says('refused', /90 % of the new runs would have no worker: promote aaaa00000001/, 'ramp', FIRST, '10');
    const waiting = await publish();
    await waitFor('its run has begun', () =>
      d
        .run(waiting)
        .describe()
        .catch(() => null),
    );
    assert.deepEqual(await workedOn(waiting), { tasks: new Set(), activities: new Set() });
    await says('done', /aaaa00000001 gets all new runs/, 'promote', FIRST);
    assert.equal(await completedBy(waiting), FIRST);
    await says('done', /aaaa00000001 is current already/, 'promote', FIRST);
    await says('refused', /aaaa00000001 is current/, 'ramp', FIRST, '50');
    await says('refused', /no build was current before aaaa00000001/, 'rollback', FIRST);
    await says('unknown_build', /Temporal knows no build bbbb00000002/, 'rollback', SECOND);
    assert.deepEqual(await warnings(), []);
  });

  let held: string;

  it('the second build is waited for, then ramped', async () => {
    held = await publish(SLOW_TOPIC);
    await waitFor('the provider is asked', () => slow.asked === 1);
    await says('unknown_build', /no worker of bbbb00000002 has come/, 'ramp', SECOND, '50', '--wait-seconds', '0');
    const ramped = rollout(['ramp', SECOND, '50', '--wait-seconds', '120']);
    await startBuild(SECOND, '1');
    assert.match(await ends('done', ramped), /bbbb00000002 gets 50 % of the new runs/);
    const { current, ramping, builds, unversionedPolling, settled } = await statusNow();
    assert.deepEqual(
      { current, ramping, unversionedPolling, settled },
      {
        current: FIRST,
        ramping: { buildId: SECOND, percent: 50 },
        unversionedPolling: false,
        settled: true,
      },
    );
    assert.deepEqual(
      new Map(builds.map(({ buildId, status, polling }) => [buildId, { status, polling }])),
      new Map([
        [FIRST, { status: 'current', polling: true }],
        [SECOND, { status: 'ramping', polling: true }],
      ]),
    );
    await says('done', /^bbbb00000002 +ramping +50 % +poll$/m, 'status');
    await says('not_yet', /bbbb00000002 is ramping, and gets new runs/, 'drained', SECOND);
    assert.deepEqual(await completedByEach(20), new Set([FIRST, SECOND]));
  });

  it('the ramp is rolled back, and the second build promoted later', async () => {
    await says('done', /bbbb00000002 gets no new runs; aaaa00000001 gets all/, 'rollback', SECOND);
    await says('done', /bbbb00000002 gets no new runs as it is: nothing is changed/, 'rollback', SECOND);
    assert.deepEqual(await routingNow(), { current: FIRST, ramping: null });
    assert.deepEqual(await completedByEach(8), new Set([FIRST]));
    await says('done', /bbbb00000002 gets all new runs/, 'promote', SECOND);
    assert.deepEqual(await completedByEach(8), new Set([SECOND]));
  });

  it('a run that began on the first build ends on it, and its pool must live until then', async () => {
    await says('not_yet', /aaaa00000001 is draining: runs that began on it are still open/, 'drained', FIRST);
    await says('not_yet', /bbbb00000002 is current, and gets new runs/, 'drained', SECOND);
    const waited = rollout(['drained', FIRST, '--wait-seconds', '120']);
    slow.release();
    // Its first answer is a failure: a timer, and another attempt, after the promotion.
    assert.equal(await completedBy(held), FIRST);
    assert.equal((await d.row(held))?.retry_count, 1);
    assert.equal(slow.asked, 2);
    assert.match(await ends('done', waited), /aaaa00000001 is drained: its pool may go/);
    assert.equal(statusOf(await statusNow(), FIRST), 'drained');
  });

  it('a rollback gives the new runs to the build that was current before, and a second call changes nothing', async () => {
    await says('done', /aaaa00000001 gets all new runs again, instead of bbbb00000002/, 'rollback', SECOND);
    await says('done', /bbbb00000002 gets no new runs as it is: nothing is changed/, 'rollback', SECOND);
    assert.deepEqual(await routingNow(), { current: FIRST, ramping: null });
    assert.deepEqual(await completedByEach(8), new Set([FIRST]));
    // Nor does it come back when the build that came back is bad as well.
    await says('refused', /no build was current before aaaa00000001/, 'rollback', FIRST);
    assert.deepEqual(await routingNow(), { current: FIRST, ramping: null });
    await says('done', /bbbb00000002 gets all new runs/, 'promote', SECOND);
  });

  it('the letter of a failed request is of its build, and the bridge publishes it, which has none', async () => {
    const fields = requestFields(`rollout-${randomUUID()}`, { topic: REFUSED_TOPIC });
    const messageId = await d.publish(fields);
    const rowId = rowIdOf(String(fields['correlation_id']));
    assert.equal((await endOfRun(d, rowId)).status, 'FAILED');
    await soleLetter(d, messageId, 'generation_failed');
    assert.deepEqual((await workedOn(rowId)).tasks, new Set([SECOND]));
  });

  it('a build without workers gets nothing: exit 5; one that loses them is told by the bridge', async () => {
    await stopBuild(FIRST);
    await says('no_pollers', /no worker of aaaa00000001 has polled for 0 s/, 'promote', FIRST, '--wait-seconds', '0');
    await says('no_pollers', /no worker of aaaa00000001 has polled for 0 s/, 'rollback', SECOND, '--wait-seconds', '0');
    assert.deepEqual(await warnings(), []);
    assert.equal((await statusNow()).current, SECOND);
    await stopBuild(SECOND);
    const [warning, ...others] = await warnings();
    assert.match(
      String(warning),
      /^no worker of build bbbb00000002 of content-worker, which gets new runs, polls .* npm run rollout -- rollback bbbb00000002$/,
    );
    assert.deepEqual(others, []);
  });

  it('the replay gate takes the histories of every build, and of workers without one', async () => {
    const gate = startProcess(path.join(projectRoot, 'scripts/replay.ts'), ['--from-server', '--limit', '20'], d.env);
    assert.equal(await gate.ended, 0, gate.output());
    // 20 of many requests, and the one letter.
    assert.match(gate.output(), /^21 of 21 histories replayed$/m);
  });

  it('a change that somebody else was faster with is refused by Temporal', async () => {
    const deployment = workerDeployment(d.temporal.client, readRolloutConfig(d.env));
    const before = await deployment.routing();
    assert(before, 'the deployment is known');
    await deployment.setCurrent(null, before.token);
    // gRPC's FAILED_PRECONDITION, which is exit 7.
    await assert.rejects(deployment.setCurrent(SECOND, before.token), { code: 9 });
    assert.equal((await deployment.routing())?.current, null);
  });

  it('what must be mended is exit 2, a server that is away exit 3', async () => {
    const settings = { WORKER_DEPLOYMENT_NAME: 'a.b' };
    assert.match(await ends('configuration', rollout(['status'], settings)), /^WORKER_DEPLOYMENT_NAME: is no name/);
    const namespace = { TEMPORAL_NAMESPACE: 'elsewhere' };
    assert.match(await ends('configuration', rollout(['status'], namespace)), /^rollout: .*namespace elsewhere/);
    for (const args of [['ramp', FIRST, '100'], ['promote', 'Not.One'], ['drained'], ['rollback'], ['advance'], []]) {
      await ends('configuration', rollout(args));
    }
    const away = { TEMPORAL_ADDRESS: '127.0.0.1:1' };
    assert.match(
      await ends('temporal_unavailable', rollout(['status'], away)),
      /^rollout: Temporal at 127\.0\.0\.1:1, namespace default: \S/,
    );
  });
});
