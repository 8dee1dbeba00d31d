/** Whether what a migration makes is really there: the ledger says what was run, the catalog what came of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Migration } from './plan.ts';

const POLL_MS = 200;
const TELL_EVERY_MS = 10_000;

/** Names of the migration's tables and concurrent indexes that are missing, and of indexes that are INVALID. */
export async function findDamage(client: pg.Client, { tables, indexes }: Migration): Promise<string[]> {
  const { rows } = await client.query<{ damage: string }>(
    `select 'table ' || name || ' is missing' as damage
       from unnest($1::text[]) as name
      where to_regclass(name) is null
     union all
     select 'index ' || name || case when to_regclass(name) is null then ' is missing' else ' is invalid' end
       from unnest($2::text[]) as name
      where not exists (select from pg_index where indexrelid = to_regclass(name) and indisvalid)`,
    [tables, indexes],
  );
  return rows.map(({ damage }) => damage);
}

export interface FilledTable {
  readonly table: string;
  readonly rows: number;
}

/** The migration's tables that hold rows, and how many: what a rollback would lose. */
export async function findFilledTables(client: pg.Client, { tables }: Migration): Promise<FilledTable[]> {
  const filled: FilledTable[] = [];
  for (const table of tables) {
    const { rows: found } = await client.query<{ exists: boolean }>('select to_regclass($1) is not null as exists', [
      table,
    ]);
    if (found[0]?.exists !== true) continue;
    const { rows } = await client.query<{ count: string }>(`select count(*) from ${pg.escapeIdentifier(table)}`);
    const count = Number(rows[0]?.count);
    if (count > 0) filled.push({ table, rows: count });
  }
  return filled;
}

/**
 * Drops the INVALID indexes that broken builds left behind: `create index … if not exists` would skip them.
 * A build that is under way in another session (a run whose process was killed, somebody's psql) is invalid too; it is
 * waited for, because `drop index` would queue behind it and then drop the finished index.
 */
export async function dropInvalidIndexes(
  client: pg.Client,
  { indexes }: Migration,
  run: (sql: string) => Promise<void>,
  log: (line: string) => void,
): Promise<void> {
  for (const index of indexes) {
    let toldAt = -Infinity;
    for (;;) {
      const { rows } = await client.query<{ builder: number | null }>(
        `select (select pid from pg_stat_progress_create_index
                  where index_relid = indexrelid and datname = current_database()) as builder
           from pg_index
          where indexrelid = to_regclass($1) and not indisvalid`,
        [index],
      );
      const invalid = rows[0];
      if (invalid === undefined) break;
      if (invalid.builder === null) {
        log(`dropping the invalid index ${index}, left by a build that broke off`);
        await run(`drop index concurrently if exists ${pg.escapeIdentifier(index)}`);
        break;
      }
      if (Date.now() - toldAt >= TELL_EVERY_MS) {
        toldAt = Date.now();
        log(`waiting: server process ${invalid.builder} is building ${index}`);
      }
      await sleep(POLL_MS);
    }
  }
}
