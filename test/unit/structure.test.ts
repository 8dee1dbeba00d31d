/** The tree's import rules, on the real import graph; each rule's twin shows that it can fail. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import ts from 'typescript';
import { NAMES } from '../../src/contract/names.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Path from the project's root, with slashes -> text. */
type Sources = ReadonlyMap<string, string>;

interface Import {
  readonly from: string;
  /** A path of ours (src/...), or a package. */
  readonly to: string;
  readonly typeOnly: boolean;
}

function read(folder: string): Sources {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  const paths = names.filter((name) => name.endsWith('.ts')).map((name) => join(ROOT, folder, name));
  return new Map(paths.map((path) => [relative(ROOT, path).split(sep).join('/'), readFileSync(path, 'utf8')]));
}

function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
}

function importsOf(path: string, text: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const to = specifier.text.startsWith('.') ? posix.join(posix.dirname(path), specifier.text) : specifier.text;
    found.push({ from: path, to, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node.importClause));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(parse(path, text));
  return found;
}

/** `import type`, or names that are all marked `type`. An import for its effect is a value. */
function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const { name, namedBindings } = clause;
  if (name !== undefined || namedBindings === undefined || !ts.isNamedImports(namedBindings)) return false;
  return namedBindings.elements.length > 0 && namedBindings.elements.every((element) => element.isTypeOnly);
}

interface Rule {
  /** Folders and root files, besides its own folder, that it may import. */
  readonly values: readonly string[];
  /** What it may import types of, besides. */
  readonly types?: readonly string[];
  readonly packages?: RegExp;
  readonly notPackages?: RegExp;
}

const ROOT_FILES = [
  'config.ts',
  'config-generator.ts',
  'config-reader.ts',
  'fault-points.ts',
  'log.ts',
  'health.ts',
  'postgres-connection.ts',
  'settings.ts',
  'version.ts',
  'workflow-bundle.ts',
];

// Keep in step with docs and shared/style.md, section 4. The bridge never speaks PostgreSQL, the worker never Pub/Sub.
const RULES: Readonly<Record<string, Rule>> = {
  contract: { values: [], packages: /^(zod|uuid|node:crypto|@noble\/hashes\/.*)$/ },
  workflows: { values: ['contract'], packages: /^@temporalio\/(workflow|common)$/ },
  generators: {
    values: ['contract'],
    types: ['log.ts', 'config.ts'],
    notPackages: /^(pg|@google-cloud\/pubsub|@temporalio\/.*)$/,
  },
  activities: {
    values: ['contract', 'generators', 'fault-points.ts', 'postgres-connection.ts'],
    types: ['log.ts', 'config.ts'],
    notPackages: /^@google-cloud\/pubsub/,
  },
  bridge: { values: ['contract', 'fault-points.ts', 'log.ts'], types: ['config.ts', 'health.ts'], notPackages: /^pg$/ },
  worker: {
    values: ['contract', 'activities', 'generators', ...ROOT_FILES],
    types: ['workflows'],
    notPackages: /^@google-cloud\/pubsub/,
  },
  migrate: {
    values: ['contract', 'config.ts', 'log.ts', 'postgres-connection.ts'],
    notPackages: /^(@google-cloud\/pubsub|@temporalio\/.*)/,
  },
  // What a pipeline runs: it speaks to Temporal, and to nothing that a process of the deployment owns.
  rollout: {
    values: ['contract', 'bridge', 'arguments.ts', 'config.ts'],
    notPackages: /^(pg|@google-cloud\/.*|@temporalio\/worker)$/,
  },
  smoke: {
    values: ['contract', 'bridge', 'arguments.ts', 'config.ts', 'postgres-connection.ts'],
    notPackages: /^@temporalio\/worker$/,
  },
  // An operator's, on Pub/Sub alone: neither rows nor runs are needed to send a letter again.
  letters: {
    values: ['contract', 'bridge', 'arguments.ts', 'config.ts', 'log.ts'],
    notPackages: /^(pg|@temporalio\/.*)$/,
  },
  ops: {
    values: ['contract', 'activities', 'bridge', 'generators', 'migrate', 'worker', ...ROOT_FILES],
    types: ['workflows'],
  },
  dev: {
    values: [
      'contract',
      'activities',
      'bridge',
      'generators',
      'letters',
      'migrate',
      'ops',
      'worker',
      'workflows',
      ...ROOT_FILES,
    ],
  },
  '': { values: ['contract', ...ROOT_FILES], types: ['workflows'] },
};

const isMain = (path: string): boolean => path.endsWith('/main.ts');

/** A main, or the process that it runs: where the parts are put together. */
const composes = (path: string): boolean => isMain(path) || path.endsWith('/process.ts');

/** src/bridge/pull.ts -> bridge; src/log.ts -> ''. */
function folderOf(path: string): string {
  const [, first = '', ...rest] = path.split('/');
  return rest.length === 0 ? '' : first;
}

