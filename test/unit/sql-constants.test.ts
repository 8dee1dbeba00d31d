/**
 * Every text that reaches PostgreSQL is made of constants: values travel beside it, in `values`. Judged on the syntax of
 * the sources; what this test cannot follow it refuses, and the few texts that are no literals are named here.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const ROOT = join(import.meta.dirname, '../..');
const FOLDERS = ['src/activities', 'src/migrate', 'src/dev', 'src/smoke', 'src/worker'];

/** Functions that hand a text on from one of ours to `query`; what fills it is looked at in its place. */
const CARRIERS: ReadonlySet<string> = new Set([
  // The text of a Statement: every `text` beside `values` is looked at, and every call of `plain`.
  'src/activities/db.ts run text',
  'src/activities/db.ts plain text',
  // Every call of runStatement is looked at.
  'src/migrate/statements.ts runStatement sql',
  // Two: the files of migrations/, whose checksums stand in the database's ledger, and #dropIndex, which
  // dropInvalidIndexes calls as `run`.
  'src/migrate/migrate.ts #runInTransaction sql',
  'src/migrate/migrate.ts #runOneByOne sql',
  'src/migrate/migrate.ts #dropIndex sql',
]);

/** Our functions whose argument becomes a text: the name, its place among the arguments, the file when it is one's own. */
const BY_ANOTHER_NAME: readonly { readonly call: string; readonly argument: number; readonly file?: string }[] = [
  { call: 'runStatement', argument: 2 },
  { call: 'run', argument: 0, file: 'src/migrate/objects.ts' },
  { call: 'plain', argument: 0, file: 'src/activities/db.ts' },
];

interface Looked {
  readonly faults: readonly string[];
  /** How many texts were judged. */
  readonly texts: number;
}

function look(path: string, source: string): Looked {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.ES2023, true);
  const constants = new Map<string, ts.Expression>();
  for (const statement of file.statements) {
    if (!ts.isVariableStatement(statement) || (statement.declarationList.flags & ts.NodeFlags.Const) === 0) continue;
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (ts.isIdentifier(name) && initializer !== undefined) constants.set(name.text, initializer);
    }
  }
  const faults: string[] = [];
  let texts = 0;
  const fault = (node: ts.Node, why: string): void => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart());
    faults.push(`${path}:${String(line + 1)}: ${why}: ${node.getText().slice(0, 60)}`);
  };

  /** A literal, a module's constant that is one, or pg's own quoting. */
  const isConstant = (node: ts.Expression, seen: readonly string[] = []): boolean => {
    if (ts.isStringLiteralLike(node) || ts.isNumericLiteral(node)) return true;
    if (ts.isTemplateExpression(node))
      return node.templateSpans.every(({ expression }) => isConstant(expression, seen));
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
      return isConstant(node.left, seen) && isConstant(node.right, seen);
    }
    if (ts.isCallExpression(node)) return /^pg\.escape(Identifier|Literal)$/.test(node.expression.getText());
    if (!ts.isIdentifier(node) || seen.includes(node.text) || isShadowed(node)) return false;
    const value = constants.get(node.text);
    return value !== undefined && isConstant(value, [...seen, node.text]);
  };
  const judge = (node: ts.Expression | undefined, place: ts.Node): void => {
    texts += 1;
    if (node === undefined) fault(place, 'no text that can be seen');
    else if (!isConstant(node)) fault(node, 'not made of constants');
  };
  const textOf = (argument: ts.Expression | undefined): ts.Expression | undefined => {
    if (argument === undefined || !ts.isObjectLiteralExpression(argument)) return argument;
    for (const property of argument.properties) {
      if (ts.isPropertyAssignment(property) && property.name.getText() === 'text') return property.initializer;
      if (ts.isShorthandPropertyAssignment(property) && property.name.text === 'text') return property.name;
    }
    return undefined;
  };
  const carries = (node: ts.Expression): boolean =>
    ts.isIdentifier(node) && CARRIERS.has(`${path} ${functionAround(node)} ${node.text}`);
  const judgeUnlessCarried = (node: ts.Expression | undefined, place: ts.Node): void => {
    if (node !== undefined && carries(node)) texts += 1;
    else judge(node, place);
  };

  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const name = nameOf(node.expression);
      if (name === 'query') judgeUnlessCarried(textOf(node.arguments[0]), node);
      for (const { call, argument, file: own = path } of BY_ANOTHER_NAME) {
        if (name === call && own === path) judgeUnlessCarried(node.arguments[argument], node);
      }
    }
    // Statement.text, wherever a statement is made.
    if (ts.isObjectLiteralExpression(node) && isStatement(node) && !isAskedAtOnce(node)) {
      judgeUnlessCarried(textOf(node), node);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return { faults, texts };
}

function nameOf(callee: ts.Expression): string {
  if (ts.isPropertyAccessExpression(callee)) return callee.name.text;
  if (ts.isElementAccessExpression(callee) && ts.isStringLiteralLike(callee.argumentExpression)) {
    return callee.argumentExpression.text;
  }
  return ts.isIdentifier(callee) ? callee.text : '';
}

function functionAround(node: ts.Node): string {
  for (let scope = node.parent; !ts.isSourceFile(scope); scope = scope.parent) {
    if ((ts.isFunctionDeclaration(scope) || ts.isMethodDeclaration(scope)) && scope.name) return scope.name.getText();
    if (ts.isArrowFunction(scope) && ts.isVariableDeclaration(scope.parent)) return scope.parent.name.getText();
  }
  return '';
}

