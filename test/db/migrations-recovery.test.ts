import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { migrate, type MigrateOptions, type MigrationReport, migrationStatus } from '../../src/migrate/migrate.ts';
import { loadMigrations, type Migration, MIGRATIONS, MIGRATIONS_DIRECTORY } from '../../src/migrate/plan.ts';
import {
  describeOnEachPostgres,
  describeSchema,
  psqlFile,
  type TestPostgres,
  withClient,
} from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const INDEX = 'idx_content_requests_correlation_status';
const INSERT = `insert into content_requests (correlation_id, student_id, topic) values ('held', 'student', 'topic')`;
const RUNNER = fileURLToPath(new URL('../../src/migrate/migrate.ts', import.meta.url));

describeOnEachPostgres('migrations recover', (start) => {
  let postgres: TestPostgres;
  let complete: string[];
  let createOnly: Migration[];
  let lines: string[];
  let databases = 0;
  const clients: pg.Client[] = [];
  const children: ChildProcess[] = [];

  before(async () => {
    // Deadlocks are looked for after 100 ms instead of 1 s.
    postgres = await start({ deadlock_timeout: '100ms' });
    createOnly = (await loadMigrations()).slice(0, 1);
    complete = await describeSchema(postgres.url(await postgres.templateDatabase()));
  });
  after(() => postgres.stop());
  beforeEach(() => {
    lines = [];
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await Promise.all(clients.splice(0).map((client) => client.end()));
  });

  const newDatabase = (template?: string): Promise<string> =>
    postgres.createDatabase(`recovery_${String((databases += 1))}`, template);
  const run = (url: string, options: Partial<MigrateOptions> = {}): Promise<MigrationReport> =>
    migrate(url, { log: (line) => lines.push(line), ...options });
  const connect = async (url: string): Promise<pg.Client> => {
    const client = new pg.Client(url);
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  const isValid = async (client: pg.Client, index: string): Promise<boolean | undefined> => {
    const { rows } = await client.query<{ valid: boolean }>(
      'select indisvalid as valid from pg_index where indexrelid = to_regclass($1)',
      [index],
    );
    return rows[0]?.valid;
  };
  const builders = async (client: pg.Client): Promise<number> => {
    const { rowCount } = await client.query(
      `select from pg_stat_progress_create_index
        where datname = current_database() and phase like 'waiting for%'`,
    );
    return rowCount ?? 0;
  };
  /** Runs migrate() in a process of its own that kills itself at the fault point. */
  const spawnRun = (url: string, killAt: string): ChildProcess => {
    const program = `
      import { migrate } from ${JSON.stringify(RUNNER)};
      const fault = (point) => { if (point === ${JSON.stringify(killAt)}) process.kill(process.pid, 'SIGKILL'); };
      await migrate(${JSON.stringify(url)}, { log: () => undefined, fault });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    children.push(child);
    return child;
  };

  it('runs once when three start at once', async () => {
    const url = await newDatabase();
    const reports = await Promise.all([run(url), run(url), run(url)]);
    assert.deepEqual(reports.map(({ applied }) => applied.length).sort(), [0, 0, MIGRATIONS.length]);
    assert.deepEqual(await describeSchema(url), complete);
  });

  it('waits for another run without a snapshot, because a blocking wait would be a deadlock', async () => {
    const url = await newDatabase();
    await run(url, { migrations: createOnly });
    const [winner, loser] = [await connect(url), await connect(url)];
    await winner.query('select pg_advisory_lock(1)');
    const blocked = loser.query('select pg_advisory_lock(1)');
    await withClient(url, (client) =>
      waitFor('the second session to wait for the lock', async () => {
        const { rowCount } = await client.query(`select from pg_locks where locktype = 'advisory' and not granted`);
        return rowCount === 1;
      }),
    );
    const build = winner.query(`create index concurrently ${INDEX} on content_requests (correlation_id, status)`);
    // Whichever of the two PostgreSQL ends: the lock is given back, else the other would wait for ever.
    const results = await Promise.allSettled([
      blocked,
      build.finally(() => winner.query('select pg_advisory_unlock(1)')),
    ]);
    const errors = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as pg.DatabaseError] : [],
    );
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['40P01'],
    );
  });

  it('rebuilds an invalid index, though the ledger says that it was applied', async () => {
    const url = await newDatabase(await postgres.templateDatabase());
    await withClient(url, (client) =>
      client.query('update pg_index set indisvalid = false where indexrelid = to_regclass($1)', [INDEX]),
    );
    assert.deepEqual((await migrationStatus(url))[1]?.damage, [`index ${INDEX} is invalid`]);
    // The twin: psql alone skips it, and says so.
    const file = path.join(MIGRATIONS_DIRECTORY, `${MIGRATIONS[1]}.sql`);
    await assert.rejects(psqlFile(url, file), new RegExp(`invalid index: ${INDEX}`));
    assert.deepEqual((await run(url, { dryRun: true })).repaired, [MIGRATIONS[1]]);
    assert.notDeepEqual(await describeSchema(url), complete);

    const report = await run(url);
    assert.deepEqual([report.applied, report.repaired], [[], [MIGRATIONS[1]]]);
    assert.ok(lines.includes(`dropping the invalid index ${INDEX}, left by a build that broke off`));
    assert.deepEqual(await describeSchema(url), complete);
  });

  it('makes what was dropped behind its back again', async () => {
    const url = await newDatabase(await postgres.templateDatabase());
    await withClient(url, (client) => client.query('drop table request_events, content_requests'));
    assert.deepEqual((await run(url)).repaired, [...MIGRATIONS]);
    assert.deepEqual(await describeSchema(url), complete);
  });

  it('completes after a break at any of its points', async () => {
    const points: string[] = [];
    await run(await newDatabase(), { fault: (point) => void points.push(point) });
    assert.ok(points.length > 15);
    for (const point of points) {
      const url = await newDatabase();
      const fault = (reached: string): void => {
        if (reached === point) throw new Error('broken off');
      };
      await assert.rejects(run(url, { fault }), /broken off/);
      await run(url);
      assert.deepEqual(await describeSchema(url), complete, point);
    }
  });

  for (const point of ['create_content_requests.sql#2', `${MIGRATIONS[1]}.sql#3`]) {
    it(`completes after kill -9 at ${point}`, async () => {
      const url = await newDatabase();
      const [, signal] = (await once(spawnRun(url, point), 'exit')) as [number | null, string | null];
      assert.equal(signal, 'SIGKILL');
      assert.notDeepEqual(await describeSchema(url), complete);
      await run(url);
      assert.deepEqual(await describeSchema(url), complete);
    });
  }

  it('completes after kill -9 while an index build waits for an open transaction', async () => {
    const url = await newDatabase();
    await run(url, { migrations: createOnly });
    const [holder, watcher] = [await connect(url), await connect(url)];
    await holder.query('begin');
    await holder.query(INSERT);
    const child = spawnRun(url, 'never');
    await waitFor('a build that waits', async () => (await builders(watcher)) === 1);
    child.kill('SIGKILL');
    // client_connection_check_interval: the server gives up the build although the transaction is still open.
    await waitFor('the end of the build', async () => (await builders(watcher)) === 0);
    assert.equal(await isValid(watcher, INDEX), false);
    await holder.query('rollback');
    await run(url);
    assert.ok(lines.includes(`dropping the invalid index ${INDEX}, left by a build that broke off`));
    assert.deepEqual(await describeSchema(url), complete);
  });

  it('waits for a build that another session has under way, and keeps its index', async () => {
    const url = await newDatabase();
    await run(url, { migrations: createOnly });
    const [holder, builder, watcher] = [await connect(url), await connect(url), await connect(url)];
    await holder.query('begin');
    await holder.query(INSERT);
    const built = builder.query(
      `create index concurrently if not exists ${INDEX} on content_requests (correlation_id, status)`,
    );
    await waitFor('a build that waits', async () => (await builders(watcher)) === 1);
    const oid = async (): Promise<unknown> => (await watcher.query('select to_regclass($1)::oid as oid', [INDEX])).rows;
    const first = await oid();
    const migrated = run(url);
    await waitFor('the runner to wait', () =>
      lines.some((line) => /^waiting: server process \d+ is building/.test(line)),
    );
    await holder.query('rollback');
    await Promise.all([built, migrated]);
    assert.deepEqual(await oid(), first);
    assert.deepEqual(await describeSchema(url), complete);
  });

  it('steps back from a lock that is not to be had, and comes again', async () => {
    const url = await newDatabase();
    await psqlFile(url, path.join(MIGRATIONS_DIRECTORY, `${MIGRATIONS[0]}.sql`));
    const holder = await connect(url);
    await holder.query('begin');
    await holder.query('lock table content_requests in access exclusive mode');
    const migrated = run(url);
    await waitFor('a second try', () =>
      lines.some((line) => line.startsWith('a lock was not to be had in time: try 2')),
    );
    await holder.query('rollback');
    await migrated;
    assert.deepEqual(await describeSchema(url), complete);
  });

  it('stops when the session that holds the lock is lost', async () => {
    const url = await newDatabase();
    const killer = await connect(url);
    const fault = async (point: string): Promise<void> => {
      if (point !== 'create_content_requests.sql#1') return;
      const ended = await killer.query(
        `select pg_terminate_backend(pid, 5000) from pg_locks
          where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
      );
      assert.equal(ended.rowCount, 1);
    };
    await assert.rejects(run(url, { fault }), { code: 'lock-lost' });
    await run(url);
    assert.deepEqual(await describeSchema(url), complete);
  });

  it('runs a file without concurrent statements whole or not at all', async () => {
    const url = await newDatabase();
    const [create] = createOnly;
    assert.ok(create);
    const statement = (sql: string): { sql: string; bare: string; line: number } => ({ sql, bare: sql, line: 1 });
    const script = (file: string, ...sql: string[]): Migration['up'] => ({
      file,
      transactional: true,
      statements: sql.map(statement),
    });
    const migration: Migration = {
      ...create,
      name: 'plain',
      tables: ['plain'],
      up: script('plain.sql', 'create table plain (n int)', 'insert into plain values (1)'),
      down: script('plain.rollback.sql', 'drop table plain'),
    };
    const broken = {
      ...migration,
      up: script('plain.sql', 'create table plain (n int)', 'insert into nothing values (1)'),
    };
    await assert.rejects(run(url, { migrations: [broken] }), /^MigrationError: plain\.sql:1: .*SQLSTATE 42P01/);
    assert.deepEqual(await describeSchema(url), []);
    for (const point of ['plain.sql#1', 'plain.sql#before-commit']) {
      const fault = (reached: string): void => {
        if (reached === point) throw new Error('broken off');
      };
      await assert.rejects(run(url, { migrations: [migration], fault }), /broken off/);
      assert.deepEqual(await describeSchema(url), []);
    }
    assert.deepEqual((await run(url, { migrations: [migration] })).applied, ['plain']);
    assert.deepEqual((await run(url, { migrations: [migration] })).unchanged, ['plain']);
  });
});
