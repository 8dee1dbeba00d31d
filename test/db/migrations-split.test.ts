import assert from 'node:assert/strict';
import fc from 'fast-check';
import { splitSql } from '../../src/migrate/split-sql.ts';

const sqlOf = (text: string): string[] => splitSql(text).map(({ sql }) => sql);

describe('splitSql', () => {
  const cases: readonly (readonly [what: string, text: string, statements: readonly string[]])[] = [
    ['nothing', ' \n -- only words; of comment\n ; ;', []],
    ['two, the last without a semicolon', 'select 1;\nselect 2', ['select 1', 'select 2']],
    ['a quoted semicolon', `select 'a;b'; select 2;`, [`select 'a;b'`, 'select 2']],
    ['a doubled quote', `select 'it''s; fine'; select 2`, [`select 'it''s; fine'`, 'select 2']],
    ['a backslash that escapes nothing', `select 'a\\'; select 2`, [`select 'a\\'`, 'select 2']],
    ['a backslash in E quotes', `select E'a\\';b'; select 2`, [`select E'a\\';b'`, 'select 2']],
    ['a word that ends in e before a quote', `select type'a\\'; select 2`, [`select type'a\\'`, 'select 2']],
    ['a quoted name', `select 1 as "a;""b"; select 2`, [`select 1 as "a;""b"`, 'select 2']],
    ['a line comment', 'select 1 -- a; b\n + 2; select 3', ['select 1 -- a; b\n + 2', 'select 3']],
    ['an apostrophe in a comment', `-- it's\nselect 1;`, ['select 1']],
    ['nested block comments', 'select /* a; /* b; */ c; */ 1; select 2', ['select /* a; /* b; */ c; */ 1', 'select 2']],
    ['dollar quotes', 'do $$ begin; end; $$; select 2', ['do $$ begin; end; $$', 'select 2']],
    ['tags', 'do $a$ $b$; $$; $a$; select 2', ['do $a$ $b$; $$; $a$', 'select 2']],
    ['parameters are no dollar quotes', 'select $1; select $2', ['select $1', 'select $2']],
    ['a dollar inside a name', 'select a$b$ ; select c$b$', ['select a$b$', 'select c$b$']],
  ];
  for (const [what, text, statements] of cases) {
    it(`splits: ${what}`, () => assert.deepEqual(sqlOf(text), statements));
  }

  it('tells the line of each first word', () => {
    assert.deepEqual(
      splitSql('-- one\n\nselect\n1;\n/* five */ select 2').map(({ line }) => line),
      [3, 5],
    );
  });

  it('strips comments and literals for those who look at a statement', () => {
    const [statement] = splitSql(`create /* not */ index -- concurrently\n concurrently x on t (a) where b = 'c;'`);
    assert.equal(statement?.bare.replace(/\s+/g, ' '), `create index concurrently x on t (a) where b = ''`);
  });

  for (const text of [`select 'a`, 'select "a', 'do $$ begin', 'select /* /* */ 1', '\\gexec']) {
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => splitSql(`select 1;\n${text}`), /^SqlSyntaxError: line 2: /));
  }

  it('gives back any statements that were joined', () => {
    const piece = fc.constantFrom(
      `'a;''b'`,
      '"a;b"',
      '$$;$$',
      '$t$;$$$t$',
      '-- ;\n',
      '/* ; */',
      `e'\\';'`,
      ' word ',
      '(1)',
    );
    const statement = fc.array(piece, { minLength: 1 }).map((pieces) => `select ${pieces.join(' ')} end`);
    fc.assert(
      fc.property(fc.array(statement), (statements) => {
        assert.deepEqual(sqlOf(statements.join(';\n')), statements);
      }),
    );
  });
});