/** A Statement has `text` beside `values`. */
function isStatement(node: ts.ObjectLiteralExpression): boolean {
  const names = node.properties.map((each) => each.name?.getText());
  return names.includes('text') && names.includes('values');
}

/** Given to `query` as it stands: judged there. */
function isAskedAtOnce(node: ts.ObjectLiteralExpression): boolean {
  return ts.isCallExpression(node.parent) && nameOf(node.parent.expression) === 'query';
}

/** A parameter or local of the same name hides the module's constant. */
function isShadowed(node: ts.Identifier): boolean {
  const bound = (name: ts.BindingName): boolean =>
    ts.isIdentifier(name)
      ? name.text === node.text
      : name.elements.some((element) => ts.isBindingElement(element) && bound(element.name));
  for (let scope: ts.Node = node.parent; !ts.isSourceFile(scope); scope = scope.parent) {
    if (ts.isFunctionLike(scope) && scope.parameters.some(({ name }) => bound(name))) return true;
    if (ts.isForOfStatement(scope) || ts.isForStatement(scope) || ts.isForInStatement(scope)) {
      const { initializer } = scope;
      if (initializer !== undefined && ts.isVariableDeclarationList(initializer)) {
        if (initializer.declarations.some(({ name }) => bound(name))) return true;
      }
    }
    if (!ts.isBlock(scope)) continue;
    for (const statement of scope.statements) {
      if (!ts.isVariableStatement(statement)) continue;
      if (statement.declarationList.declarations.some(({ name }) => bound(name))) return true;
    }
  }
  return false;
}

describe('SQL', () => {
  const sources = FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name}`),
  ).map((path) => [path, readFileSync(join(ROOT, path), 'utf8')] as const);

  it('every text that reaches PostgreSQL is made of constants', () => {
    const looked = sources.map(([path, text]) => look(path, text));
    assert.deepEqual(
      looked.flatMap(({ faults }) => faults),
      [],
    );
    const texts = looked.reduce((sum, each) => sum + each.texts, 0);
    assert.ok(texts >= 40, `only ${String(texts)} texts were found: the search has lost its way`);
  });

  it('every file that speaks to pg is in these folders', () => {
    const all = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `src/${name}`);
    const speaking = all.filter((path) => /\bquery\s*[(<]/.test(readFileSync(join(ROOT, path), 'utf8')));
    assert.ok(speaking.length >= 6, String(speaking));
    assert.deepEqual(
      speaking.filter((path) => !FOLDERS.some((folder) => path.startsWith(`${folder}/`))),
      [],
    );
  });

  const twins: Readonly<Record<string, string>> = {
    'a value in a template': 'const q = (id: string) => client.query(`select 1 where id = ${id}`);',
    'a value that is added': "const q = (id: string) => client.query('select 1 where id = ' + id);",
    'a text of its own': 'const q = (text: string) => client.query(text);',
    'a text in an object': 'const q = (id: string) => client.query({ text: `select ${id}`, values: [] });',
    'a statement': 'const s = (id: string) => ({ name: "n", index: null, values: [], text: `select ${id}` });',
    'a statement by its short name': 'const s = (text: string) => ({ name: "n", index: null, values: [], text });',
    'a name that hides a constant': 'const T = "t"; const q = (T: string) => client.query(`select from ${T}`);',
    'a local that hides a constant': 'const T = "t"; const q = () => { const T = f(); client.query(`select ${T}`); };',
    'a constant that is none': 'const T = process.argv[2]; client.query(`select from ${T}`);',
    'a variable of the module': "let T = 't'; client.query(`select from ${T}`);",
    'quoting by something else': 'const q = (id: string) => client.query(`select ${quote(id)}`);',
    'a property that is called': "const q = (id: string) => client['query'](`select ${id}`);",
    'an optional call': 'const q = (id: string) => client?.query(`select ${id}`);',
    'a spread': 'const q = (args: [string]) => client.query(...args);',
    'a choice': "const q = (id: string) => client.query(id === '' ? 'select 1' : id);",
    'a carrier of another function': 'const q = (sql: string) => client.query(sql);',
    'a text by another name': 'const q = (id: string) => runStatement(client, "w", `drop ${id}`, "");',
  };
  for (const [what, source] of Object.entries(twins)) {
    it(`the twin: ${what} is refused`, () => assert.equal(look('src/migrate/x.ts', source).faults.length, 1, what));
  }
  it('the twin: a drop by its other name', () => {
    const { faults } = look('src/migrate/objects.ts', 'const d = (i: string) => run(`drop index ${i}`);');
    assert.equal(faults.length, 1);
  });

  it('the twin: a value that gets into the real statements is refused', () => {
    const path = 'src/activities/sql.ts';
    const text = readFileSync(join(ROOT, path), 'utf8');
    const changed = text.replace('where id = $1', () => 'where id = ${rowId}');
    assert.notEqual(changed, text, 'the place is still there');
    assert.equal(look(path, changed).faults.length, 1);
  });

  it('the other twin: constants, constants of constants, and quoted names pass', () => {
    const sound = [
      "const A = 'a'; const B = `${A} b`; client.query(`select ${B} from ${pg.escapeIdentifier(t)} where x = $1`, [x]);",
      'const MS = 3_000; client.query(`set lock_timeout = ${MS}`);',
      "const s = (id: string) => ({ name: 'n', index: null, text: `select $1`, values: [id] });",
      "client.query<{ n: number }>('select 1 ' + 'as n');",
    ];
    for (const source of sound) assert.deepEqual(look('src/migrate/x.ts', source), { faults: [], texts: 1 });
  });
});
