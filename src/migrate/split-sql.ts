/**
 * Cuts a .sql file into its statements. Needed because a string of several statements that is sent at once is one
 * transaction to PostgreSQL, and `create index concurrently` refuses to run in one.
 *
 * Knows both kinds of comment (block comments nest), both kinds of quote, E'…' with backslashes and dollar quoting.
 * Does not know `begin atomic` function bodies nor psql's own commands; the latter are refused.
 */
export interface Statement {
  /** As in the file, without the semicolon, from the first word on. */
  readonly sql: string;
  /** The same with comments as one space and each quoted literal as ''; for looking at what the statement does. */
  readonly bare: string;
  /** Line of the first word, from 1. */
  readonly line: number;
}

export class SqlSyntaxError extends Error {
  override readonly name = 'SqlSyntaxError';
}

const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;

export function splitSql(text: string): Statement[] {
  const statements: Statement[] = [];
  let at = 0;
  let start = -1;
  let bare = '';

  const lineOf = (index: number): number => text.slice(0, index).split('\n').length;
  const fail = (what: string, index: number): never => {
    throw new SqlSyntaxError(`line ${lineOf(index)}: ${what}`);
  };
  const finish = (end: number): void => {
    if (start >= 0) statements.push({ sql: text.slice(start, end).trimEnd(), bare: bare.trim(), line: lineOf(start) });
    start = -1;
    bare = '';
  };
  const take = (end: number, as: string): void => {
    if (start < 0) start = at;
    bare += as;
    at = end;
  };
  /** Index after the closing quote; a doubled quote stands for itself. */
  const quoteEnd = (from: number, quote: string, backslashes: boolean): number => {
    for (let index = from; index < text.length; index += 1) {
      if (backslashes && text[index] === '\\') index += 1;
      else if (text[index] === quote) {
        if (text[index + 1] !== quote) return index + 1;
        index += 1;
      }
    }
    return fail(`${quote} is never closed`, from - 1);
  };
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };

  while (at < text.length) {
    const char = text.charAt(at);
    const two = text.slice(at, at + 2);
    if (two === '--') {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else if (two === '/*') {
      at = blockCommentEnd(text, at) ?? fail('/* is never closed', at);
      if (start >= 0) bare += ' ';
    } else if (char === ';') {
      finish(at);
      at += 1;
    } else if (char === "'") {
      take(quoteEnd(at + 1, "'", false), "''");
    } else if (char === '"') {
      const end = quoteEnd(at + 1, '"', false);
      take(end, text.slice(at, end));
    } else if (char === '$') {
      const tag = match(DOLLAR_TAG);
      if (tag === undefined) take(at + 1, char);
      else {
        const close = text.indexOf(tag, at + tag.length);
        take(close < 0 ? fail(`${tag} is never closed`, at) : close + tag.length, "''");
      }
    } else if (char === '\\') {
      fail("commands of psql's own cannot be run here", at);
    } else if (/\s/.test(char)) {
      if (start < 0) at += 1;
      else take(at + 1, ' ');
    } else {
      // A whole word at once: the e of `value'…'` is no E'…', and the $ of `a$b$` opens no quote.
      const word = match(WORD) ?? char;
      if (/^e$/i.test(word) && text[at + 1] === "'") take(quoteEnd(at + 2, "'", true), "''");
      else take(at + word.length, word);
    }
  }
  finish(text.length);
  return statements;
}

function blockCommentEnd(text: string, from: number): number | undefined {
  let depth = 0;
  for (let index = from; index < text.length; index += 1) {
    const two = text.slice(index, index + 2);
    if (two === '/*') {
      depth += 1;
      index += 1;
    } else if (two === '*/') {
      depth -= 1;
      index += 1;
      if (depth === 0) return index + 1;
    }
  }
  return undefined;
}
