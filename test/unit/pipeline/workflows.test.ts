/** GitHub's workflows call what is there, are pinned, and may do no more than they need. Syntax is actionlint's. */
import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readRolloutConfig } from '../../../src/config.ts';
import { NAMES } from '../../../src/contract/names.ts';
import { projectRoot } from '../../../src/dev/paths.ts';
import { readBuild } from './cloudbuild.ts';
import { commandFaults, commandsIn } from './commands.ts';
import { deploymentFaults, pinFaults, readWorkflow, workflowFaults, type Workflow } from './workflows.ts';

/** A secret of GitHub's, or a key in its place; temporal-secrets.sh is none. */
const KEY = /(?<![\w-])secrets\.|credentials_json/;
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
    it(`${file}: nobody's key is in it`, () => assert.doesNotMatch(text, KEY));
  }

  for (const [what, from, to] of [
    ['a tag', '@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1', '@v7'],
    ['a commit without its version', ' # v7.0.1', ''],
    ['half a commit', '3d3c42e5aac5ba805825da76410c181273ba90b1', '3d3c42e5aac5'],
  ] as const) {
    it(`not pinned: ${what}`, () => assert.equal(pinFaults(changed('ci', from, to)).length, 1));
  }
  it("somebody's key is found", () => assert.match(changed('operate', 'vars.DEPLOYER', 'secrets.DEPLOYER'), KEY));
  it('not there: a workflow', () =>
    assert.equal(pinFaults(changed('deploy', './.github/workflows/ci.yml', './.github/workflows/test.yml')).length, 1));

  for (const [what, file, from, to, fault] of [
    ['a command', 'environment', 'npm run replay', 'npm run replays', /no script replays/],
    ['an option', 'environment', '--from-server', '--of-server', /replay has no option --of-server/],
    ['a file', 'ci', '- run: .ci/run', '- run: .ci/start', /there is no \.ci\/start/],
    ['a verb', 'environment', 'deploy.sh migrate', 'deploy.sh migrations', /has no verb migrations/],
    ['an input', 'environment', 'inputs.ramp }}', 'inputs.rate }}', /no input rate/],
    ['an input of another', 'deploy', 'ramp: 10\n', 'rate: 10\n', /has no input rate/],
    ['an input that another needs', 'deploy', '      environment: prod\n', '', /is not given environment/],
    ['an output', 'deploy', 'build_id: ${{ steps', 'build: ${{ steps', /no output build_id of build/],
    ['a job', 'deploy', 'needs: [build, staging]', 'needs: [build, stage]', /no job stage/],
    ['a variable', 'operate', 'PERCENT:', 'PERCENTAGE:', /nobody sets PERCENT/],
    ['an expression in a script', 'operate', '"$PERCENT"', '${{ inputs.percent }}', /holds an expression/],
    ['a right', 'environment', '  id-token: write\n', '', /id-token: write is needed/],
    ['another branch', 'deploy', "    if: github.ref == 'refs/heads/main'\n", '', /build: signs in on any branch/],
    [
      'prod of another branch',
      'deploy',
      "staging]\n    if: github.ref == 'refs/heads/main'",
      'staging]',
      /prod: signs in on/,
    ],
    ['another branch by hand', 'operate', "    if: github.ref == 'refs/heads/main'\n", '', /signs in on any branch/],
    ['no reviewers', 'operate', '    environment: ${{ inputs.environment }}\n', '', /without an environment/],
    [
      "a variable of the environment's",
      'environment',
      'inputs.runner ||',
      'vars.RUNNER ||',
      /RUNNER is a variable that/,
    ],
    ['scripts of packages', 'environment', ' --ignore-scripts', '', /runs the scripts of packages/],
    [
      'a package with rights',
      'operate',
      '. scripts/temporal-secrets.sh',
      'npm ci --ignore-scripts',
      /ci runs with the rights/,
    ],
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

  it('test, build, dev, staging, prod: one after the other, with one image', () => {
    const { jobs } = readWorkflow(textOf('deploy'));
    assert.deepEqual(
      Object.entries(jobs).map(([name, { needs }]) => [name, needs]),
      [
        ['test', []],
        ['build', ['test']],
        ['dev', ['build']],
        ['staging', ['build', 'dev']],
        ['prod', ['build', 'staging']],
      ],
    );
    for (const environment of ['dev', 'staging', 'prod']) {
      const { with: given } = jobs[environment] ?? {};
      assert.equal(given?.['environment'], environment);
      assert.equal(given['image'], '${{ needs.build.outputs.image }}');
      assert.equal(given['runner'], `\${{ vars.RUNNER_${environment.toUpperCase()} }}`);
    }
    assert.match(textOf('deploy'), /\^sha256:\[0-9a-f\]\{64\}\$/);
  });

  it('whoever deploys or operates prod has its environment, which asks its reviewers', () => {
    for (const [name, job] of [
      ['environment', 'deploy'],
      ['operate', 'operate'],
    ] as const) {
      assert.equal(readWorkflow(textOf(name)).jobs[job]?.environment, '${{ inputs.environment }}');
    }
  });

  it('whoever waits for prod holds back prod only, and no rollback is cancelled by a deployment', () => {
    const deploy = readWorkflow(textOf('deploy'));
    assert.equal(deploy.concurrency, undefined, 'the whole waits for nobody');
    const groups = ['environment', 'operate'].map((name) => readWorkflow(textOf(name)).concurrency?.group);
    assert.deepEqual(groups, [
      'environment-${{ inputs.environment }}',
      'operate-${{ inputs.environment }}-${{ inputs.action }}',
    ]);
    // Commits reach the environments in their order all the same.
    assert.equal(deploy.jobs['test']?.concurrency?.group, 'deploy-test');
  });

  it('a deployment notes what is there, goes back where it fails, and sweeps where it does not', () =>
    assert.deepEqual(deploymentFaults(readWorkflow(textOf('environment'))), []));
  for (const [what, from, to, fault] of [
    ['a bridge before its runs', '        if: inputs.ramp >= 100\n', '', /bridge changes while/],
    ['no way back', '        if: (failure() || cancelled()) && steps', '        if: steps', /goes back only/],
    ['nothing that was noted', 'id: before', 'id: after', /goes back only/],
    [
      'another note',
      'note "$ENVIRONMENT" "$RUNNER_TEMP/before"',
      'note "$ENVIRONMENT" "$RUNNER_TEMP/x"',
      /another file/,
    ],
    ['a change before the note', 'npm run replay -- --from-server --allow-empty', 'scripts/deploy.sh pool', /order/],
    [
      'a sweep before the smoke test',
      'npm run smoke -- --via temporal --build-id "$BUILD_ID"',
      'npm run replay',
      /smoke test/,
    ],
    ['a pool that stops the deployment', '        continue-on-error: true\n', '', /sweep/],
    ['a sweep of what has failed', '        continue-on-error: true\n', '        if: always()\n', /sweep/],
  ] as const) {
    it(`found in a deployment: ${what}`, () => {
      const faults = deploymentFaults(readWorkflow(changed('environment', from, to)));
      assert.ok(
        faults.some((each) => fault.test(each)),
        `found only ${JSON.stringify(faults)}`,
      );
    });
  }
  it('in prod the bridge waits for the promotion', () => {
    const ramps = Object.values(readWorkflow(textOf('deploy')).jobs).flatMap(
      ({ with: given }) => given?.['ramp'] ?? [],
    );
    assert.deepEqual(ramps, [100, 100, 10]);
  });

  it('by hand, the bridge goes with the build that becomes current', () => {
    const steps = readWorkflow(textOf('operate')).jobs['operate']?.steps ?? [];
    const follows = steps.filter(({ run = '' }) => run.includes('deploy.sh follow'));
    assert.deepEqual(
      follows.map((step) => step.if),
      ["inputs.action == 'promote' || inputs.action == 'rollback'"],
    );
    assert.ok(steps.at(-1) === follows[0], 'after the rollout');
  });

  describe('Temporal', () => {
    const terraform = read('terraform/environment.tf');
    const named = (local: string): string[] => {
      const [, body = ''] = new RegExp(`${local} = merge\\(([\\s\\S]*?)\\n  \\)`).exec(terraform) ?? [];
      return [...body.matchAll(/\b(TEMPORAL_\w+)\s+= /g)].map(([, name = '']) => name);
    };
    const readers = (): [string, readonly string[]][] => [
      ...(['environment', 'operate'] as const).map((name): [string, readonly string[]] => {
        const [job] = Object.values(readWorkflow(textOf(name)).jobs);
        return [name, Object.keys(job?.env ?? {})];
      }),
      [
        'cloud build',
        readBuild(read('cloudbuild.content-worker.yaml'))
          .steps.filter(({ id }) => id === 'deploy')
          .flatMap(({ env = [] }) => env.map((each) => each.replace(/=.*/, ''))),
      ],
    ];

    it('the pipeline is told all that terraform tells the processes', () => {
      const settings = named('temporal_env');
      assert.deepEqual(settings.length, 5, 'the twin: they are read');
      for (const [name, told] of readers()) {
        assert.deepEqual(
          settings.filter((each) => !told.includes(each)),
          [],
          name,
        );
      }
    });

    it('what is blank is not set', () => {
      const blank = Object.fromEntries(named('temporal_env').map((name) => [name, '']));
      assert.deepEqual(readRolloutConfig({ ...blank }), readRolloutConfig({}));
      const told = readRolloutConfig({ ...blank, TEMPORAL_TLS: 'true', TEMPORAL_TLS_SERVER_NAME: 'temporal.example' });
      assert.notDeepEqual(told, readRolloutConfig({}), 'the twin: what is set counts');
    });

    describe('its secrets', () => {
      let folder: string;
      before(() => {
        folder = mkdtempSync(path.join(tmpdir(), 'secrets-'));
        const gcloud = `#!/usr/bin/env bash\n[[ $* != *lost* ]] || exit 7\nprintf 'first of %s\\n\\nlast\\n' "$*"\n`;
        writeFileSync(path.join(folder, 'gcloud'), gcloud, { mode: 0o755 });
      });
      after(() => rmSync(folder, { recursive: true }));

      function source(secrets: string, github: string | null): SpawnSyncReturns<string> {
        return spawnSync('bash', ['-ec', '. scripts/temporal-secrets.sh; echo; env -0'], {
          cwd: projectRoot,
          encoding: 'utf8',
          env: {
            PATH: `${folder}:${process.env['PATH'] ?? ''}`,
            GOOGLE_CLOUD_PROJECT: 'p',
            TEMPORAL_SECRETS: secrets,
            ...(github === null ? {} : { GITHUB_ENV: github }),
          },
        });
      }
      const value = (secret: string): string =>
        `first of secrets versions access latest --secret=${secret} --project=p\n\nlast`;

      it('each that terraform gives the processes is exported; without GitHub nothing is written', () => {
        const secrets = named('temporal_secrets');
        assert.equal(secrets.length, 4, 'the twin: they are read');
        const { status, stdout, stderr } = source(secrets.map((name) => `${name}=dev-x`).join(' '), null);
        assert.equal(status, 0, stderr);
        for (const name of secrets) assert.ok(stdout.includes(`${name}=${value('dev-x')}\0`), name);
        assert.doesNotMatch(stdout, /add-mask/);
      });

      it('a job of GitHub masks each line, and hands them on', () => {
        const file = path.join(folder, 'env');
        writeFileSync(file, '');
        const { status, stdout } = source('TEMPORAL_API_KEY=a TEMPORAL_TLS_CLIENT_KEY_DATA=b', file);
        assert.equal(status, 0);
        const masks = stdout.split('\n').filter((line) => line.startsWith('::add-mask::'));
        assert.equal(masks.length, 4, 'no mask is of nothing');
        assert.ok(masks.includes('::add-mask::last'));
        assert.equal(
          readFileSync(file, 'utf8'),
          ['TEMPORAL_API_KEY=a', 'TEMPORAL_TLS_CLIENT_KEY_DATA=b']
            .map((each) => each.split('='))
            .map(([name = '', secret = '']) => `${name}<<END-OF-SECRET\n${value(secret)}\nEND-OF-SECRET\n`)
            .join(''),
        );
      });

      for (const [what, secrets, code] of [
        ['a variable that is none of them', 'PATH=a', 2],
        ['no secret', 'TEMPORAL_API_KEY=', 2],
        ['a secret that is not there', 'TEMPORAL_API_KEY=lost', 7],
      ] as const) {
        it(`ends at ${what}`, () => assert.equal(source(secrets, null).status, code));
      }
    });
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
