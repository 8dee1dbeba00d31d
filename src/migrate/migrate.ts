/**
 * Brings a database to the state that migrations/ describes, or back. Safe to run twice, by two processes at once,
 * after a kill at any point, and on a database whose files were applied with psql.
 */
import pg from 'pg';
import { connectionOf } from '../postgres-connection.ts';
import { MigrationError } from './failure.ts';
import { grantToWorker } from './grants.ts';
import {
  createLedger,
  type LedgerEntry,
  readLedger,
  recordApplied,
  recordRolledBack,
  refuseEdited,
  refuseUnknown,
} from './ledger.ts';
import { type MigrationLock, takeMigrationLock } from './lock.ts';
import { dropInvalidIndexes, findDamage, findFilledTables } from './objects.ts';
import { loadMigrations, type Migration, type Script } from './plan.ts';
import { prepareSession, runStatement, withPatience } from './statements.ts';

export interface MigrateOptions {
  /** up: apply what is missing. down: roll back what is applied, newest first. */
  readonly direction?: 'up' | 'down';
  /** down: drop tables that hold rows. */
  readonly force?: boolean;
  /** Look and report; change nothing, not even the ledger. */
  readonly dryRun?: boolean;
  /** down: how many to roll back; all unless given. */
  readonly count?: number;
  /** up: the worker's database user, where it is another one than ours. */
  readonly grantTo?: string;
  readonly log: (line: string) => void;
  /** Called between any two steps that a kill could separate; tests kill the process there. */
  readonly fault?: (point: string) => void | Promise<void>;
  /** Those of migrations/ unless given. */
  readonly migrations?: readonly Migration[];
  /** For each of the two sessions; 10 s unless given. */
  readonly connectTimeoutMs?: number;
}

/** Names of migrations. In a dry run: what would be done. */
export interface MigrationReport {
  readonly applied: readonly string[];
  /** Recorded as applied, but something they make was missing or invalid: run again. */
  readonly repaired: readonly string[];
  readonly rolledBack: readonly string[];
  readonly unchanged: readonly string[];
  /** What the database said that a person should read, such as differences of an adopted table. */
  readonly notices: readonly string[];
}

export interface MigrationStatus {
  readonly name: string;
  readonly state: 'applied' | 'damaged' | 'edited' | 'pending';
  readonly appliedAt: Date | null;
  readonly damage: readonly string[];
}

const CONNECT_TIMEOUT_MS = 10_000;

/** "… already exists, skipping": said by every `if not exists` on a second run. */
const EXPECTED_NOTICES = new Set(['42P06', '42P07', '42701', '42710']);

export async function migrate(databaseUrl: string, options: MigrateOptions): Promise<MigrationReport> {
  const migrations = options.migrations ?? (await loadMigrations());
  const { connectTimeoutMs } = options;
  return withClient(databaseUrl, connectTimeoutMs, async (work) =>
    withClient(databaseUrl, connectTimeoutMs, async (lockClient) => {
      const run = new Run(work, await takeMigrationLock(lockClient, options.log), options);
      await prepareSession(work);
      await run.fault('locked');
      return options.direction === 'down' ? run.down(migrations) : run.up(migrations);
    }),
  );
}

export async function migrationStatus(
  databaseUrl: string,
  { migrations, connectTimeoutMs }: Pick<MigrateOptions, 'migrations' | 'connectTimeoutMs'> = {},
): Promise<MigrationStatus[]> {
  const known = migrations ?? (await loadMigrations());
  return withClient(databaseUrl, connectTimeoutMs, async (client) => {
    const ledger = await readLedger(client);
    const statuses: MigrationStatus[] = [];
    for (const migration of known) {
      const entry = ledger.get(migration.name);
      const damage = await findDamage(client, migration);
      statuses.push({
        name: migration.name,
        state: stateOf(migration, entry, damage),
        appliedAt: entry?.appliedAt ?? null,
        damage,
      });
    }
    return statuses;
  });
}

function stateOf(
  { checksum }: Migration,
  entry: LedgerEntry | undefined,
  damage: readonly string[],
): MigrationStatus['state'] {
  if (entry === undefined) return 'pending';
  if (entry.checksum !== checksum) return 'edited';
  return damage.length > 0 ? 'damaged' : 'applied';
}

class Run {
  readonly #client: pg.Client;
  readonly #lock: MigrationLock;
  readonly #options: MigrateOptions;
  readonly #log: (line: string) => void;
  readonly #notices: string[] = [];

