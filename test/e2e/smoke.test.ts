/** `npm run smoke` against a deployment: it passes where everything works, and each way to fail has its exit code. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { rowIdOf } from '../../src/contract/identity.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { EXIT_CODE } from '../../src/smoke/exit.ts';
import { startDeployment, startProcess, type Deployment, type Running } from '../support/deployment.ts';
import { startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts';
import { npmStart, wholeMachine, type Machine, type Start } from '../support/npm-start.ts';

const shell = promisify(execFile);

const MAIN = path.join(projectRoot, 'src/smoke/main.ts');

describe('smoke', function () {
  // Each command loads three clients, and some wait for their time to be over.
  this.timeout(120_000);

  let d: Deployment;
  let bridge: Running;
  let worker: Running;
  before(async () => {
    d = await startDeployment();
    worker = await d.worker({});
    bridge = d.bridge(['--follow']);
    await bridge.says({ message: 'bridge polls' });
  });
  after(() => d.stop());

  const run = (args: string[], env: Record<string, string> = {}): Running =>
    startProcess(MAIN, args, { ...d.env, ...env });
  const withoutDatabase = { DATABASE_URL: '' };

  async function ends(code: keyof typeof EXIT_CODE, started: Running): Promise<string> {
    assert.equal(await started.ended, EXIT_CODE[code], started.output());
    return started.output();
  }
  const correlationIdOf = (output: string): string =>
    /"correlation_id":"(smoke-[0-9a-f-]{36})"/.exec(output)?.[1] ?? '';

  it("passes, and prints the plan's row", async () => {
    const output = await ends('completed', run(['--wait-seconds', '60']));
    const correlationId = correlationIdOf(output);
    const row = await d.row(rowIdOf(correlationId));
    assert.equal(row?.status, 'completed', `the row of ${correlationId}`);
    assert.equal(row.topic, 'Python Basics');
    const cells = output.split('\n').find((line) => line.includes(row.id) && line.includes('|'));
    assert.match(cells ?? '', new RegExp(`^ ${row.id} \\| ${correlationId} \\| completed \\| \\S+ +\\| 0 +$`));
    assert.match(output, /select id, correlation_id, status, created_at, retry_count\n +from content_requests/);
    assert.match(output, /^passed$/m);
  });

  it('asks Temporal where the database is out of reach, and never twice under the same id', async () => {
    const [one, two] = await Promise.all([
      ends('completed', run(['--wait-seconds', '60'], withoutDatabase)),
      ends('completed', run(['--via', 'temporal', '--wait-seconds', '60'])),
    ]);
    assert.match(one, /the database was not asked/);
    assert.match(two, / completed \| \S+ +\| 0 +\n\(1 row\)/);
    assert.notEqual(correlationIdOf(one), correlationIdOf(two));
  });

  it('a request that fails is exit 4, by the row and by the run', async () => {
    await worker.stop();
    // A provider that is not there fails every request, as soon as waiting for it is given up.
    worker = await d.worker(
      {},
      { GENERATOR: 'http', GENERATOR_URL: 'http://127.0.0.1:1/', SECRET_KEY: 'x'.repeat(32) },
    );
    await bridge.stop();
    bridge = d.bridge(['--follow'], { RETRY_MAX_AGE_MS: '1' });
    await bridge.says({ message: 'bridge polls' });
    const [byRow, byRun] = await Promise.all([
      ends('failed', run(['--wait-seconds', '60'])),
      ends('failed', run(['--wait-seconds', '60'], withoutDatabase)),
    ]);
    for (const output of [byRow, byRun]) {
      assert.match(output, / failed +\| /);
      assert.match(output, /^FAILED: /m);
    }
  });

  it('without a worker it times out, exit 3, and says whose turn it was', async () => {
    await worker.stop();
    assert.match(await ends('timed_out', run(['--wait-seconds', '10'], withoutDatabase)), /does a worker .* poll\?/);
  });

  it('without a bridge nobody takes the message: exit 3 too', async () => {
    await bridge.stop();
    const output = await ends('timed_out', run(['--wait-seconds', '1']));
    assert.match(output, /\(0 rows\)/);
    assert.match(output, /does the bridge run\?/);
  });

  it('what does not answer is exit 5 and named, and nothing is published', async () => {
    const nowhere = { DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/d' };
    const output = await ends('unavailable', run([], nowhere));
    assert.match(output, /^smoke: PostgreSQL at 127\.0\.0\.1:1\/d: /m);
    assert.doesNotMatch(output, /published|hunter2/);
    const topic = await ends('unavailable', run([], { PUBSUB_TOPIC: 'no-such-topic' }));
    assert.match(topic, /no-such-topic: .*NOT_FOUND/);
    const temporal = await ends('unavailable', run(['--via', 'temporal'], { TEMPORAL_ADDRESS: '127.0.0.1:1' }));
    assert.match(temporal, /^smoke: Temporal at 127\.0\.0\.1:1, namespace default: /m);
    assert.doesNotMatch(temporal, /published/);
    const pubsub = await ends('unavailable', run([], { PUBSUB_EMULATOR_HOST: '127.0.0.1:1' }));
    assert.match(pubsub, /^smoke: projects\/test-project\/topics\/\S+: /m);
    assert.doesNotMatch(pubsub, /published/);
  });

  it('a wrong configuration is exit 2, one sentence', async () => {
    assert.match(
      await ends('configuration', run(['--via', 'postgres'], withoutDatabase)),
      /^DATABASE_URL: .*--via temporal/,
    );
    assert.match(await ends('configuration', run(['--wait-seconds', 'soon'])), /a whole number/);
    assert.match(await ends('configuration', run(['--via', 'hearsay'])), /postgres, temporal/);
    assert.match(await ends('configuration', run(['--build-id', 'Not.One'])), /up to 24 lower-case letters/);
    const deployment = { WORKER_DEPLOYMENT_NAME: 'a.b' };
    assert.match(await ends('configuration', run([], deployment)), /^WORKER_DEPLOYMENT_NAME: is no name/);
  });
});

describe('smoke of a build', function () {
  // Three workers that bundle, and a hundred messages at the most, some times.
  this.timeout(240_000);

  const OLD = 'aaaa00000001';
  const NEW = 'bbbb00000002';
  const BROKEN = 'cccc00000003';
  let d: Deployment;
  let provider: ScriptedServer;
  before(async () => {
    d = await startDeployment();
    provider = await startScriptedServer(({ method }) =>
      method === 'GET' ? { status: 200, body: { name: 'scripted' } } : { status: 422, body: {} },
    );
    await startBuild(OLD);
    await rollout('promote', OLD);
    await d.bridge(['--follow']).says({ message: 'bridge polls' });
  });
  after(async () => {
    await d.stop();
    await provider.stop();
  });

  const startBuild = (buildId: string, env: Record<string, string> = {}): Promise<Running> =>
    d.worker({}, { BUILD_ID: buildId, WORKER_VERSIONING: '1', ...env });
  async function rollout(...args: string[]): Promise<void> {
    const started = startProcess(path.join(projectRoot, 'src/rollout/main.ts'), args, { ...d.env });
    assert.equal(await started.ended, 0, started.output());
  }
  async function ends(code: keyof typeof EXIT_CODE, ...args: string[]): Promise<string> {
    const started = startProcess(MAIN, args, { ...d.env });
    assert.equal(await started.ended, EXIT_CODE[code], started.output());
    return started.output();
  }
  const publishedBy = (output: string): number => output.match(/^published message /gm)?.length ?? 0;
  /** The row that is printed at the end, and who has worked on its run: not as the smoke test asks, but by its history. */
  async function workedOn(output: string): Promise<unknown[]> {
    const [, id = ''] = /^ ([0-9a-f-]{36}) +\| smoke-/m.exec(output) ?? [];
    const { events } = await d.run(id).fetchHistory();
    return (events ?? []).flatMap(({ workflowTaskCompletedEventAttributes: task }) =>
      task === null || task === undefined ? [] : [task.deploymentVersion?.buildId],
    );
  }

  it('is one message where the build gets all runs, by the row and by the run', async () => {
    for (const via of ['postgres', 'temporal']) {
      const output = await ends('completed', '--build-id', OLD, '--via', via, '--wait-seconds', '60');
      assert.match(output, /^passed on aaaa00000001$/m);
      assert.equal(publishedBy(output), 1);
      assert.match(output, via === 'postgres' ? /from content_requests/ : /the database was not asked/);
      assert.deepEqual([...new Set(await workedOn(output))], [OLD]);
    }
  });

  it('the twin: of a build without workers it is exit 3, though all messages are completed by the old build', async () => {
    const output = await ends('timed_out', '--build-id', NEW, '--via', 'temporal', '--wait-seconds', '15');
    assert.match(output, /none of \d+ messages ran on bbbb00000002: .*npm run rollout -- status/);
    assert.match(output, /^of \d+ messages: .*\d+ on aaaa00000001/m);
    assert.ok(publishedBy(output) > 1 && publishedBy(output) <= 100, `${String(publishedBy(output))} messages`);
    assert.match(await ends('completed', '--wait-seconds', '60'), /^passed$/m, 'without the build nothing is noticed');
  });

  it('with a tenth of the runs it goes on until one was on the build, by the row and by the run', async () => {
    await startBuild(NEW);
    await rollout('ramp', NEW, '10');
    for (const via of ['postgres', 'temporal']) {
      const output = await ends('completed', '--build-id', NEW, '--via', via, '--wait-seconds', '90');
      assert.match(output, /^passed on bbbb00000002$/m);
      assert.deepEqual([...new Set(await workedOn(output))], [NEW]);
    }
  });

  it('a build that fails its tenth is exit 4, and the other one passes beside it', async () => {
    const generator = { GENERATOR: 'http', GENERATOR_URL: provider.url, SECRET_KEY: 'x'.repeat(32) };
    await startBuild(BROKEN, generator);
    await rollout('ramp', BROKEN, '10');
    const output = await ends('failed', '--build-id', BROKEN, '--wait-seconds', '90');
    assert.match(output, /^FAILED: a run on cccc00000003 did not end as completed$/m);
    assert.deepEqual([...new Set(await workedOn(output))], [BROKEN]);
    await ends('completed', '--build-id', OLD, '--wait-seconds', '60');
  });

  it('asks Temporal, too: where that is away, nothing is published', async () => {
    const env = { ...d.env, TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const started = startProcess(MAIN, ['--build-id', OLD, '--via', 'postgres'], env);
    assert.equal(await started.ended, EXIT_CODE.unavailable, started.output());
    assert.match(started.output(), /^smoke: Temporal at 127\.0\.0\.1:1, namespace default: /m);
    assert.doesNotMatch(started.output(), /published/);
  });
});

describe('smoke beside npm start', function () {
  // A first start, and three of npm's.
  this.timeout(240_000);

  let machine: Machine;
  let start: Start;
  before(async () => {
    machine = await wholeMachine();
    start = npmStart({ env: machine.env });
  });
  after(async () => {
    start.kill('SIGINT');
    await start.ended;
    machine.remove();
  });

  it('the command that a start prints passes as it stands, and asks the run with --via temporal', async () => {
    const [, command = ''] = await start.says(/^ {2}smoke test +([^]*?npm run smoke)$/m);
    for (const [args, said] of [
      ['', /from content_requests[^]* completed \|[^]*^passed$/m],
      [' -- --via temporal', /the database was not asked[^]* completed \|[^]*^passed$/m],
    ] as const) {
      // A shell of one's own: nothing of the start's environment but where npm is.
      const { stdout } = await shell('sh', ['-c', command + args], {
        cwd: projectRoot,
        env: { PATH: process.env['PATH'] },
      });
      assert.match(stdout, said);
    }
  });
});
