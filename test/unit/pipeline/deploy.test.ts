/** What scripts/deploy.sh asks of gcloud, in which order, and how it ends: with a gcloud that only writes down. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BUILD_ID as CODE_BUILD_ID } from '../../../src/config.ts';
import { projectRoot } from '../../../src/dev/paths.ts';
import { BUILD_ID, COPY, deploy, IMAGE, PATTERN, type Ended } from './deploy-script.ts';

const POOL = `dev-vividly-content-pool-${BUILD_ID}`;
/** What terraform's first apply leaves the bridge with: a tag. */
const OLD_IMAGE = IMAGE.replace(/@.*/, ':latest');
const STATUS_CALL = 'npm run --silent rollout -- status --json';
const BRIDGE_CALL =
  'gcloud run jobs describe dev-vividly-content-worker --format=value(spec.template.spec.template.spec.containers[0].image)';

const buildOf = (buildId: string, status: string, lastCurrentMs: number | null = null, unused = false): object => ({
  buildId,
  status,
  lastCurrentMs,
  firstActiveMs: unused ? null : (lastCurrentMs ?? Number.MAX_SAFE_INTEGER),
});
/** As `rollout status --json` prints it. */
const statusOf = (current: string | null, ramping: string | null = null): string =>
  JSON.stringify({ current, ramping: ramping === null ? null : { buildId: ramping, percent: 10 }, builds: [] });

/** Writes its words down, and what it was told by environment; FAILS names the words that it fails at, with code 7. */
const RECORDER = `#!/usr/bin/env bash
set -euo pipefail
name=$(basename "$0")
echo "$name $*" >>"$RECORD/calls"
echo "$CLOUDSDK_CORE_PROJECT $CLOUDSDK_RUN_REGION $CLOUDSDK_CORE_DISABLE_PROMPTS" >>"$RECORD/environment"
if [ -n "\${FAILS:-}" ] && [[ "$name $*" == *"$FAILS"* ]]; then
  echo "refused" >&2
  exit 7
fi
case $* in
  *'rollout -- status --json') echo "$STATUS" && exit "\${STATUS_ENDS:-0}" ;;
  *' drained '*) [[ " \${OPEN:-} " != *" \${!#} "* ]] || exit 4 ;;
  *' jobs describe '*) echo "$BRIDGE" ;;
  *' worker-pools describe '*' --format=value'*) echo "\${POOL_IMAGE:-}" ;;
  *' worker-pools list '*) printf '%s\n' $POOLS ;;
  *' describe '*) cat "$RECORD/pattern" ;;
  *' replace '*) cp "\${!#}" "$RECORD/replaced" ;;
esac
`;

