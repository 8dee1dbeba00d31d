import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describeOnEachPostgres, type TestPostgres, withClient } from '../support/postgres.ts';
import { startStalledProxy } from '../support/stalled-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

const MAIN = fileURLToPath(new URL('../../src/migrate/main.ts', import.meta.url));

interface Ended {
  readonly code: number;
  readonly output: string;
}

describeOnEachPostgres('npm run migrate', (start) => {
  let postgres: TestPostgres;

  before(async () => {
    postgres = await start();
  });
  after(() => postgres.stop());

  const command = (databaseUrl: string, args: string[], env: Record<string, string> = {}): Promise<Ended> =>
    new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        ['--import', 'tsx', MAIN, ...args],
        { env: { PATH: process.env['PATH'], DATABASE_URL: databaseUrl, ...env } },
        (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
      );
    });
  const exits = async (code: number, pattern: RegExp, databaseUrl: string, ...args: string[]): Promise<void> => {
    const ended = await command(databaseUrl, args);
    assert.equal(ended.code, code, ended.output);
    assert.match(ended.output, pattern);
  };

  it('applies, tells the state, and rolls back', async () => {
    const url = await postgres.createDatabase('command');
    await exits(1, /create_content_requests: pending/, url, '--status');
    await exits(0, /would apply create_content_requests/, url, '--dry-run');
    await exits(0, /apply add_compound_indexes_content_requests/, url);
    await exits(0, /create_content_requests: applied/, url, '--status');
    await withClient(url, (client) =>
      client.query(`insert into content_requests (correlation_id, student_id, topic) values ('a', 'b', 'c')`),
    );
    const loss = /content_requests \(1 row\), request_events \(1 row\)/;
    await exits(1, new RegExp(`${loss.source} would be dropped: nothing was changed`), url, '--rollback');
    await exits(0, new RegExp(`drop with what they hold: ${loss.source}`), url, '--rollback', '--force');
    await exits(1, /create_content_requests: pending/, url, '--status');
  });

  it("grants to the worker's own user, every time, and says so when there is none", async () => {
    const url = await postgres.createDatabase('granting');
    const grantTo = { MIGRATE_GRANT_TO: 'worker of granting' };
    const missing = await command(url, [], grantTo);
    assert.equal(missing.code, 1, missing.output);
    assert.match(missing.output, /MIGRATE_GRANT_TO: role \\"worker of granting\\" does not exist \(SQLSTATE 42704\)/);
    await withClient(url, (client) => client.query('create role "worker of granting"'));
    const mayWrite = async (): Promise<unknown> =>
      withClient(url, async (client) => {
        const asked = `select has_table_privilege('worker of granting', 'content_requests', 'update') as may`;
        return (await client.query<{ may: boolean }>(asked)).rows[0]?.may;
      });
    const dry = await command(url, ['--dry-run'], grantTo);
    assert.match(dry.output, /would grant what the worker needs to worker of granting/);
    assert.equal(await mayWrite(), false, 'a dry run grants nothing');
    const granted = await command(url, [], grantTo);
    assert.equal(granted.code, 0, granted.output);
    assert.equal(await mayWrite(), true, 'granted, though every migration was applied before');
  });

  it('exits 2 for a wrong configuration or wrong arguments', async () => {
    await exits(2, /DATABASE_URL/, 'mysql://nowhere');
    await exits(2, /--force/, postgres.adminUrl, '--force');
    await exits(2, /unknown option/, postgres.adminUrl, '--nonsense');
  });

  it('exits 1 when the database is not there', async () => {
    await exits(1, /does not exist/, postgres.url('nowhere'));
  });

  it('a server that accepts and says nothing is given up after DATABASE_CONNECT_TIMEOUT_MS', async () => {
    const proxy = await startStalledProxy({ host: '127.0.0.1', port: Number(new URL(postgres.adminUrl).port) });
    proxy.stallNew();
    const startedAt = performance.now();
    for (const args of [['--status'], []]) {
      const ended = await command(proxy.through(postgres.adminUrl), args, { DATABASE_CONNECT_TIMEOUT_MS: '300' });
      assert.equal(ended.code, 1, ended.output);
      assert.match(ended.output, /timeout/);
    }
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs < 9_000, `${String(tookMs)} ms for two, and one of 10 s was the limit without the setting`);
    await proxy.close();
  });

  it("a build outlasts DATABASE_STATEMENT_TIMEOUT_MS, which is the worker's", async () => {
    const url = await postgres.createDatabase('long-build');
    assert.equal((await command(url, [])).code, 0);
    await withClient(url, async (holder) => {
      // Concurrent builds wait for every transaction that is older than they are.
      await holder.query('drop index idx_content_requests_status_created');
      await holder.query('begin isolation level repeatable read');
      await holder.query('select from content_requests');
      const building = command(url, [], { DATABASE_STATEMENT_TIMEOUT_MS: '100' });
      await waitFor('the build to be older than the timeout', async () => {
        // By a session of its own: a transaction sees one picture of the activity, its first.
        const { rowCount } = await withClient(url, (client) =>
          client.query(
            `select from pg_stat_activity
              where query ilike '%create index concurrently%' and pid <> pg_backend_pid()
                and state = 'active' and clock_timestamp() - query_start > interval '300 ms'`,
          ),
        );
        return rowCount === 1;
      });
      await holder.query('commit');
      const { code, output } = await building;
      assert.equal(code, 0, output);
    });
  });
});
