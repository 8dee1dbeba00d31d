/** What scripts/deploy.sh asks of gcloud, in which order, and how it ends: with a gcloud that only writes down. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BUILD_ID, COPY, deploy, IMAGE, PATTERN, type Ended } from './deploy-script.ts';

const POOL = `dev-vividly-content-pool-${BUILD_ID}`;

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
    read(file: string): string;
  }

  async function run(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    commands: readonly string[] = ['gcloud', 'npm'],
  ): Promise<Done> {
    const folder = mkdtempSync(path.join(tmpdir(), 'deploy-'));
    folders.push(folder);
    for (const command of commands) writeFileSync(path.join(folder, command), RECORDER, { mode: 0o755 });
    for (const file of ['calls', 'environment']) writeFileSync(path.join(folder, file), '');
    writeFileSync(path.join(folder, 'pattern'), JSON.stringify(PATTERN));
    const PATH = `${folder}:${process.env['PATH'] ?? ''}`;
    const ended = await deploy(args, { PATH, RECORD: folder, ...env });
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
    assert.deepEqual(spec, COPY.spec);
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

  it('retire: asks Temporal, then deletes the pool', async () => {
    const { code, calls, stderr } = await run(['retire', 'dev', IMAGE, BUILD_ID]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(calls, [
      `npm run --silent rollout -- drained ${BUILD_ID}`,
      `gcloud beta run worker-pools delete ${POOL}`,
    ]);
  });

  it('retire: a build with open runs keeps its pool, and the code says so', async () => {
    const { code, calls } = await run(['retire', 'dev', IMAGE, BUILD_ID], { FAILS: 'drained' });
    assert.deepEqual([code, calls.length], [7, 1]);
  });

  it('retire: what it asks is there, and its refusal ends it', async () => {
    const { code, calls, stderr } = await run(
      ['retire', 'dev', IMAGE, BUILD_ID],
      { TEMPORAL_ADDRESS: 'https://temporal.example' },
      ['gcloud'],
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
      const { code, calls, stderr } = await run([verb, 'dev', IMAGE, BUILD_ID], { FAILS: fails });
      assert.deepEqual([code, calls.length], [7, done]);
      assert.match(stderr, /refused/);
    });
  }

  const tag = IMAGE.replace(/@.*/, ':latest');
  for (const [what, args, env, said] of [
    ['a tag in place of a digest', ['bridge', 'dev', tag, BUILD_ID], {}, /names no image by its digest/],
    ['a tag beside a digest', ['bridge', 'dev', IMAGE.replace('@', ':v1@'), BUILD_ID], {}, /by its digest/],
    ['half a digest', ['bridge', 'dev', IMAGE.slice(0, -1), BUILD_ID], {}, /by its digest/],
    ['an environment that is none', ['bridge', 'test', IMAGE, BUILD_ID], {}, /none of dev, staging, prod/],
    ['a verb that is none', ['promote', 'dev', IMAGE, BUILD_ID], {}, /none of migrate, pool, bridge, retire/],
    ['a build id that is none', ['pool', 'dev', IMAGE, 'V1.0'], {}, /no build id/],
    ['no build id', ['pool', 'dev', IMAGE], {}, /BUILD_ID/],
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
