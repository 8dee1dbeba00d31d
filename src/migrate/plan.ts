/** The migrations: which there are, in which order, and what their files say. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { splitSql, type Statement } from './split-sql.ts';

/** Oldest first. The plan gave the files their names, so the order cannot be read off them. */
export const MIGRATIONS = ['create_content_requests', 'add_compound_indexes_content_requests'] as const;

/** At the package's root, two levels above src/migrate and dist/migrate alike. */
export const MIGRATIONS_DIRECTORY = fileURLToPath(new URL('../../migrations/', import.meta.url));

export interface Script {
  readonly file: string;
  readonly statements: readonly Statement[];
  /** False when a statement must be committed by itself; the script is then safe to repeat as a whole. */
  readonly transactional: boolean;
}

export interface Migration {
  readonly name: string;
  readonly up: Script;
  readonly down: Script;
  /** SHA-256 of the up file, lower-case hex. */
  readonly checksum: string;
  /** Tables that the up file makes, by `create table if not exists`. */
  readonly tables: readonly string[];
  /** Indexes that the up file builds concurrently. */
  readonly indexes: readonly string[];
}

export async function loadMigrations(
  directory: string = MIGRATIONS_DIRECTORY,
  names: readonly string[] = MIGRATIONS,
): Promise<Migration[]> {
  return Promise.all(names.map((name) => loadMigration(directory, name)));
}

async function loadMigration(directory: string, name: string): Promise<Migration> {
  const [upText, downText] = await Promise.all([
    readFile(path.join(directory, `${name}.sql`), 'utf8'),
    readFile(path.join(directory, `${name}.rollback.sql`), 'utf8'),
  ]);
  const up = script(`${name}.sql`, upText);
  return {
    name,
    up,
    down: script(`${name}.rollback.sql`, downText),
    // Line ends do not count: git may check the files out with either.
    checksum: createHash('sha256').update(upText.replaceAll('\r\n', '\n')).digest('hex'),
    tables: namesIn(up, /^create table if not exists (\w+)/i),
    indexes: namesIn(up, /^create (?:unique )?index concurrently if not exists (\w+)/i),
  };
}

function script(file: string, text: string): Script {
  const statements = splitSql(text);
  return { file, statements, transactional: !statements.some(needsItsOwnCommit) };
}

/** `alter type … add value` may run in a transaction, but the value cannot be used before its commit. */
function needsItsOwnCommit({ sql, bare }: Statement): boolean {
  return isConcurrent(bare) || /\badd value\b/i.test(sql);
}

export function isConcurrent(bare: string): boolean {
  return /^(create|drop|reindex)\b.*\bconcurrently\b/is.test(bare);
}

function namesIn({ statements }: Script, pattern: RegExp): string[] {
  return statements.flatMap(({ bare }) => pattern.exec(bare.replace(/\s+/g, ' '))?.[1] ?? []);
}
