/** schema_migrations: which migrations this database has had, and what their files said then. */
import type pg from 'pg';
import { MigrationError } from './failure.ts';
import type { Migration } from './plan.ts';

export interface LedgerEntry {
  readonly name: string;
  readonly checksum: string;
  readonly appliedAt: Date;
}

const COLUMNS = ['applied_at', 'checksum', 'name'];

export async function createLedger(client: pg.Client): Promise<void> {
  await client.query(
    `create table if not exists schema_migrations (
       name text primary key,
       checksum text not null check (checksum ~ '^[0-9a-f]{64}$'),
       applied_at timestamptz not null default current_timestamp
     )`,
  );
}

/** Empty when the database has no ledger: it is new, or its files were applied with psql. */
export async function readLedger(client: pg.Client): Promise<Map<string, LedgerEntry>> {
  const { rows: columns } = await client.query<{ name: string }>(
    `select attname::text as name
       from pg_attribute
      where attrelid = to_regclass('schema_migrations') and attnum > 0 and not attisdropped
      order by attname`,
  );
  if (columns.length === 0) return new Map();
  const missing = COLUMNS.filter((column) => !columns.some(({ name }) => name === column));
  if (missing.length > 0) {
    throw new MigrationError(
      'foreign-ledger',
      `the table schema_migrations belongs to another program (it has no ${missing.join(', ')}): ` +
        'use a database or a schema (search_path) of its own',
    );
  }
  const { rows } = await client.query<LedgerEntry>(
    'select name, checksum, applied_at as "appliedAt" from schema_migrations order by applied_at, name',
  );
  return new Map(rows.map((row) => [row.name, row]));
}

export async function recordApplied(client: pg.Client, { name, checksum }: Migration): Promise<void> {
  await client.query(
    `insert into schema_migrations (name, checksum)
     values ($1, $2)
     on conflict (name) do nothing`,
    [name, checksum],
  );
}

export async function recordRolledBack(client: pg.Client, { name }: Migration): Promise<void> {
  await client.query('delete from schema_migrations where name = $1', [name]);
}

/** An applied file is history: what the database got can no longer be read from an edited one. */
/** What came after the newest that is known here may need it: whoever rolls back must know everything that is applied. */
export function refuseUnknown(migrations: readonly Migration[], ledger: ReadonlyMap<string, LedgerEntry>): void {
  const known = new Set(migrations.map(({ name }) => name));
  const unknown = [...ledger.keys()].filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  throw new MigrationError(
    'unknown',
    `${unknown.join(', ')} was applied by a newer version: nothing was changed. Roll it back with that version first`,
  );
}

export function refuseEdited(migrations: readonly Migration[], ledger: ReadonlyMap<string, LedgerEntry>): void {
  const edited = migrations.filter(({ name, checksum }) => (ledger.get(name)?.checksum ?? checksum) !== checksum);
  if (edited.length === 0) return;
  throw new MigrationError(
    'edited',
    edited
      .map(
        ({ name, up }) => `${up.file} was changed after it was applied on ${ledger.get(name)?.appliedAt.toISOString()}`,
      )
      .join('; ') + ': restore the file and put the change into a new migration',
  );
}
