/** What PostgreSQL refuses: for good or not, and never with a value of a row or a password in the error. */
import assert from 'node:assert/strict';
import { DatabaseError, openDatabase, type DatabasePool } from '../../src/activities/db.ts';
import type { Statement } from '../../src/activities/sql.ts';
import { createLogger } from '../../src/log.ts';
import { startPostgres, type TestPostgres, withClient } from '../support/postgres.ts';

const statement = (name: string, text: string, values: unknown[] = []): Statement => ({
  name,
  text,
  values,
  index: null,
});
const BACKEND = statement('backend', 'select pg_backend_pid() as pid');
const row = (columns: Readonly<Record<string, unknown>>): Statement => {
  const all = { correlation_id: 'private', student_id: 'private', topic: 'private', ...columns };
  const places = Object.keys(all).map((_, index) => `$${String(index + 1)}`);
  return statement(
    `row_${Object.keys(columns).join('_')}`,
    `insert into content_requests (${Object.keys(all).join(', ')}) values (${places.join(', ')})`,
    Object.values(all),
  );
};
const EVENT = `insert into request_events (request_id, event_type, event_message) values ($1, 'note', $2)`;

async function troubleOf(work: Promise<unknown>): Promise<DatabaseError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DatabaseError, `not a DatabaseError: ${String(error)}`);
  return error;
}

describe('what PostgreSQL refuses', () => {
  let postgres: TestPostgres;
  let url: string;
  const open: DatabasePool[] = [];

  before(async () => {
    postgres = await startPostgres();
    url = await postgres.createDatabase('refusals', await postgres.templateDatabase());
  });
  after(() => postgres.stop());
  afterEach(() => Promise.all(open.splice(0).map((database) => database.close())));

  function pool(where = url): DatabasePool {
    const database = openDatabase(
      { url: where, poolSize: 2, connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 },
      { applicationName: 'test', onIdleError: () => undefined },
    );
    open.push(database);
    return database;
  }

  it('a database that takes no writes is infrastructure: reads work, writes wait', async () => {
    const readOnly = await postgres.createDatabase('read-only', await postgres.templateDatabase());
    await withClient(url, (client) =>
      client.query('alter database "read-only" set default_transaction_read_only = on'),
    );
    const database = pool(readOnly);
    const error = await troubleOf(database.inTransaction((transaction) => transaction.writes(row({}))));
    assert.deepEqual([error.code, error.permanent], ['25006', false]);
    assert.ok(await database.many(BACKEND));
  });

  it('a missing table is infrastructure: somebody has yet to migrate', async () => {
    const database = pool(await postgres.createDatabase('empty'));
    const error = await troubleOf(database.writes(row({})));
    assert.deepEqual([error.code, error.permanent], ['42P01', false]);
  });

  it('a wrong password is infrastructure, and is not told', async () => {
    const wrong = new URL(url);
    wrong.password = 'hunter2';
    const database = pool(wrong.href);
    for (const error of await Promise.all(
      [database.many(BACKEND), database.inTransaction((each) => each.many(BACKEND))].map(troubleOf),
    )) {
      assert.deepEqual([error.code, error.permanent], ['28P01', false]);
      assert.doesNotMatch(`${error.message} ${String(error.stack)}`, /hunter2/);
    }
  });

  /** [what, the statement, SQLSTATE]; each has the word `private` among its values. */
  const refusals: readonly (readonly [what: string, statement: Statement, code: string])[] = [
    ['a unique key', row({}), '23505'],
    ['a check', row({ retry_count: -1 }), '23514'],
    ['not null', row({ topic: null }), '23502'],
    ['a foreign key', statement('event', EVENT, ['00000000-0000-4000-8000-000000000000', 'private']), '23503'],
    ['the length of a column', row({ topic: 'private'.repeat(100) }), '22001'],
    ['NUL in a text', row({ topic: 'private\0' }), '22021'],
    ['a number that is out of range', row({ duration_minutes: 2 ** 31 }), '22003'],
    ['a UUID that is none', row({ id: 'private' }), '22P02'],
    ['JSON that is none', row({ request_metadata: '{private' }), '22P02'],
    ['NUL in JSON', row({ request_metadata: '{"private": "\\u0000"}' }), '22P05'],
    ['a time that is none', row({ started_at: 'private' }), '22007'],
  ];
  for (const [what, refused, code] of refusals) {
    it(`${what}: permanent, and no value of the row is told`, async () => {
      const database = pool();
      if (code === '23505') await database.writes(refused);
      const error = await troubleOf(database.writes(refused));
      assert.deepEqual([error.code, error.permanent], [code, true]);
      const lines: string[] = [];
      const log = createLogger(
        { level: 'info', format: 'json', project: null },
        {},
        { write: (line) => lines.push(line) },
      );
      log.warn({ err: error }, 'refused');
      assert.match(lines.join(''), new RegExp(code));
      assert.doesNotMatch(`${error.message} ${String(error.stack)} ${lines.join('')}`, /private|2147483648/);
    });
  }
});
