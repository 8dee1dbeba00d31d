/** A real PostgreSQL for tests: one server per test process, one database per test file, cloned from a template. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { findPostgresBinaries } from '../../src/dev/postgres-binaries.ts';
import { migrate } from '../../src/migrate/migrate.ts';
import { splitSql } from '../../src/migrate/split-sql.ts';
import { onFreePort } from './free-port.ts';

const execFileAsync = promisify(execFile);

export interface TestPostgres {
  url(database: string): string;
  readonly adminUrl: string;
  readonly pid: number;
  /** Returns the new database's URL. */
  createDatabase(name: string, template?: string): Promise<string>;
  /** Ends its sessions first. */
  dropDatabase(name: string): Promise<void>;
  /** A migrated database that nobody connects to: `createDatabase(name, await postgres.templateDatabase())`. */
  templateDatabase(): Promise<string>;
  stop(): Promise<void>;
}

const TEMPLATE = 'migrated_template';

/** The data is thrown away with the server: nothing has to survive a power cut. */
const FAST_SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '200' };

/** Both ends of what is supported, and the packages that bring them. Tests use the newest unless they ask for each. */
const PACKAGES = { 15: 'embedded-postgres-15', 18: 'embedded-postgres' } as const;
type Version = keyof typeof PACKAGES;
const VERSIONS: readonly Version[] = [15, 18];
const NEWEST: Version = 18;

type Settings = Readonly<Record<string, string>>;

/** The same suite on each version: one whose package is not installed fails, and is not passed over. */
export function describeOnEachPostgres(
  title: string,
  suite: (start: (settings?: Settings) => Promise<TestPostgres>) => void,
): void {
  for (const version of VERSIONS) {
    describe(`${title}, PostgreSQL ${String(version)}`, () => suite((settings) => startPostgres(settings, version)));
  }
}

export async function startPostgres(settings: Settings = {}, version = NEWEST): Promise<TestPostgres> {
  const binaries = await findPostgresBinaries(PACKAGES[version]);
  if (binaries.major !== String(version)) {
    throw new Error(`${PACKAGES[version]} is PostgreSQL ${binaries.major}, and ${String(version)} was asked for`);
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'test-postgres-'));
  // mkdtemp makes it private to root, and as root the server runs as another user.
  await chmod(folder, 0o711);
  const server = await onFreePort((port) =>
    startEmbeddedPostgres({
      dataDir: path.join(folder, 'data'),
      port,
      log: () => undefined,
      binaries,
      settings: { ...FAST_SETTINGS, ...settings },
    }),
  );
  const killWithProcess = (): void => {
    try {
      process.kill(server.pid, 'SIGQUIT');
    } catch {
      // It has ended by itself.
    }
  };
  process.once('exit', killWithProcess);
  const adminUrl = server.url('postgres');
  let template: Promise<string> | undefined;

  const createDatabase = async (name: string, from = 'template0'): Promise<string> => {
    await withClient(adminUrl, (client) =>
      client.query(`create database ${pg.escapeIdentifier(name)} template ${pg.escapeIdentifier(from)}`),
    );
    return server.url(name);
  };
  return {
    adminUrl,
    pid: server.pid,
    url: (database) => server.url(database),
    createDatabase,
    dropDatabase: (name) =>
      withClient(adminUrl, async (client) => {
        await client.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`);
      }),
    templateDatabase: () =>
      (template ??= createDatabase(TEMPLATE).then(async (url) => {
        await migrate(url, { log: () => undefined });
        return TEMPLATE;
      })),
    async stop() {
      process.removeListener('exit', killWithProcess);
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One connection for the length of `use`, closed whatever happens. */
export async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/**
 * What `psql -v ON_ERROR_STOP=1 -f` does to the database. The package embedded-postgres brings no psql: where PATH has
 * none either, the file is sent as psql sends it, one statement at a time in autocommit, until the first error.
 */
export async function psqlFile(url: string, file: string, env: NodeJS.ProcessEnv = {}): Promise<void> {
  try {
    await execFileAsync('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', file, url], {
      env: { ...process.env, ...env },
    });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    const statements = splitSql(await readFile(file, 'utf8'));
    const client = new pg.Client({ connectionString: url, options: env['PGOPTIONS'] });
    await client.connect();
    try {
      for (const { sql } of statements) await client.query(sql);
    } finally {
      await client.end();
    }
  }
}

/** Everything a migration can make in the schema public, as sorted lines; without the ledger. */
export async function describeSchema(url: string): Promise<string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ line: string }>(DESCRIBE_SCHEMA);
    return rows.map(({ line }) => line);
  });
}

const DESCRIBE_SCHEMA = `
with tables as (
  select oid, relname, relkind, reloptions
    from pg_class
   where relnamespace = 'public'::regnamespace and relkind in ('r', 'v') and relname <> 'schema_migrations'
)
select format('table %s %s %s', relname, relkind, reloptions) as line from tables
union all
select format('column %s.%s %s %s not null %s default %s', relname, attnum, attname,
         format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
  from tables join pg_attribute on attrelid = tables.oid and attnum > 0 and not attisdropped
  left join pg_attrdef on adrelid = attrelid and adnum = attnum
union all
select format('constraint %s.%s %s', relname, conname, pg_get_constraintdef(pg_constraint.oid))
  from tables join pg_constraint on conrelid = tables.oid
union all
select format('index %s valid %s', pg_get_indexdef(indexrelid), indisvalid)
  from tables join pg_index on indrelid = tables.oid
union all
select format('trigger %s', pg_get_triggerdef(pg_trigger.oid))
  from tables join pg_trigger on tgrelid = tables.oid and not tgisinternal
union all
select format('function %s', pg_get_functiondef(oid))
  from pg_proc where pronamespace = 'public'::regnamespace
union all
select format('enum %s %s %s', typname, row_number() over (partition by typname order by enumsortorder), enumlabel)
  from pg_enum join pg_type on pg_type.oid = enumtypid where typnamespace = 'public'::regnamespace
union all
select format('comment %s.%s %s', relname, attname, description)
  from tables join pg_description on objoid = tables.oid and classoid = 'pg_class'::regclass
  left join pg_attribute on attrelid = objoid and attnum = objsubid and objsubid > 0
union all
select format('comment %s %s', relname, description)
  from pg_class join pg_description on objoid = pg_class.oid and classoid = 'pg_class'::regclass
 where relnamespace = 'public'::regnamespace and relkind = 'i'
order by 1`;
