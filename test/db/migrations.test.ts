import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { STATUSES } from '../../src/contract/status.ts';
import { migrate, type MigrateOptions, type MigrationReport, migrationStatus } from '../../src/migrate/migrate.ts';
import { loadMigrations, type Migration, MIGRATIONS, MIGRATIONS_DIRECTORY } from '../../src/migrate/plan.ts';
import {
  describeOnEachPostgres,
  describeSchema,
  psqlFile,
  type TestPostgres,
  withClient,
} from '../support/postgres.ts';

const INSERT = `insert into content_requests (correlation_id, student_id, topic) values ('a', 'student', 'topic')`;
const ledgerExists = `select to_regclass('schema_migrations') is not null as found`;

describeOnEachPostgres('migrations', (start) => {
  let postgres: TestPostgres;
  let lines: string[];
  let databases = 0;

  before(async () => {
    postgres = await start();
  });
  after(() => postgres.stop());
  beforeEach(() => {
    lines = [];
  });

  const newDatabase = (): Promise<string> => postgres.createDatabase(`plain_${(databases += 1)}`);
  const run = (url: string, options: Partial<MigrateOptions> = {}): Promise<MigrationReport> =>
    migrate(url, { log: (line) => lines.push(line), ...options });
  const file = (name: string): string => path.join(MIGRATIONS_DIRECTORY, name);
  const psqlAll = async (url: string): Promise<void> => {
    for (const name of MIGRATIONS) await psqlFile(url, file(`${name}.sql`));
  };

  it('has each file of the folder in the plan, with its rollback', async () => {
    const expected = MIGRATIONS.flatMap((name) => [`${name}.sql`, `${name}.rollback.sql`]);
    assert.deepEqual((await readdir(MIGRATIONS_DIRECTORY)).sort(), expected.sort());
  });

  it('knows what the files make', async () => {
    const [create, indexes] = await loadMigrations();
    assert.ok(create && indexes);
    assert.deepEqual(create.tables, ['content_requests', 'request_events']);
    assert.deepEqual(indexes.indexes, [
      'idx_content_requests_correlation_status',
      'idx_content_requests_student_status_created',
      'idx_content_requests_status_created',
      'idx_content_requests_org_status_created',
      'idx_content_requests_failed_debugging',
    ]);
    assert.equal(indexes.up.transactional, false);
    assert.equal(indexes.down.transactional, false);
    assert.equal(create.up.transactional, false);
    assert.equal(create.down.transactional, true);
  });

  it('gives the same catalog by psql -f and by the runner', async () => {
    const [byPsql, byRunner] = [await newDatabase(), await newDatabase()];
    await psqlAll(byPsql);
    const report = await run(byRunner);
    assert.deepEqual(report.applied, [...MIGRATIONS]);
    assert.deepEqual(report.notices, [], 'the adoption finds no difference in a table that was made just now');
    const schema = await describeSchema(byRunner);
    assert.deepEqual(schema, await describeSchema(byPsql));
    // The comparison would see something: 10 statuses, 5 commented indexes.
    assert.equal(schema.filter((line) => line.startsWith('enum ')).length, STATUSES.length);
    assert.equal(schema.filter((line) => line.startsWith('comment idx_')).length, 5);

    await withClient(byPsql, (client) => client.query('drop index idx_content_requests_status_created'));
    assert.notDeepEqual(schema, await describeSchema(byPsql));
  });

  it('changes nothing when it runs twice, by psql or by the runner', async () => {
    const url = await newDatabase();
    await psqlAll(url);
    const once = await describeSchema(url);
    await psqlAll(url);
    assert.deepEqual(await describeSchema(url), once);
    assert.deepEqual((await run(url)).applied, [...MIGRATIONS], 'adopts a database that psql made');
    assert.deepEqual(await describeSchema(url), once);
    const again = await run(url);
    assert.deepEqual([again.applied, again.unchanged], [[], [...MIGRATIONS]]);
  });

  it('has the statuses of the contract, in their order', async () => {
    const url = await newDatabase();
    await run(url);
    const { rows } = await withClient(url, (client) =>
      client.query<{ label: string }>('select unnest(enum_range(null::content_request_status))::text as label'),
    );
    assert.deepEqual(
      rows.map(({ label }) => label),
      [...STATUSES],
    );
  });

  it('rolls back newest first and comes up again the same', async () => {
    const url = await newDatabase();
    await run(url);
    const up = await describeSchema(url);
    assert.deepEqual((await run(url, { direction: 'down', count: 1 })).rolledBack, [MIGRATIONS[1]]);
    assert.deepEqual(
      (await migrationStatus(url)).map(({ state }) => state),
      ['applied', 'pending'],
    );
    assert.deepEqual((await run(url, { direction: 'down' })).rolledBack, [MIGRATIONS[0]]);
    assert.deepEqual(await describeSchema(url), []);
    assert.deepEqual((await run(url)).applied, [...MIGRATIONS]);
    assert.deepEqual(await describeSchema(url), up);
  });

  it('rolls back by psql -f too', async () => {
    const url = await newDatabase();
    await psqlAll(url);
    for (const name of [...MIGRATIONS].reverse()) {
      await psqlFile(url, file(`${name}.rollback.sql`));
      await psqlFile(url, file(`${name}.rollback.sql`));
    }
    assert.deepEqual(await describeSchema(url), []);
  });

  it('refuses to drop rows, before it has dropped anything; --force drops them', async () => {
    const url = await newDatabase();
    await run(url);
    await withClient(url, (client) => client.query(INSERT));
    const full = await describeSchema(url);
    await assert.rejects(run(url, { direction: 'down' }), { name: 'MigrationError', code: 'holds-rows' });
    assert.deepEqual(await describeSchema(url), full);
    // The indexes alone hold nothing.
    assert.deepEqual((await run(url, { direction: 'down', count: 1 })).rolledBack, [MIGRATIONS[1]]);
    assert.deepEqual((await run(url, { direction: 'down', force: true })).rolledBack, [MIGRATIONS[0]]);
    assert.deepEqual(await describeSchema(url), []);
  });

  it('every row and its events survive a rollback of the indexes, and their building over the rows', async () => {
    const url = await newDatabase();
    await run(url);
    const up = await describeSchema(url);
    const held = (): Promise<unknown[]> =>
      withClient(url, async (client) => {
        const { rows } = await client.query<Record<string, unknown>>(
          `select r.*, e.event_message from content_requests r join request_events e on e.request_id = r.id
            order by correlation_id`,
        );
        return rows;
      });
    await withClient(url, (client) =>
      client.query(
        `insert into content_requests (correlation_id, student_id, topic)
         select 'held-' || i, 'student', 'topic' from generate_series(1, 1000) as i`,
      ),
    );
    const before = await held();
    assert.equal(before.length, 1_000);
    await run(url, { direction: 'down', count: 1 });
    assert.deepEqual(await held(), before);
    await run(url);
    assert.deepEqual(await held(), before);
    assert.deepEqual(await describeSchema(url), up);
  });

  it('says which rows a rollback drops, before it drops them', async () => {
    const url = await newDatabase();
    await run(url);
    await withClient(url, (client) => client.query(INSERT));
    lines = [];
    await run(url, { direction: 'down', force: true, dryRun: true });
    await run(url, { direction: 'down', force: true });
    const loss = 'drop with what they hold: content_requests (1 row), request_events (1 row)';
    assert.deepEqual([lines[0], lines[3]], [`would ${loss}`, loss]);
  });

  it('runs on the version of PostgreSQL that its title names', async function () {
    const { rows } = await withClient(postgres.adminUrl, (client) =>
      client.query<{ server_version: string }>('show server_version'),
    );
    assert.match(
      this.test?.titlePath().join(' ') ?? '',
      new RegExp(`PostgreSQL ${String(parseInt(rows[0]?.server_version ?? '', 10))} `),
    );
  });

  it('refuses to drop rows by psql -f too, unless the setting says so', async () => {
    const url = await newDatabase();
    await psqlAll(url);
    await withClient(url, (client) => client.query(INSERT));
    const rollback = file('create_content_requests.rollback.sql');
    await assert.rejects(psqlFile(url, rollback), /content_requests holds rows: nothing was dropped/);
    await psqlFile(url, rollback, { PGOPTIONS: '-c content_processor.drop_rows=on' });
    assert.deepEqual(await describeSchema(url), []);
  });

  it('leaves all in place when something else depends on the table', async () => {
    const url = await newDatabase();
    await run(url);
    await withClient(url, (client) => client.query('create view dashboard as select id from content_requests'));
    await run(url, { direction: 'down', count: 1 });
    const before = await describeSchema(url);
    await assert.rejects(run(url, { direction: 'down' }), /SQLSTATE 2BP01/);
    assert.deepEqual(await describeSchema(url), before);
    assert.equal((await migrationStatus(url))[0]?.state, 'applied');
  });

  it('rolls nothing back for a version that does not know all that is applied', async () => {
    const url = await newDatabase();
    await run(url);
    const [older] = await loadMigrations();
    assert.ok(older !== undefined);
    await assert.rejects(run(url, { direction: 'down', count: 1, migrations: [older] }), {
      name: 'MigrationError',
      code: 'unknown',
      message: /^add_compound_indexes_content_requests was applied by a newer version/,
    });
    assert.deepEqual(
      (await migrationStatus(url)).map(({ state }) => state),
      ['applied', 'applied'],
    );
    // The twin: what it knows, it rolls back.
    assert.deepEqual((await run(url, { direction: 'down', count: 1 })).rolledBack, [MIGRATIONS[1]]);
    assert.deepEqual((await run(url, { direction: 'down', count: 1, migrations: [older] })).rolledBack, [older.name]);
  });

  it('changes nothing in a dry run, up or down', async () => {
    const url = await newDatabase();
    assert.deepEqual((await run(url, { dryRun: true })).applied, [...MIGRATIONS]);
    assert.deepEqual(await describeSchema(url), []);
    const { rows } = await withClient(url, (client) => client.query<{ found: boolean }>(ledgerExists));
    assert.equal(rows[0]?.found, false);
    assert.deepEqual(
      lines,
      MIGRATIONS.map((name) => `would apply ${name}`),
    );

    await run(url);
    const up = await describeSchema(url);
    assert.deepEqual((await run(url, { direction: 'down', dryRun: true })).rolledBack, [...MIGRATIONS].reverse());
    assert.deepEqual(await describeSchema(url), up);
    assert.deepEqual((await run(url)).unchanged, [...MIGRATIONS]);
  });

  it('refuses a file that was edited after it was applied', async () => {
    const url = await newDatabase();
    await run(url);
    const edited: Migration[] = (await loadMigrations()).map((migration, index) =>
      index === 0 ? { ...migration, checksum: '0'.repeat(64) } : migration,
    );
    await assert.rejects(run(url, { migrations: edited }), {
      name: 'MigrationError',
      code: 'edited',
      message: /^create_content_requests\.sql was changed after it was applied on \d{4}-.*: restore the file/,
    });
    assert.deepEqual(
      (await migrationStatus(url, { migrations: edited })).map(({ state }) => state),
      ['edited', 'applied'],
    );
    assert.deepEqual((await run(url)).unchanged, [...MIGRATIONS], 'the file that was applied is accepted');
  });

  it('refuses a schema_migrations that another program owns', async () => {
    const url = await newDatabase();
    await withClient(url, (client) => client.query('create table schema_migrations (version bigint primary key)'));
    await assert.rejects(run(url), { code: 'foreign-ledger' });
    assert.deepEqual(await describeSchema(url), []);
  });

  it('clones a template that is migrated', async () => {
    const url = await postgres.createDatabase('cloned', await postgres.templateDatabase());
    assert.deepEqual((await run(url)).unchanged, [...MIGRATIONS]);
    await postgres.dropDatabase('cloned');
  });
});
