/** What the worker looks for before it takes work: each thing that is taken away is named, in a transaction that is undone. */
import assert from 'node:assert/strict';
import { DatabaseError, openDatabase, type DatabasePool } from '../../src/activities/db.ts';
import { REQUIRED_COLUMNS, schemaFaults } from '../../src/activities/schema.ts';
import type { DatabaseConfig } from '../../src/config.ts';
import { STATUSES } from '../../src/contract/status.ts';
import { startPostgres, type TestPostgres, withClient } from '../support/postgres.ts';

const LIMITS: Omit<DatabaseConfig, 'url'> = { poolSize: 2, connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 };

describe('schemaFaults', () => {
  let postgres: TestPostgres;
  let url: string;
  let database: DatabasePool;

  before(async () => {
    postgres = await startPostgres();
    url = await postgres.createDatabase('schema', await postgres.templateDatabase());
    database = openDatabase({ url, ...LIMITS }, { applicationName: 'test', onIdleError: () => undefined });
  });
  after(async () => {
    await database.close();
    await postgres.stop();
  });

  async function faultsAfter(change: string): Promise<string[]> {
    const undo = new Error('undo');
    let faults: string[] = [];
    await assert.rejects(
      database.inTransaction(async (transaction) => {
        await transaction.writes({ name: change.slice(0, 63), text: change, values: [], index: null });
        faults = await schemaFaults(transaction);
        throw undo;
      }),
      (error) => error === undo,
    );
    return faults;
  }

  it('finds nothing in a migrated database', async () => assert.deepEqual(await schemaFaults(database), []));

  it('a missing table is one fault, not thirty', async () => {
    assert.deepEqual(await faultsAfter('drop table content_requests cascade'), ['table content_requests is missing']);
  });

  for (const column of REQUIRED_COLUMNS) {
    it(`misses the column ${column}`, async () => {
      const faults = await faultsAfter(`alter table content_requests drop column ${column} cascade`);
      assert.equal(faults[0], `column content_requests.${column} is missing`);
      // Without the column there is no enum to look into.
      assert.equal(faults.length, column === 'status' ? 1 + STATUSES.length : 1);
    });
  }

  for (const status of STATUSES) {
    it(`misses the status ${status}`, async () => {
      assert.deepEqual(await faultsAfter(`alter type content_request_status rename value '${status}' to 'other'`), [
        `the enum of content_requests.status lacks '${status}'`,
      ]);
    });
  }

  it('names all that is missing at once', async () => {
    assert.deepEqual(await faultsAfter('alter table content_requests drop column topic, drop column owner_token'), [
      'column content_requests.topic is missing',
      'column content_requests.owner_token is missing',
    ]);
  });

  it('what somebody added does not disturb it', async () => {
    assert.deepEqual(await faultsAfter('alter table content_requests add column requested_modalities jsonb'), []);
    assert.deepEqual(await faultsAfter(`alter type content_request_status rename to request_status`), []);
  });

  it('asks for every column that the migrations make', async () => {
    const columns = await withClient(url, async (client) => {
      const { rows } = await client.query<{ name: string }>(
        `select column_name as name from information_schema.columns where table_name = 'content_requests'`,
      );
      return rows.map(({ name }) => name);
    });
    assert.deepEqual(columns.sort(), [...REQUIRED_COLUMNS].sort());
  });

  it('a database that does not answer is trouble, not a fault of the schema', async () => {
    const gone = openDatabase(
      { url: postgres.url('not-there'), ...LIMITS },
      { applicationName: 'test', onIdleError: () => undefined },
    );
    await assert.rejects(schemaFaults(gone), (error) => error instanceof DatabaseError && !error.permanent);
    await gone.close();
  });
});
