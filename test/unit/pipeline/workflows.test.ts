/** GitHub's workflows call what is there, are pinned, and may do no more than they need. Syntax is actionlint's. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { NAMES } from '../../../src/contract/names.ts';
import { projectRoot } from '../../../src/dev/paths.ts';
import { commandFaults, commandsIn } from './commands.ts';
import { pinFaults, readWorkflow, workflowFaults, type Workflow } from './workflows.ts';

const FOLDER = '.github/workflows';
const read = (file: string): string => readFileSync(path.join(projectRoot, file), 'utf8');
const FILES = readdirSync(path.join(projectRoot, FOLDER));
const textOf = (name: string): string => read(path.join(FOLDER, `${name}.yml`));
const called = (uses: string): Workflow => readWorkflow(read(uses));

function changed(name: string, from: string, to: string): string {
  const text = textOf(name);
  assert.ok(text.includes(from), `${name} has no ${from}`);
  return text.replace(from, to);
}

describe('workflows', () => {
  it('they are four', () =>
    assert.deepEqual([...FILES].sort(), ['ci.yml', 'deploy.yml', 'environment.yml', 'operate.yml']));

  for (const file of FILES) {
    const text = read(path.join(FOLDER, file));
    it(`${file}: every action is pinned by its commit`, () => assert.deepEqual(pinFaults(text), []));
    it(`${file}: all that it names is there`, () => assert.deepEqual(workflowFaults(readWorkflow(text), called), []));
    it(`${file}: without a word it may read the code, and sign in where it deploys`, () => {
      const rights = Object.entries(readWorkflow(text).permissions).filter(([name]) => name !== 'id-token');
      assert.deepEqual(rights, [['contents', 'read']]);
    });
    it(`${file}: nobody's key is in it`, () => assert.doesNotMatch(text, /secrets\.|credentials_json/));
  }

  for (const [what, from, to] of [
    ['a tag', '@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1', '@v7'],
    ['a commit without its version', ' # v7.0.1', ''],
    ['half a commit', '3d3c42e5aac5ba805825da76410c181273ba90b1', '3d3c42e5aac5'],
  ] as const) {
    it(`not pinned: ${what}`, () => assert.equal(pinFaults(changed('ci', from, to)).length, 1));
  }
  it('not there: a workflow', () =>
    assert.equal(pinFaults(changed('deploy', './.github/workflows/ci.yml', './.github/workflows/test.yml')).length, 1));

  for (const [what, file, from, to, fault] of [
    ['a command', 'environment', 'npm run replay', 'npm run replays', /no script replays/],
    ['an option', 'environment', '--from-server', '--of-server', /replay has no option --of-server/],
    ['a file', 'ci', '- run: .ci/run', '- run: .ci/start', /there is no \.ci\/start/],
    ['a verb', 'environment', 'deploy.sh migrate', 'deploy.sh migrations', /has no verb migrations/],
    ['an input', 'environment', 'inputs.ramp }}', 'inputs.rate }}', /no input rate/],
    ['an input of another', 'deploy', 'ramp: 10\n', 'rate: 10\n', /has no input rate/],
    ['an input that another needs', 'deploy', '      ramp: 10\n', '', /is not given ramp/],
    ['an output', 'deploy', 'build_id: ${{ steps', 'build: ${{ steps', /no output build_id of build/],
    ['a job', 'deploy', 'needs: staging', 'needs: stage', /no job stage/],
    ['a variable', 'operate', 'PERCENT:', 'PERCENTAGE:', /nobody sets PERCENT/],
    ['an expression in a script', 'operate', '"$PERCENT"', '${{ inputs.percent }}', /holds an expression/],
    ['a right', 'environment', '  id-token: write\n', '', /id-token: write is needed/],
    ['a right too many', 'ci', 'contents: read', 'contents: read\n  id-token: write', /too much/],
  ] as const) {
    it(`found: ${what}`, () => {
      const faults = workflowFaults(readWorkflow(changed(file, from, to)), called);
      assert.ok(
        faults.some((each) => fault.test(each)),
        `found only ${JSON.stringify(faults)}`,
      );
    });
  }

  it('.ci/run calls what is there, all linters and the image among it', () => {
    const script = read('.ci/run');
    assert.deepEqual(commandFaults(script), []);
    const names = commandsIn(script).map(({ name }) => name);
    for (const name of ['lint', 'lint:terraform', 'test:terraform', 'lint:pipeline', 'image:steps', 'test']) {
      assert.ok(names.includes(name), name);
    }
  });

  it('refused: a key that nobody knows', () =>
    assert.throws(() => readWorkflow(changed('ci', 'timeout-minutes:', 'timeout:')), { name: 'ZodError' }));

  it('test, build, dev, staging, approval, prod: one after the other, with one image', () => {
    const { jobs } = readWorkflow(textOf('deploy'));
    assert.deepEqual(
      Object.entries(jobs).map(([name, { needs }]) => [name, needs]),
      [
        ['test', []],
        ['build', ['test']],
        ['dev', ['build']],
        ['staging', ['build', 'dev']],
        ['approval', ['staging']],
        ['prod', ['build', 'approval']],
      ],
    );
    for (const environment of ['dev', 'staging', 'prod']) {
      const { with: given } = jobs[environment] ?? {};
      assert.equal(given?.['environment'], environment);
      assert.equal(given['image'], '${{ needs.build.outputs.image }}');
    }
    assert.equal(jobs['approval']?.environment, 'prod-approval');
    assert.match(textOf('deploy'), /\^sha256:\[0-9a-f\]\{64\}\$/);
  });

  it('one version of the Google Cloud CLI, here and in Cloud Build', () => {
    const ours = /google-cloud-cli:([\d.]+)-emulators/.exec(read('Dockerfile.pipeline'))?.[1];
    const steps = FILES.flatMap((file) =>
      Object.values(readWorkflow(read(path.join(FOLDER, file))).jobs).flatMap((job) => job.steps),
    ).filter(({ uses = '' }) => uses.startsWith('google-github-actions/setup-gcloud@'));
    assert.equal(steps.length, FILES.length, 'each of them has one');
    assert.deepEqual([...new Set(steps.map((step) => step.with?.['version']))], [ours]);
  });

  it('whoever calls the deploy script has the beta commands that it uses', () => {
    assert.match(read('scripts/deploy.sh'), /gcloud beta /);
    for (const name of ['ci', 'environment', 'operate']) {
      const { jobs } = readWorkflow(textOf(name));
      const components = Object.values(jobs).flatMap((job) =>
        job.steps.flatMap((step) => String(step.with?.['install_components'] ?? '').split(',')),
      );
      assert.ok(components.includes('beta'), name);
    }
  });

  it('names are those of the code', () => {
    const env = readWorkflow(textOf('environment')).jobs['deploy']?.env;
    assert.equal(env?.['PUBSUB_TOPIC'], NAMES.topic);
    assert.equal(env['REGION'], `\${{ vars.REGION || '${NAMES.region}' }}`);
  });
});