  constructor(client: pg.Client, lock: MigrationLock, options: MigrateOptions) {
    this.#client = client;
    this.#lock = lock;
    this.#options = options;
    this.#log = options.log;
    client.on('notice', (notice) => this.#hear(notice));
  }

  async up(migrations: readonly Migration[]): Promise<MigrationReport> {
    const ledger = await readLedger(this.#client);
    refuseEdited(migrations, ledger);
    const applied: string[] = [];
    const repaired: string[] = [];
    const unchanged: string[] = [];
    for (const migration of migrations) {
      const known = ledger.has(migration.name);
      const damage = known ? await findDamage(this.#client, migration) : [];
      if (known && damage.length === 0) {
        unchanged.push(migration.name);
        continue;
      }
      this.#log(`${this.#verb(known ? 'repair' : 'apply')} ${migration.name}${known ? `: ${damage.join(', ')}` : ''}`);
      if (this.#options.dryRun !== true) await this.#apply(migration);
      (known ? repaired : applied).push(migration.name);
    }
    const { grantTo } = this.#options;
    if (grantTo !== undefined) {
      this.#log(`${this.#verb('grant')} what the worker needs to ${grantTo}`);
      if (this.#options.dryRun !== true) await grantToWorker(this.#client, grantTo);
    }
    return { applied, repaired, rolledBack: [], unchanged, notices: this.#notices };
  }

  async down(migrations: readonly Migration[]): Promise<MigrationReport> {
    const ledger = await readLedger(this.#client);
    refuseUnknown(migrations, ledger);
    const newestFirst = migrations.filter(({ name }) => ledger.has(name)).reverse();
    const chosen = newestFirst.slice(0, this.#options.count ?? newestFirst.length);
    // All looked at before the first is touched: a refused rollback leaves everything as it was.
    await this.#tellLoss(chosen);
    for (const migration of chosen) {
      this.#log(`${this.#verb('roll back')} ${migration.name}`);
      if (this.#options.dryRun !== true) await this.#rollBack(migration);
    }
    const rolledBack = chosen.map(({ name }) => name);
    const unchanged = migrations.map(({ name }) => name).filter((name) => !rolledBack.includes(name));
    return { applied: [], repaired: [], rolledBack, unchanged, notices: this.#notices };
  }

  async fault(point: string): Promise<void> {
    this.#lock.check();
    await this.#options.fault?.(point);
  }

  async #apply(migration: Migration): Promise<void> {
    await createLedger(this.#client);
    await this.#runScript(migration, migration.up, () => recordApplied(this.#client, migration));
    const damage = await findDamage(this.#client, migration);
    if (damage.length > 0) throw new MigrationError('statement', `${migration.up.file} ran, but ${damage.join(', ')}`);
  }

  async #rollBack(migration: Migration): Promise<void> {
    // The rollback file asks for this setting itself, so that psql is refused as well.
    await this.#client.query("select set_config('content_processor.drop_rows', $1, false)", [
      this.#options.force === true ? 'on' : 'off',
    ]);
    await this.#runScript(migration, migration.down, () => recordRolledBack(this.#client, migration));
  }

  async #runScript(migration: Migration, script: Script, record: () => Promise<void>): Promise<void> {
    if (script.transactional) await this.#runInTransaction(script, record);
    else await this.#runOneByOne(migration, script, record);
  }

  async #runInTransaction(script: Script, record: () => Promise<void>): Promise<void> {
    await withPatience(this.#log, async () => {
      await this.#client.query('begin');
      try {
        for (const [index, { sql, bare, line }] of script.statements.entries()) {
          await runStatement(this.#client, `${script.file}:${line}`, sql, bare);
          await this.fault(`${script.file}#${index + 1}`);
        }
        await record();
        await this.fault(`${script.file}#before-commit`);
        await this.#client.query('commit');
      } catch (error) {
        await this.#client.query('rollback').catch(() => undefined);
        throw error;
      }
    });
    await this.fault(`${script.file}#done`);
  }

  async #runOneByOne(migration: Migration, script: Script, record: () => Promise<void>): Promise<void> {
    for (const [index, { sql, bare, line }] of script.statements.entries()) {
      await withPatience(this.#log, async () => {
        // Before each try: a build that a deadlock broke off leaves an INVALID index too.
        await dropInvalidIndexes(this.#client, migration, (drop) => this.#dropIndex(drop), this.#log);
        await runStatement(this.#client, `${script.file}:${line}`, sql, bare);
      });
      await this.fault(`${script.file}#${index + 1}`);
    }
    await record();
    await this.fault(`${script.file}#done`);
  }

  async #dropIndex(sql: string): Promise<void> {
    await runStatement(this.#client, 'repair', sql, sql);
  }

  /** Before anything is dropped; rows that come between are not in the count, and are lost as well. */
  async #tellLoss(migrations: readonly Migration[]): Promise<void> {
    const filled: string[] = [];
    for (const migration of migrations) {
      const tables = await findFilledTables(this.#client, migration);
      filled.push(...tables.map(({ table, rows }) => `${table} (${String(rows)} ${rows === 1 ? 'row' : 'rows'})`));
    }
    if (filled.length === 0) return;
    if (this.#options.force !== true) {
      throw new MigrationError(
        'holds-rows',
        `${filled.join(', ')} would be dropped: nothing was changed. --force does it`,
      );
    }
    this.#log(`${this.#verb('drop')} with what they hold: ${filled.join(', ')}`);
  }

  #verb(verb: string): string {
    return this.#options.dryRun === true ? `would ${verb}` : verb;
  }

  #hear({
    code,
    message,
    severity,
  }: {
    code?: string | undefined;
    message?: string | undefined;
    severity?: string | undefined;
  }): void {
    if (message === undefined || EXPECTED_NOTICES.has(code ?? '')) return;
    if (code === '00000' && message.endsWith(', skipping')) return;
    this.#notices.push(message);
    this.#log(`${(severity ?? 'notice').toLowerCase()}: ${message}`);
  }
}

async function withClient<T>(
  databaseUrl: string,
  connectTimeoutMs: number | undefined,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    ...connectionOf(databaseUrl),
    application_name: 'content-processor migrate',
    connectionTimeoutMillis: connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    keepAlive: true,
  });
  // A lost session is told by the query that fails, or by the lock's check; without a listener it ends the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
