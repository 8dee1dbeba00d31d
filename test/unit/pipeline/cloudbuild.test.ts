/** Both Cloud Build files: as the API has them, whole, and of the names that code and terraform use. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { NAMES } from '../../../src/contract/names.ts';
import { projectRoot } from '../../../src/dev/paths.ts';
import { buildFaults, expand, readBuild, readTrigger, type Build } from './cloudbuild.ts';
import { commandsIn } from './commands.ts';

const read = (file: string): string => readFileSync(path.join(projectRoot, file), 'utf8');
const BUILD = read('cloudbuild.content-worker.yaml');
const TRIGGER = read('cloudbuild.trigger.yaml');

function changed(text: string, from: string, to: string): string {
  assert.ok(text.includes(from), `it has no ${from}`);
  return text.replace(from, to);
}
const faultsOf = (text: string): string[] => buildFaults(readBuild(text));
const scriptOf = ({ steps }: Build, id: string): string => steps.find((step) => step.id === id)?.script ?? '';

describe('cloud build', () => {
  const build = readBuild(BUILD);
  const trigger = readTrigger(TRIGGER);
  const values = { ...build.substitutions, PROJECT_ID: NAMES.project };

  it('the build is whole', () => assert.deepEqual(buildFaults(build), []));

  for (const [what, from, to] of [
    ['a key of the build', 'timeout: 900s', 'time_out: 900s'],
    ['a key of a step', 'id: lint\n', 'id: lint\n    when: always\n'],
    ['a key of the options', 'logging:', 'logs:'],
    ['a machine that there is not', 'E2_HIGHCPU_8', 'E2_HIGHCPU_16'],
    ['a build without provenance', 'VERIFIED', 'NOT_VERIFIED'],
    ['logs in a bucket that nobody has', 'CLOUD_LOGGING_ONLY', 'GCS_ONLY'],
    ['a substitution that Cloud Build would refuse', '_REGION: us', 'REGION: us'],
    ['a step that waits for all before it', 'waitFor: [test]\n    ', ''],
    ['a script beside arguments', 'script: npm run lint', 'script: npm run lint\n    args: [lint]'],
  ] as const) {
    it(`refused: ${what}`, () => assert.throws(() => readBuild(changed(BUILD, from, to)), { name: 'ZodError' }));
  }

  for (const [what, from, to, fault] of [
    ['a substitution that is not defined', '$_REGION', '$_PLACE', /_PLACE is used and not defined/],
    ['a substitution that is not used', '- REGION=$_REGION', '- REGION=x', /_REGION is defined and not used/],
    ['a step that is not there', 'waitFor: [test]', 'waitFor: [tests]', /replay: waits for tests/],
    ['a step that comes later', 'waitFor: [tools]', 'waitFor: [push]', /install: waits for push/],
    ['a step twice', 'id: lint', 'id: install', /install: there are two/],
    ['an image by a moving tag', 'docker:24.0.9', 'docker:latest', /docker:latest is not pinned/],
    ['an image without a tag', 'docker:24.0.9', 'docker', /cloud-builders\/docker is not pinned/],
    ['an image that is not made yet', 'waitFor: [tools]', "waitFor: ['-']", /install: content-worker-pipeline is not/],
    ['a substitution in a script', '"$IMAGE:latest"', '"$_IMAGE:latest"', /_IMAGE comes by env/],
    ['a variable that nobody sets', '- COMMIT_SHA=$COMMIT_SHA', '- SHA=$COMMIT_SHA', /nobody sets COMMIT_SHA/],
    ['another image', '- $_IMAGE:latest', '- gcr.io/other:latest', /images: gcr\.io\/other/],
    ['a command that is not there', 'npm run lint', 'npm run linter', /no script linter/],
    ['an option that is not there', '--allow-empty', '--allow-none', /replay has no option --allow-none/],
    ['a verb that is not there', 'rollout -- promote', 'rollout -- advance', /rollout has no verb advance/],
    ['a script that is not there', 'deploy.sh pool', 'deploys.sh pool', /there is no scripts\/deploys\.sh/],
    ['a verb of a script that is not there', 'deploy.sh pool', 'deploy.sh pools', /deploy\.sh has no verb pools/],
  ] as const) {
    it(`found: ${what}`, () => {
      const faults = faultsOf(changed(BUILD, from, to));
      assert.ok(
        faults.some((each) => fault.test(each)),
        `found only ${JSON.stringify(faults)}`,
      );
    });
  }

  it("it has the plan's 15 minutes, and builds the image of the contract", () => {
    assert.equal(build.timeout, '900s');
    assert.equal(expand('$_IMAGE', values), NAMES.image);
    assert.equal(expand('$_REGION', values), NAMES.region);
    assert.ok(scriptOf(build, 'image').includes('--file Dockerfile.content-worker'), 'the Dockerfile');
  });

  it('nothing is pushed before lint, tests and replay have passed, nothing deployed before it is pushed', () => {
    const before = (id: string): string[] => {
      const { waitFor = [] } = build.steps.find((step) => step.id === id) ?? {};
      return waitFor.flatMap((each) => (each === '-' ? [] : [each, ...before(each)]));
    };
    const gates = ['lint', 'test', 'replay'];
    assert.deepEqual(
      gates.filter((gate) => !before('push').includes(gate)),
      [],
    );
    assert.ok(before('deploy').includes('push'), 'the deployment waits');
    const pushers = build.steps.filter(({ script = '' }) => script.includes('docker push'));
    assert.deepEqual(
      pushers.map(({ id }) => id),
      ['push'],
    );
    for (const [gate, command] of [
      ['lint', 'lint'],
      ['test', 'test'],
      ['replay', 'replay'],
    ] as const) {
      assert.deepEqual(
        commandsIn(scriptOf(build, gate)).map(({ name }) => name),
        [command],
      );
    }
  });

  it('it deploys by digest, in the order of the other pipeline', () => {
    const other = parse(read('.github/workflows/environment.yml')) as {
      jobs: { deploy: { steps: { run?: string }[] } };
    };
    const order = (script: string): string[] =>
      commandsIn(script)
        .map(({ name, args }) => (name === 'scripts/deploy.sh' ? `deploy ${String(args[0])}` : name))
        .filter((name) => name !== 'ci');
    // Back is a trap here, and a step there.
    const forward = (names: string[]): string[] => [...new Set(names)].filter((name) => name !== 'deploy back');
    const here = order(scriptOf(build, 'deploy'));
    assert.ok(here.includes('deploy back'), 'and back');
    assert.deepEqual(forward(here), [
      'scripts/temporal-secrets.sh',
      'deploy note',
      'replay',
      'deploy migrate',
      'deploy pool',
      'rollout',
      'deploy bridge',
      'smoke',
      'deploy sweep',
    ]);
    const there = order(other.jobs.deploy.steps.map(({ run = '' }) => run).join('\n'));
    assert.deepEqual(forward(there), forward(here));
    assert.match(scriptOf(build, 'push'), /@sha256:/);
  });

  for (const [target, code] of [
    ['none', 0],
    ['dev', 0],
    ['staging', 2],
    ['prod', 2],
    ['', 2],
  ] as const) {
    it(`it ${code === 0 ? 'may' : 'may not'} deploy to '${target}': what nobody approves goes to dev only`, () => {
      const { status } = spawnSync('bash', ['-c', scriptOf(build, 'target')], { env: { ENVIRONMENT: target } });
      assert.equal(status, code);
    });
  }
  it('a target that is refused is refused before the deployment', () =>
    assert.ok(build.steps.find(({ id }) => id === 'deploy')?.waitFor.includes('target')));

  it('where a step of the deployment fails it goes back, where none does it sweeps', () => {
    // The step's own script, with words in place of what it calls.
    const script = scriptOf(build, 'deploy')
      .replace(/\$\(cat [^)]*\)/g, 'x')
      .replace('. scripts/temporal-secrets.sh\n', '')
      .replace(/scripts\/deploy\.sh|npm run/g, 'call');
    const calls = (fails: string): [number | null, string[]] => {
      const call = `call() { echo "$1"; if [ "$1" = "$FAILS" ]; then return 1; fi; }\n`;
      const { status, stdout } = spawnSync('bash', ['-c', call + script], {
        encoding: 'utf8',
        env: { ENVIRONMENT: 'dev', FAILS: fails },
      });
      return [status, stdout.trim().split('\n')];
    };
    const forward = ['note', 'replay', 'migrate', 'pool', 'rollout', 'bridge', 'smoke'];
    assert.deepEqual(calls(''), [0, [...forward, 'sweep']]);
    assert.deepEqual(calls('smoke'), [1, [...forward, 'back']]);
    assert.deepEqual(calls('pool'), [1, ['note', 'replay', 'migrate', 'pool', 'back']]);
    assert.deepEqual(calls('note'), [1, ['note']], 'there is nothing to go back to');
    assert.deepEqual(calls('sweep')[0], 0, 'a pool that stays is no failure');
  });

  for (const [what, env, code, written] of [
    ['a commit', { COMMIT_SHA: '0a1b2c3d4e5f60718293a4b5c6d7e8f901234567' }, 0, '0a1b2c3d4e5f'],
    ['a working tree', { COMMIT_SHA: '' }, 0, '9f8e7d6c5b4a'],
    ['something else', { COMMIT_SHA: 'main' }, 1, ''],
  ] as const) {
    it(`the build id of ${what}`, () => {
      // The step's own script, with words in place of docker and of the file.
      const script = scriptOf(build, 'image')
        .replace('docker build', ': docker build')
        .replace('>/workspace/build-id', '');
      const { status, stdout } = spawnSync('bash', ['-c', script], {
        encoding: 'utf8',
        env: { IMAGE: 'image', CLOUD_BUILD_ID: '9f8e7d6c-5b4a-4321-8765-0123456789ab', ...env },
      });
      assert.deepEqual([status, stdout.trim()], [code, written]);
    });
  }

  it('the trigger builds this file as its account, and sets what it has', () => {
    assert.equal(trigger.filename, 'cloudbuild.content-worker.yaml');
    assert.equal(trigger.serviceAccount, expand(build.serviceAccount, values));
    const unknown = Object.keys(trigger.substitutions).filter((name) => !(name in build.substitutions));
    assert.deepEqual(unknown, []);
    assert.equal(trigger.name, NAMES.job);
  });

  it('the trigger deploys to where terraform’s dev is', () => {
    const { _DEPLOY_TO: environment, _TEMPORAL_ADDRESS, _TEMPORAL_NAMESPACE, ...rest } = trigger.substitutions;
    const tfvars = read(`terraform/environments/${String(environment)}.tfvars`);
    const value = (name: string): string => new RegExp(`^\\s*${name}\\s*= "(.*)"$`, 'm').exec(tfvars)?.[1] ?? '';
    assert.equal(_TEMPORAL_ADDRESS, value('address'));
    assert.equal(_TEMPORAL_NAMESPACE, value('namespace'));
    assert.deepEqual(rest, { _TEMPORAL_SECRETS: `TEMPORAL_API_KEY=${String(environment)}-vividly-temporal-api-key` });
    assert.ok(trigger.serviceAccount.startsWith(`projects/${value('project_id')}/`), 'the project');
    assert.ok(read('terraform/deployer.tf').includes('"${var.environment}-content-deployer"'), 'the account');
    assert.equal(build.substitutions['_DEPLOYER'], `${String(environment)}-content-deployer`);
  });

  for (const [what, from, to] of [
    ['a key', 'filename:', 'file:'],
    ['a branch that is no whole name', '^main$', 'main'],
    ['an account without a project', 'projects/vividly-dev-rich/serviceAccounts/', ''],
  ] as const) {
    it(`a trigger is refused for ${what}`, () =>
      assert.throws(() => readTrigger(changed(TRIGGER, from, to)), { name: 'ZodError' }));
  }
});
