/** What README, deploy.md and runbook.md tell somebody to type: everything that they name is there, and spelled so. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ALERT } from '../../src/contract/alert.ts';
import { FAILURE_CODES, REJECTION_CODES } from '../../src/contract/failure.ts';
import { NAMES } from '../../src/contract/names.ts';
import { EXIT_CODE as BRIDGE_EXIT } from '../../src/bridge/exit.ts';
import { EXIT_CODE as SMOKE_EXIT } from '../../src/smoke/exit.ts';
import { UNDELIVERED } from '../../src/letters/letter.ts';
import { SETTINGS } from '../../src/settings.ts';
import { readGcloud, type Gcloud } from '../support/docs/gcloud.ts';
import { anchorOf, commandsOf, parsePage, readPage, ROOT, type Page } from '../support/docs/page.ts';
import { runsOf } from '../support/docs/words.ts';
import { readTerraform, type TerraformFiles } from '../support/terraform/files.ts';

const PAGES = ['README.md', 'docs/deploy.md', 'docs/runbook.md'].map(readPage);
/** The two that are followed step by step. */
const [, DEPLOY, RUNBOOK] = PAGES as [Page, Page, Page];

const twin = (markdown: string): Page => parsePage('docs/twin.md', markdown);

const everywhere = (faultsOf: (page: Page) => string[]): string[] => PAGES.flatMap(faultsOf);

/** All that match, with the place; `group` 1 is what is looked up. */
function unknown(page: Page, pattern: RegExp, isKnown: (name: string) => boolean): string[] {
  return commandsOf(page).flatMap(({ at, text }) =>
    [...text.matchAll(pattern)]
      .map(([, name = '']) => name)
      .filter((name) => !isKnown(name))
      .map((name) => `${at}: ${name}`),
  );
}

