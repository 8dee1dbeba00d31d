import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { startPostgres, type TestPostgres, withClient } from '../support/postgres.ts';

const MAIN = fileURLToPath(new URL('../../src/migrate/main.ts', import.meta.url));

interface Ended {
  readonly code: number;
  readonly output: string;
}

describe('npm run migrate', () => {
  let postgres: TestPostgres;

  before(async () => {
    postgres = await startPostgres();
  });
  after(() => postgres.stop());

  const command = (databaseUrl: string, ...args: string[]): Promise<Ended> =>
    new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        ['--import', 'tsx', MAIN, ...args],
        { env: { PATH: process.env['PATH'], DATABASE_URL: databaseUrl } },
        (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
      );
    });
  const exits = async (code: number, pattern: RegExp, databaseUrl: string, ...args: string[]): Promise<void> => {
    const ended = await command(databaseUrl, ...args);
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
    await exits(1, /content_requests, request_events would be dropped with all rows/, url, '--rollback');
    await exits(0, /roll back create_content_requests/, url, '--rollback', '--force');
  });

  it('exits 2 for a wrong configuration or wrong arguments', async () => {
    await exits(2, /DATABASE_URL/, 'mysql://nowhere');
    await exits(2, /--force/, postgres.adminUrl, '--force');
    await exits(2, /unknown option/, postgres.adminUrl, '--nonsense');
  });

  it('exits 1 when the database is not there', async () => {
    await exits(1, /does not exist/, postgres.url('nowhere'));
  });
});