function faultsOf(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    const rule = RULES[folderOf(path)];
    if (rule === undefined) return [`${path}: no rule for its folder`];
    return importsOf(path, text).flatMap((each) => {
      const fault = faultOf(each, rule);
      return fault === null ? [] : [`${path} imports ${each.to}: ${fault}`];
    });
  });
}

function faultOf({ from, to, typeOnly }: Import, rule: Rule): string | null {
  if (!to.startsWith('src/')) {
    if (to.startsWith('.') || to.endsWith('.ts')) return 'outside of src';
    if (typeOnly) return null;
    if (rule.packages !== undefined && !rule.packages.test(to)) return 'not among its packages';
    return rule.notPackages?.test(to) === true ? 'a package that is kept out of it' : null;
  }
  if (isMain(to)) return 'a main is run, never imported';
  const folder = folderOf(to);
  if (folder === folderOf(from) && folder !== '') return null;
  if (folder === 'dev') return 'nothing that is deployed may need the embedded stack';
  if (composes(from)) return null;
  const target = folder === '' ? to.slice('src/'.length) : folder;
  if (rule.values.includes(target)) return null;
  if (rule.types?.includes(target) !== true) return 'against the rules of its folder';
  return typeOnly ? null : 'types only';
}

/** All files and packages that run when `starts` run. */
function reach(sources: Sources, starts: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const queue = [...starts];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const text = sources.get(path);
    if (text === undefined) continue;
    for (const { to, typeOnly } of importsOf(path, text)) if (!typeOnly) queue.push(to);
  }
  return seen;
}

const within = (sources: Sources, folder: string): string[] =>
  [...sources.keys()].filter((path) => path.startsWith(`src/${folder}/`));

/** Names that only names.ts may spell. The table's is part of every statement, and `default` is a word. */
const SPELLED_ONCE = Object.entries(NAMES)
  .filter(([key]) => key !== 'table' && key !== 'namespace')
  .map(([, value]): string => value);