describe('commands in the documentation', () => {
  it('each block of deploy.md and runbook.md says where it runs', () => {
    const silent = (page: Page): string[] =>
      page.blocks.filter(({ place }) => place === null).map(({ line }) => `${page.name}:${String(line)}`);
    assert.deepEqual([DEPLOY, RUNBOOK].flatMap(silent), []);
    assert.deepEqual(silent(twin('```sh\nnpm test\n```\n```sh\n# runs here\n```\n```sql\n-- needs a project\n```')), [
      'docs/twin.md:1',
    ]);
    assert.deepEqual(
      PAGES.flatMap(({ blocks }) => blocks.map(({ language }) => language)).filter(
        (each) => !['sh', 'sql', 'json', ''].includes(each),
      ),
      [],
      'languages that nobody looks at',
    );
  });

  it('each block is sound bash', () => {
    const faultsOf = ({ name, blocks }: Page): string[] =>
      blocks
        .filter(({ language }) => language === 'sh')
        .flatMap(({ line, text }) => {
          const { status, stderr } = spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' });
          return status === 0 ? [] : [`${name}:${String(line)}: ${stderr}`];
        });
    assert.deepEqual(everywhere(faultsOf), []);
    assert.match(faultsOf(twin('```sh\nfor each in 1 2; do echo\n```')).join(), /twin\.md:1: .*syntax error/);
  });

  it('npm scripts, and the verbs of ours, exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const faultsOf = (page: Page): string[] =>
      unknown(page, /npm run (?:--silent )?([\w:]+)/g, (name) => name in scripts);
    assert.deepEqual(everywhere(faultsOf), []);
    assert.deepEqual(faultsOf(twin('`npm run smok`')), ['docs/twin.md: `npm run smok`: smok']);

    const rollout = readFileSync(join(ROOT, 'src/rollout/main.ts'), 'utf8');
    const deploy = readFileSync(join(ROOT, 'scripts/deploy.sh'), 'utf8');
    const verbsOf = (page: Page): string[] => [
      ...unknown(page, /npm run rollout -- ([\w-]+)/g, (verb) => rollout.includes(`.command('${verb}')`)),
      ...unknown(page, /scripts\/deploy\.sh ([a-z-]+)/g, (verb) => deploy.includes(`scripts/deploy.sh ${verb} `)),
    ];
    assert.deepEqual(everywhere(verbsOf), []);
    assert.equal(verbsOf(twin('`npm run rollout -- rampp x 5` `scripts/deploy.sh pools dev`')).length, 2);
  });

  it('files that are named exist', () => {
    const faultsOf = (page: Page): string[] =>
      unknown(
        page,
        /(?<![\w/.$"}-])((?:src|test|docs|scripts|terraform|migrations|\.github)\/[\w./-]*\w|cloudbuild\.[\w.-]+\.yaml)/g,
        (file) => existsSync(join(ROOT, file)) || existsSync(join(ROOT, dirname(page.name), file)),
      );
    assert.deepEqual(everywhere(faultsOf), []);
    assert.equal(faultsOf(twin('`scripts/deploy.sh` `scripts/deploy.bash` `psql -f migrations/none.sql`')).length, 2);
  });

  it('links lead to files and headings that are there', () => {
    const faultsOf = (page: Page): string[] =>
      page.links
        .filter((link) => !/^https?:/.test(link))
        .flatMap((link) => {
          const [file = '', anchor] = link.split('#');
          const target = file === '' ? page.name : join(dirname(page.name), file);
          if (!existsSync(join(ROOT, target))) return file === '' ? [] : [`${page.name}: ${link}`];
          const { headings } = file === '' ? page : readPage(target);
          return anchor === undefined || headings.map(anchorOf).includes(anchor) ? [] : [`${page.name}: ${link}`];
        });
    assert.deepEqual(everywhere(faultsOf), []);
    const broken = twin('[a](deploy.md) [b](deploy.md#nowhere) [c](nowhere.md) [d](runbook.md#job_failed)');
    assert.deepEqual(faultsOf(broken), ['docs/twin.md: deploy.md#nowhere', 'docs/twin.md: nowhere.md']);
  });

  describe('gcloud', () => {
    let gcloud: Gcloud;
    before(() => {
      gcloud = readGcloud(process.env['PATH']);
    });
    const faultsOf = (page: Page): string[] =>
      commandsOf(page).flatMap(({ at, text }) =>
        runsOf('gcloud', text)
          // In a line the name of a group may stand for what it can do.
          .flatMap((words) => gcloud(words).filter((fault) => !(at.endsWith('`') && fault.endsWith('(none is named)'))))
          .map((fault) => `${at}: ${fault}`),
      );

    it('commands and flags are those of the CLI', () => assert.deepEqual(everywhere(faultsOf), []));

    for (const [command, fault] of [
      ['gcloud run jobs exec x', 'gcloud run jobs has no command exec'],
      ['gcloud run jobs execute x --await', 'gcloud run jobs execute has no flag --await'],
      ['x=$(gcloud sql instances describe "$(gcloud info --form=x)" --forma=y)', 'gcloud info has no flag --form'],
      ['true && gcloud run jobs', 'gcloud run jobs has no command (none is named)'],
      ['gcloud monitoring time-series list', 'gcloud monitoring has no command time-series'],
      ['gcloud builds submit --machine-type=e2-huge', 'gcloud builds submit --machine-type takes '],
    ] as const) {
      it(`the twin: ${command}`, () => {
        const faults = faultsOf(twin(`\`\`\`sh\n${command}\n\`\`\``));
        assert.ok(
          faults.some((each) => each.includes(fault)),
          faults.join('; ') || 'no fault was found',
        );
      });
    }

    it('the twins that are sound: quotes, substitutions, --no-…, and a group that was beta', () => {
      const sound = 'gcloud run worker-pools list --region=x && gcloud config get project | cat --this-is-not-gclouds';
      assert.deepEqual(faultsOf(twin(`\`${sound}\``)), []);
      assert.deepEqual(runsOf('gcloud', `a "$(gcloud b 'c d' --e="f $(g --h) i")" --j`), [
        ['b', 'c d', '--e=f $(g --h) i'],
      ]);
    });
  });

  describe('terraform', () => {
    let files: TerraformFiles;
    before(async () => {
      files = await readTerraform();
    });
    const faultsOf = (page: Page): string[] => [
      ...unknown(page, /-target=([\w.]+)/g, (name) => name in files.resources || files.data.includes(name)),
      ...unknown(page, /\s-var='?"?(\w+)/g, (name) => files.variables.includes(name)),
      ...unknown(page, /-chdir=terraform output (?:-raw )?(\w+)/g, (name) => files.outputs.includes(name)),
      // Fields of variables: `bridge.tasks`.
      ...unknown(page, /^((?:bridge|worker|database|network|temporal|generator|deployer)\.\w+)/g, (name) => {
        const [variable = '', field = ''] = name.split('.');
        return new RegExp(`\\b${field}\\b`).test(files.types[variable] ?? '');
      }),
    ];

    it('addresses, variables, their fields and outputs exist', () => assert.deepEqual(everywhere(faultsOf), []));

    it('the twin: each is found out', () => {
      const wrong =
        '`terraform apply -target=google_x.y -var="image=z"` `-chdir=terraform output -raw nothing` `bridge.speed`';
      assert.equal(faultsOf(twin(wrong)).length, 4, faultsOf(twin(wrong)).join('; '));
    });

    it('every variable without a default is told to whoever deploys', () => {
      const told = DEPLOY.inline.join(' ');
      assert.ok(
        files.required.includes('temporal') && !files.required.includes('region'),
        'the twin: they are told apart',
      );
      assert.deepEqual(
        files.required.filter((name) => !told.includes(name)),
        [],
      );
    });

    it("the foundation's targets are those that terraform's own test plans", () => {
      const hcl = readFileSync(join(ROOT, 'terraform/tests/targets.tftest.hcl'), 'utf8');
      const [, list = ''] = /run "foundation" \{[\s\S]*?target = \[([^\]]*)\]/.exec(hcl) ?? [];
      const planned = list.split(',').map((each) => each.trim());
      const told = DEPLOY.blocks
        .filter(({ section }) => section === 'The foundation')
        .flatMap(({ text }) => [...text.matchAll(/-target=(\S+)/g)].map(([, address]) => address));
      assert.ok(told.length > 5, 'targets are read');
      assert.deepEqual(
        told,
        planned.filter((each) => each !== ''),
      );
    });

    it('imports and what is adopted name resources', () => {
      const names = DEPLOY.blocks.flatMap(({ text }) =>
        [...text.matchAll(/\b((?:topic|subscription)\.\w+):/g)].map(([, name = '']) => `google_pubsub_${name}`),
      );
      assert.ok(names.length >= 3, 'the block is read');
      assert.deepEqual(
        names.filter((name) => !(name in files.resources)),
        [],
      );
    });

    it('secrets have the keys that terraform makes', () => {
      const { worker_secrets, temporal_secrets, migrate_secrets, database_files } = files.locals;
      const made = JSON.stringify([worker_secrets, temporal_secrets, migrate_secrets, database_files]);
      const named = (page: Page): string[] => [
        ...commandsOf(page).flatMap(({ text }) => [
          ...[...text.matchAll(/\| put ([a-z][\w-]+)/g)].map(([, key = '']) => key),
          ...[...text.matchAll(/\$ENVIRONMENT-vividly-((?!content)[a-z-]+)/g)].map(([, key = '']) => key),
          ...[...text.matchAll(/(?:worker|migrate):([a-z-]+)/g)].map(([, key = '']) => key),
        ]),
      ];
      const keys = [DEPLOY, RUNBOOK].flatMap(named);
      assert.ok(keys.includes('migrate-database-url') && keys.includes('secret-key'), 'keys are read');
      assert.deepEqual(
        keys.filter((key) => !made.includes(key)),
        [],
      );
      assert.deepEqual(
        named(twin('`x | put secret-kee`')).filter((key) => !made.includes(key)),
        ['secret-kee'],
      );
    });
  });

  it('settings exist', () => {
    const known = new Set<string>(SETTINGS.map(({ name }) => name));
    // Read by scripts/deploy.sh, by Temporal's own configuration, by GitHub's environment.
    const others = /^(WORKER_INSTANCES|TEMPORAL_(TLS\w*|PROFILE|CONFIG_FILE|SECRETS))$/;
    const faultsOf = (page: Page): string[] =>
      unknown(
        page,
        /(?<![\w-])((?:BRIDGE|RETRY|WORKER|DATABASE|PUBSUB|TEMPORAL|GENERATOR|GEMINI|MIGRATE)_[A-Z_]*[A-Z])(?![\w*])/g,
        (name) => known.has(name) || others.test(name),
      );
    assert.deepEqual(everywhere(faultsOf), []);
    assert.deepEqual(faultsOf(twin('`BRIDGE_SPEED=1` and `BRIDGE_*`')), [
      'docs/twin.md: `BRIDGE_SPEED=1`: BRIDGE_SPEED',
    ]);
  });

  it('names of resources are those of the code', () => {
    const [job] = NAMES.job.split('dev-').slice(-1);
    const known = new Set<string>([job ?? '', 'vividly-content-migrate', 'vividly-content-pool', 'vividly-content']);
    const faultsOf = (page: Page): string[] => [
      ...unknown(page, /(?:\$ENVIRONMENT|dev)-(vividly-content[a-z-]*?)(?:-schedule)?(?![\w-])/g, (name) =>
        known.has(name),
      ),
      ...unknown(page, /\b(content-generation[a-z-]*)\b/g, (name) => Object.values(NAMES).includes(name as never)),
    ];
    assert.deepEqual([DEPLOY, RUNBOOK].flatMap(faultsOf), []);
    assert.equal(faultsOf(twin('`dev-vividly-content-job` `content-generation-topic`')).length, 2);
  });

  it('alerts that are looked for are written', () => {
    const codes: readonly string[] = Object.values(ALERT);
    const faultsOf = (page: Page): string[] =>
      unknown(page, /jsonPayload\.alert="(\w+)"/g, (code) => codes.includes(code));
    assert.deepEqual(everywhere(faultsOf), []);
    assert.equal(faultsOf(twin('`jsonPayload.alert="db"`')).length, 1);
  });

  it('the runbook has an answer for every reason of a letter', () => {
    const [, section = ''] = readFileSync(join(ROOT, RUNBOOK.name), 'utf8').split('\n## Dead letters\n');
    const told = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('|'));
    const reasons = told.flatMap((line) =>
      [...(line.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, code]) => code),
    );
    assert.deepEqual(reasons.sort(), [...REJECTION_CODES, ...FAILURE_CODES, UNDELIVERED].sort());
  });

  it('exit codes are those of the code', () => {
    const runbook = readFileSync(join(ROOT, RUNBOOK.name), 'utf8');
    const [, table = ''] = /\| exit of the bridge[^\n]*\n([\s\S]*?)\n\n/.exec(runbook) ?? [];
    const codes = [...table.matchAll(/^\| (\d) /gm)].map(([, code]) => Number(code));
    assert.deepEqual(codes, [...new Set(Object.values(BRIDGE_EXIT))].filter((code) => code !== 0).sort());
    const [smoke = ''] = /followed to its end: [^.]*\./.exec(readFileSync(join(ROOT, DEPLOY.name), 'utf8')) ?? [];
    const told = [...smoke.matchAll(/\d/g)].map(([code]) => Number(code));
    assert.deepEqual(
      told,
      Object.values(SMOKE_EXIT).filter((code) => code !== SMOKE_EXIT.unexpected),
    );
  });

  it("GitHub's variables that the workflows read are those that deploy.md lists", () => {
    const folder = join(ROOT, '.github/workflows');
    const workflows = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
    const read = new Set(workflows.flatMap((text) => [...text.matchAll(/\bvars\.([A-Z_]+)/g)].map(([, name]) => name)));
    const [, section = ''] = readFileSync(join(ROOT, DEPLOY.name), 'utf8').split('\n### The pipeline\n');
    const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'));
    const told = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name));
    assert.deepEqual(told.sort(), [...read].sort());
  });

  it('a value that is put by hand never stands in a command line', () => {
    const faultsOf = (page: Page): string[] =>
      unknown(page, /(--password=\S+|secrets create [^|]*--data-file=[^-\s]\S*)/g, () => false);
    assert.deepEqual(everywhere(faultsOf), []);
    assert.equal(faultsOf(twin('`gcloud sql users create x --password=y`')).length, 1);
  });
});