describe('deploy.sh', () => {
  const folders: string[] = [];
  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  interface Done extends Ended {
    readonly calls: readonly string[];
    readonly environment: readonly string[];
    readonly read: (file: string) => string;
  }

  async function run(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    { commands = ['gcloud', 'npm'], note }: { readonly commands?: readonly string[]; readonly note?: string } = {},
  ): Promise<Done> {
    const folder = mkdtempSync(path.join(tmpdir(), 'deploy-'));
    folders.push(folder);
    for (const command of commands) writeFileSync(path.join(folder, command), RECORDER, { mode: 0o755 });
    for (const file of ['calls', 'environment']) writeFileSync(path.join(folder, file), '');
    writeFileSync(path.join(folder, 'pattern'), JSON.stringify(PATTERN));
    const PATH = `${folder}:${process.env['PATH'] ?? ''}`;
    if (note !== undefined) writeFileSync(path.join(folder, 'note'), note);
    const given = args.map((arg) => (arg === 'NOTE' ? path.join(folder, 'note') : arg));
    const ended = await deploy(given, { PATH, RECORD: folder, BRIDGE: OLD_IMAGE, ...env });
    const read = (file: string): string => readFileSync(path.join(folder, file), 'utf8');
    const lines = (file: string): string[] => read(file).split('\n').slice(0, -1);
    return { ...ended, calls: lines('calls'), environment: lines('environment'), read };
  }

  it('migrate: the job gets the image, then runs, and its end is waited for', async () => {
    const { code, calls, environment, stderr } = await run(['migrate', 'dev', IMAGE, BUILD_ID]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(calls, [
      `gcloud run jobs update dev-vividly-content-migrate --image=${IMAGE}`,
      'gcloud run jobs execute dev-vividly-content-migrate --wait',
    ]);
    assert.deepEqual(environment, ['vividly-dev-rich us-central1 1', 'vividly-dev-rich us-central1 1']);
  });

  it('pool: a copy of the pattern, of this build', async () => {
    const { code, calls, read, stderr } = await run(['pool', 'dev', IMAGE, BUILD_ID]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      calls.map((call) => call.replace(/\S+\/pool\.yaml$/, 'FILE')),
      [
        'gcloud beta run worker-pools describe dev-vividly-content-pool --format=export',
        'gcloud beta run worker-pools replace FILE',
      ],
    );
    const { metadata, spec } = JSON.parse(read('replaced')) as typeof COPY;
    assert.equal(metadata.name, POOL);
    const { labels } = spec.template.metadata;
    assert.match(labels['client.knative.dev/nonce'], /^[a-z]{10}$/);
    const template = { ...COPY.spec.template, metadata: { ...COPY.spec.template.metadata, labels } };
    assert.deepEqual(spec, { ...COPY.spec, template });
  });

  it('pool: of the size and in the region that it is told', async () => {
    const { environment, read } = await run(['pool', 'dev', IMAGE, BUILD_ID], {
      WORKER_INSTANCES: '12',
      REGION: 'europe-west1',
    });
    assert.ok(read('replaced').includes('"run.googleapis.com/manualInstanceCount": "12"'), 'twelve instances');
    assert.deepEqual(environment, ['vividly-dev-rich europe-west1 1', 'vividly-dev-rich europe-west1 1']);
  });

  it('bridge: the job gets the image, and is not run', async () => {
    const { code, calls, stderr } = await run(['bridge', 'prod', IMAGE, BUILD_ID]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(calls, [`gcloud run jobs update prod-vividly-content-worker --image=${IMAGE}`]);
  });

  it('follow: the bridge gets the image of the build that is current, as its pool has it', async () => {
    const { code, calls, stderr } = await run(['follow', 'dev'], { STATUS: statusOf('b2'), POOL_IMAGE: IMAGE });
    assert.equal(code, 0, stderr);
    assert.deepEqual(calls, [
      STATUS_CALL,
      'gcloud beta run worker-pools describe dev-vividly-content-pool-b2 --format=value(spec.template.spec.containers[0].image)',
      `gcloud run jobs update dev-vividly-content-worker --image=${IMAGE}`,
    ]);
  });

  for (const [what, env, calls] of [
    ['no build is current', { STATUS: statusOf(null), POOL_IMAGE: IMAGE }, 1],
    ['no build has ever polled', { STATUS: 'null', STATUS_ENDS: '6', POOL_IMAGE: IMAGE }, 1],
    ["the pool's image is a tag", { STATUS: statusOf('b2'), POOL_IMAGE: IMAGE.replace(/@.*/, ':latest') }, 2],
  ] as const) {
    it(`follow: where ${what}, the bridge stays as it is`, async () => {
      const done = await run(['follow', 'dev'], env);
      assert.deepEqual([done.code, done.calls.length], [2, calls], done.stderr);
    });
  }

  it('note: what is current, and what the bridge has', async () => {
    const { code, calls, read, stderr } = await run(['note', 'dev', 'NOTE'], { STATUS: statusOf('b2') });
    assert.equal(code, 0, stderr);
    assert.deepEqual(calls, [STATUS_CALL, BRIDGE_CALL]);
    assert.equal(read('note'), `b2\n${OLD_IMAGE}\n`);
  });

  it('note: before the very first deployment there is no build; a Temporal that is away is another matter', async () => {
    const first = await run(['note', 'dev', 'NOTE'], { STATUS: 'null', STATUS_ENDS: '6' });
    assert.deepEqual([first.code, first.read('note')], [0, `\n${OLD_IMAGE}\n`], first.stderr);
    const away = await run(['note', 'dev', 'NOTE'], { STATUS: '', STATUS_ENDS: '3' });
    assert.deepEqual([away.code, away.calls.length], [3, 1]);
  });

  const PROMOTED = 'npm run --silent rollout -- promote b1';
  const BRIDGE_BACK = `gcloud run jobs update dev-vividly-content-worker --image=${OLD_IMAGE}`;
  for (const [what, noted, status, bridge, done] of [
    ['that was promoted', 'b1', statusOf('b2'), IMAGE, [BRIDGE_CALL, BRIDGE_BACK, STATUS_CALL, PROMOTED]],
    ['that is ramped', 'b1', statusOf('b1', 'b2'), OLD_IMAGE, [BRIDGE_CALL, STATUS_CALL, PROMOTED]],
    ['that got no run yet, beside another ramp', 'b1', statusOf('b1', 'b3'), OLD_IMAGE, [BRIDGE_CALL, STATUS_CALL]],
    ['that is the first', '', statusOf('b2'), IMAGE, [BRIDGE_CALL, BRIDGE_BACK, STATUS_CALL]],
    ['that was current before', 'b2', statusOf('b2'), IMAGE, [BRIDGE_CALL, BRIDGE_BACK, STATUS_CALL]],
  ] as const) {
    it(`back: from a build ${what}`, async () => {
      const { code, calls, stderr } = await run(
        ['back', 'dev', 'b2', 'NOTE'],
        { STATUS: status, BRIDGE: bridge },
        { note: `${noted}\n${OLD_IMAGE}\n` },
      );
      assert.equal(code, 0, stderr);
      assert.deepEqual(calls, done);
    });
  }

  it('back: a bridge that cannot be put back does not keep the new runs where they are, and the code says so', async () => {
    const { code, calls } = await run(
      ['back', 'dev', 'b2', 'NOTE'],
      { STATUS: statusOf('b2'), BRIDGE: IMAGE, FAILS: 'jobs update' },
      { note: `b1\n${OLD_IMAGE}\n` },
    );
    assert.deepEqual([code, calls.at(-1)], [7, PROMOTED]);
  });

  it('back: half a note is none', async () => {
    const { code, calls } = await run(['back', 'dev', 'b2', 'NOTE'], {}, { note: 'b1\n' });
    assert.deepEqual([code, calls], [2, []]);
  });

  const drained = (buildId: string): string => `npm run --silent rollout -- drained ${buildId}`;
  const deleted = (buildId: string): string =>
    `gcloud beta run worker-pools delete dev-vividly-content-pool-${buildId}`;
  const SWEPT = {
    STATUS: JSON.stringify({
      current: 'b9',
      ramping: null,
      builds: [
        buildOf('b9', 'current'),
        buildOf('b8', 'drained', 80),
        buildOf('b7', 'drained', 70),
        buildOf('b6', 'draining', 60),
        buildOf('b5', 'drained', 50),
        buildOf('b4', 'drained', 40),
        // Deployed, and never given a run.
        buildOf('b3', 'inactive', null, true),
      ],
    }),
    POOLS: ['', '-b9', '-b8', '-b7', '-b6', '-b5', '-b3'].map((each) => `dev-vividly-content-pool${each}`).join(' '),
  };
  const LIST_CALL = 'gcloud beta run worker-pools list --region=us-central1 --format=value(metadata.name)';

  it('sweep: pools of drained builds go, but for the current and the one before; what has no pool is passed over', async () => {
    const { code, calls, stderr } = await run(['sweep', 'dev'], SWEPT);
    assert.equal(code, 0, stderr);
    const gone = ['b7', 'b5', 'b3'].flatMap((each) => [drained(each), deleted(each)]);
    assert.deepEqual(calls, [STATUS_CALL, LIST_CALL, ...gone]);
  });

  it('sweep: Temporal is asked again before each, and the others go on', async () => {
    const { code, calls, stderr } = await run(['sweep', 'dev'], { ...SWEPT, OPEN: 'b7' });
    assert.equal(code, 0, stderr);
    assert.deepEqual(calls.slice(2), [
      drained('b7'),
      ...['b5', 'b3'].flatMap((each) => [drained(each), deleted(each)]),
    ]);
  });

  it('sweep: a pool that cannot be deleted is told by the code, and the others go on', async () => {
    const { code, calls } = await run(['sweep', 'dev'], { ...SWEPT, FAILS: 'delete dev-vividly-content-pool-b5' });
    assert.deepEqual([code, calls.at(-1)], [7, deleted('b3')]);
  });

  it('sweep: without a deployment there is nothing to do', async () => {
    const { code, calls, stderr } = await run(['sweep', 'dev'], { ...SWEPT, STATUS: 'null', STATUS_ENDS: '6' });
    assert.deepEqual([code, calls], [0, [STATUS_CALL, LIST_CALL]], stderr);
  });

  it('retire: asks Temporal, then deletes the pool', async () => {
    const { code, calls, stderr } = await run(['retire', 'dev', BUILD_ID]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(calls, [
      `npm run --silent rollout -- drained ${BUILD_ID}`,
      `gcloud beta run worker-pools delete ${POOL}`,
    ]);
  });

  it('retire: a build with open runs keeps its pool, and the code says so', async () => {
    const { code, calls } = await run(['retire', 'dev', BUILD_ID], { FAILS: 'drained' });
    assert.deepEqual([code, calls.length], [7, 1]);
  });

  it('retire: what it asks is there, and its refusal ends it', async () => {
    const { code, calls, stderr } = await run(
      ['retire', 'dev', BUILD_ID],
      { TEMPORAL_ADDRESS: 'https://temporal.example' },
      { commands: ['gcloud'] },
    );
    assert.deepEqual([code, calls], [2, []]);
    assert.match(stderr, /TEMPORAL_ADDRESS/);
  });

  for (const [verb, fails, done] of [
    ['migrate', 'update', 1],
    ['migrate', 'execute', 2],
    ['pool', 'describe', 1],
    ['pool', 'replace', 2],
    ['bridge', 'update', 1],
    ['retire', 'delete', 2],
  ] as const) {
    it(`${verb}: a ${fails} that fails ends it with gcloud's code, and nothing follows`, async () => {
      const { code, calls, stderr } = await run([verb, 'dev', ...(verb === 'retire' ? [] : [IMAGE]), BUILD_ID], {
        FAILS: fails,
      });
      assert.deepEqual([code, calls.length], [7, done]);
      assert.match(stderr, /refused/);
    });
  }

  it('what is a build id here, is one for the code and for the alerts that read the logs of its pool', () => {
    const read = (file: string): string => readFileSync(path.join(projectRoot, file), 'utf8');
    const [, here] = /^form='\^(.*)\$'$/m.exec(read('scripts/deploy.sh')) ?? [];
    const [, alerts] =
      /worker_pool_name=~\\"\^\$\{local\.pool\}\(-(.*)\)\?\$\\"/.exec(read('terraform/monitoring.tf')) ?? [];
    const code = CODE_BUILD_ID.source.slice(1, -1);
    assert.deepEqual([here, alerts], [code, code]);
    assert.match('release-7', CODE_BUILD_ID, 'it need not be twelve hexadecimal digits');
  });

  const tag = IMAGE.replace(/@.*/, ':latest');
  for (const [what, args, env, said] of [
    ['a tag in place of a digest', ['bridge', 'dev', tag, BUILD_ID], {}, /names no image by its digest/],
    ['a tag beside a digest', ['bridge', 'dev', IMAGE.replace('@', ':v1@'), BUILD_ID], {}, /by its digest/],
    ['half a digest', ['bridge', 'dev', IMAGE.slice(0, -1), BUILD_ID], {}, /by its digest/],
    ['an environment that is none', ['bridge', 'test', IMAGE, BUILD_ID], {}, /none of dev, staging, prod/],
    [
      'a verb that is none',
      ['promote', 'dev', IMAGE, BUILD_ID],
      {},
      /none of migrate, pool, bridge, follow, note, back, retire, sweep/,
    ],
    ['a build id that is none', ['pool', 'dev', IMAGE, 'V1.0'], {}, /no build id/],
    ['no build id', ['pool', 'dev', IMAGE], {}, /BUILD_ID/],
    ['no verb', [], {}, /'' is none of/],
    ['an image for retire', ['retire', 'dev', IMAGE, BUILD_ID], {}, /retire ENV BUILD_ID/],
    ['a build of no note', ['back', 'dev', BUILD_ID, '/nowhere/note'], {}, /\/nowhere\/note/],
    ['a build for sweep', ['sweep', 'dev', BUILD_ID], {}, /sweep ENV/],
    ['a pool of nobody', ['pool', 'dev', IMAGE, BUILD_ID], { WORKER_INSTANCES: '0' }, /WORKER_INSTANCES/],
    ['no project', ['pool', 'dev', IMAGE, BUILD_ID], { GOOGLE_CLOUD_PROJECT: '' }, /GOOGLE_CLOUD_PROJECT/],
  ] as const) {
    it(`refuses ${what}, before it asks anything`, async () => {
      const { code, calls, stderr } = await run(args, env);
      assert.deepEqual([code, calls], [2, []]);
      assert.match(stderr, said);
    });
  }
});