function spelled(path: string, text: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (
      ts.isStringLiteralLike(node) ||
      ts.isTemplateHead(node) ||
      ts.isTemplateMiddle(node) ||
      ts.isTemplateTail(node)
    ) {
      for (const name of SPELLED_ONCE) {
        if (new RegExp(`(?<![\\w-])${name}(?![\\w-])`).test(node.text)) found.push(`${path} spells ${name}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(parse(path, text));
  return found;
}

const armed = (sources: Sources): string[] =>
  [...sources].flatMap(([path, text]) =>
    path !== 'src/fault-points.ts' && text.includes('armFaultPoints') ? [path] : [],
  );

const homeless = (paths: Iterable<string>): string[] =>
  [...paths].filter((path) => /(^|\/)(utils?|helpers?|common|misc|shared)(\/|\.ts$)/.test(path));

describe('structure', () => {
  const sources = read('src');

  it('imports follow the rules of the tree', () => assert.deepEqual(faultsOf(sources), []));

  const broken: Record<string, string> = {
    'src/contract/x.ts': "import { NAMES } from '../config.ts';",
    'src/contract/y.ts': "import pg from 'pg';",
    'src/workflows/x.ts': "import type { createActivities } from '../activities/index.ts';",
    'src/workflows/y.ts': "import { z } from 'zod';",
    'src/workflows/z.ts': "import { readFileSync } from 'node:fs';",
    'src/activities/x.ts': "export { pull } from '../bridge/pull.ts';",
    'src/activities/y.ts': "import { ConfigError } from '../config.ts';",
    'src/bridge/x.ts': "import type { Database } from '../activities/db.ts';",
    'src/bridge/y.ts': "const { Pool } = await import('pg');",
    'src/bridge/z.ts': "import { createGenerator } from '../generators/index.ts';",
    'src/worker/x.ts': "import { PubSub } from '@google-cloud/pubsub';",
    'src/worker/main.ts': "import '../dev/stack.ts';",
    'src/migrate/x.ts': "import { createDatabase } from '../activities/db.ts';",
    'src/dev/x.ts': "import '../worker/main.ts';",
    'src/rollout/x.ts': "import { Pool } from 'pg';",
    'src/rollout/y.ts': "import { startWorker } from '../worker/run.ts';",
    'src/rollout/z.ts': "import { PubSub } from '@google-cloud/pubsub';",
    'src/smoke/x.ts': "import { openDatabase } from '../activities/db.ts';",
    'src/letters/x.ts': "import { Client } from '@temporalio/client';",
    'src/letters/y.ts': "import { rowIdOf } from '../smoke/watch.ts';",
    'src/smoke/y.ts': "import { Worker } from '@temporalio/worker';",
    'src/smoke/z.ts': "import { drained } from '../rollout/verbs.ts';",
    'src/generators/x.ts': "let r: import('../activities/db.ts').Database;",
    'src/log.ts': "import '../test/support/x.ts';",
    'src/unknown/x.ts': '',
  };
  for (const [path, text] of Object.entries(broken)) {
    it(`the twin: ${path} with ${text || 'no rule'}`, () => assert.equal(faultsOf(new Map([[path, text]])).length, 1));
  }

  it('the other twin: what is allowed passes', () => {
    const sound = new Map([
      [
        'src/activities/x.ts',
        "import { type Logger } from '../log.ts'; import type { Pool } from 'pg'; import './y.ts';",
      ],
      ['src/bridge/main.ts', "import { createLogger } from '../log.ts'; import '../worker/temporal-logger.ts';"],
      ['src/workflows/x.ts', "import { NAMES } from '../contract/names.ts'; import type { z } from 'zod';"],
      ['src/dev/x.ts', "import '../activities/db.ts'; import pg from 'pg';"],
      ['src/rollout/x.ts', "import { codeOf } from '../bridge/grpc.ts'; import { Client } from '@temporalio/client';"],
      ['src/smoke/x.ts', "import pg from 'pg'; import { PubSub } from '@google-cloud/pubsub';"],
    ]);
    assert.deepEqual(faultsOf(sound), []);
  });

  it('what a workflow runs, through every import, is fit for the sandbox', () => {
    const packages = [...reach(sources, within(sources, 'workflows'))].filter((to) => !to.startsWith('src/'));
    assert.deepEqual(
      packages.filter((name) => !/^(@temporalio\/(workflow|common)|@noble\/hashes\/.*)$/.test(name)),
      [],
    );
  });

  it('no bridge loads PostgreSQL and no worker loads Pub/Sub, through any import', () => {
    const bridge = reach(sources, within(sources, 'bridge'));
    assert.deepEqual(
      [...bridge].filter((to) => /^pg$|^src\/activities\//.test(to)),
      [],
    );
    const worker = reach(sources, [...within(sources, 'worker'), ...within(sources, 'activities')]);
    assert.deepEqual(
      [...worker].filter((to) => /^@google-cloud\/|^src\/bridge\//.test(to)),
      [],
    );
  });

  it('what a pipeline runs loads no process of the deployment, through any import', () => {
    const rollout = [...reach(sources, within(sources, 'rollout'))];
    assert.deepEqual(
      rollout.filter((to) => /^(pg|@google-cloud\/.*|@temporalio\/worker)$|^src\/(activities|worker)\//.test(to)),
      [],
    );
    const smoke = [...reach(sources, within(sources, 'smoke'))];
    assert.deepEqual(
      smoke.filter((to) => /^@temporalio\/worker$|^src\/(activities|worker)\//.test(to)),
      [],
    );
    assert.ok(rollout.includes('@temporalio/client') && smoke.includes('pg'), 'the twin: what they load is seen');
  });

  it('the twin: reach finds what is two imports away', () => {
    const chain = new Map([
      ['src/workflows/x.ts', "import { parse } from '../contract/y.ts';"],
      ['src/contract/y.ts', "import { z } from 'zod'; import type { Pool } from 'pg';"],
    ]);
    const reached = reach(chain, ['src/workflows/x.ts']);
    assert.ok(reached.has('zod'));
    assert.ok(!reached.has('pg'));
  });

  it('every file that is imported is there', () => {
    const missing = [...sources].flatMap(([path, text]) =>
      importsOf(path, text).filter(({ to }) => to.startsWith('src/') && !sources.has(to)),
    );
    assert.deepEqual(missing, []);
  });

  it('no file spells a name that contract/names.ts holds', () => {
    const others = [...sources].filter(([path]) => path !== 'src/contract/names.ts');
    assert.deepEqual(
      others.flatMap(([path, text]) => spelled(path, text)),
      [],
    );
  });

  it('the twin: a spelled name is found, in templates too, and a longer word is none', () => {
    assert.equal(spelled('x.ts', `const a = '${NAMES.topic}';`).length, 1);
    assert.equal(spelled('x.ts', `const a = \`projects/\${p}/topics/${NAMES.deadLetterTopic}\`;`).length, 1);
    assert.deepEqual(spelled('x.ts', `const a = '${NAMES.topic}-other'; // ${NAMES.job}`), []);
  });

  it('fault points are armed by src/dev only: nothing that is deployed can be told to fail', () => {
    assert.deepEqual(armed(sources), ['src/dev/faults.ts']);
  });

  it('the twin: arming is found wherever it is', () => {
    const text = "import { armFaultPoints } from '../fault-points.ts'; armFaultPoints(hook);";
    assert.deepEqual(armed(new Map([['src/bridge/x.ts', text]])), ['src/bridge/x.ts']);
  });

  it('no folder or file is called by what it is not', () => {
    assert.deepEqual(homeless([...sources.keys(), ...read('test').keys()]), []);
    assert.deepEqual(homeless(['src/utils/x.ts', 'src/bridge/helpers.ts', 'src/bridge/pull.ts']).length, 2);
  });
});
