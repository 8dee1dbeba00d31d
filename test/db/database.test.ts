/** The pool against a server that is slow, gone, silent, full or read-only: each is trouble with a name, never a crash. */
import assert from 'node:assert/strict';
import pg from 'pg';
import { DatabaseError, openDatabase, type Database, type DatabasePool } from '../../src/activities/db.ts';
import type { Statement } from '../../src/activities/sql.ts';
import type { DatabaseConfig } from '../../src/config.ts';
import { startLastWordProxy } from '../support/last-word-proxy.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { startStalledProxy, type StalledProxy } from '../support/stalled-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

const statement = (name: string, text: string, values: unknown[] = []): Statement => ({
  name,
  text,
  values,
  index: null,
});
const BACKEND = statement('backend', 'select pg_backend_pid() as pid');
const SLOW = statement('slow', 'select pg_sleep(60)');
const insert = (correlationId: string): Statement =>
  statement(
    'insert',
    `insert into content_requests (correlation_id, student_id, topic) values ($1, 'student', 'topic')`,
    [correlationId],
  );
async function backend(database: Database): Promise<number> {
  const row = await database.maybeOne<{ pid: number }>(BACKEND);
  assert.ok(row);
  return row.pid;
}

async function troubleOf(work: Promise<unknown>): Promise<DatabaseError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DatabaseError, `not a DatabaseError: ${String(error)}`);
  return error;
}

/** The two ways to a connection: the pool's own query, and a client lent for a transaction. */
const both = (database: DatabasePool): Promise<DatabaseError[]> =>
  Promise.all([backend(database), database.inTransaction(backend)].map(troubleOf));

describe('the database pool', () => {
  let postgres: TestPostgres;
  let url: string;
  let admin: pg.Client;
  let proxy: StalledProxy;
  const open: DatabasePool[] = [];

  before(async () => {
    postgres = await startPostgres();
    url = await postgres.createDatabase('pool', await postgres.templateDatabase());
    admin = new pg.Client(url);
    await admin.connect();
  });
  after(async () => {
    await admin.end();
    await postgres.stop();
  });
  beforeEach(async () => {
    proxy = await startStalledProxy({ host: '127.0.0.1', port: Number(new URL(url).port) });
  });
  afterEach(async () => {
    // A connection that the pool had leaked would keep close() waiting, and the test would time out here.
    await Promise.all(open.splice(0).map((pool) => pool.close()));
    await proxy.close();
  });

  function pool(overrides: Partial<DatabaseConfig> = {}, onIdleError: (error: Error) => void = () => undefined) {
    const database = openDatabase(
      { url, poolSize: 2, connectTimeoutMs: 5_000, statementTimeoutMs: 10_000, ...overrides },
      { applicationName: 'test', onIdleError },
    );
    open.push(database);
    return database;
  }
  const kill = async (pid: number): Promise<void> => {
    await admin.query('select pg_terminate_backend($1)', [pid]);
    await waitFor(`backend ${String(pid)} to be gone`, async () => {
      const { rowCount } = await admin.query('select from pg_stat_activity where pid = $1', [pid]);
      return rowCount === 0;
    });
  };
  const asleep = (): Promise<boolean> =>
    waitFor('the slow statement to run', async () => {
      const { rowCount } = await admin.query(`select from pg_stat_activity where query = $1 and state = 'active'`, [
        SLOW.text,
      ]);
      return rowCount === 1;
    });
  const stored = async (correlationId: string): Promise<boolean> => {
    const { rowCount } = await admin.query('select from content_requests where correlation_id = $1', [correlationId]);
    return rowCount === 1;
  };

  describe('limits', () => {
    it('the server ends a statement that is too slow, and the next one works', async () => {
      const database = pool({ statementTimeoutMs: 100 });
      const error = await troubleOf(database.many(SLOW));
      assert.deepEqual([error.code, error.permanent], ['57014', false]);
      assert.match(error.message, /^slow: 57014 /);
      assert.ok(await backend(database));
    });

    it('a server that accepts and says nothing is given up after the connect timeout', async () => {
      proxy.stallNew();
      const database = pool({ url: proxy.through(url), connectTimeoutMs: 200 });
      const began = performance.now();
      for (const error of await both(database)) {
        assert.deepEqual([error.code, error.permanent], ['unknown', false]);
        assert.match(error.message, /timeout/i);
      }
      assert.ok(performance.now() - began < 5_000);
    });

    it('nobody listening is infrastructure', async () => {
      const gone = proxy.through(url);
      await proxy.close();
      proxy = await startStalledProxy({ host: '127.0.0.1', port: Number(new URL(url).port) });
      const database = pool({ url: gone });
      for (const error of await both(database)) {
        assert.deepEqual([error.code, error.permanent], ['ECONNREFUSED', false]);
      }
    });

    it('a server that swallows bytes is given up, and its connection is not used again', async () => {
      const database = pool({ url: proxy.through(url), poolSize: 1, statementTimeoutMs: 100 });
      const first = await backend(database);
      proxy.stall();
      const error = await troubleOf(backend(database));
      assert.deepEqual([error.code, error.permanent], ['unknown', false]);
      assert.match(error.message, /^backend: unknown .*timeout/i);
      assert.notEqual(await backend(database), first);
    });

    it('and so it is inside a transaction', async () => {
      const database = pool({ url: proxy.through(url), poolSize: 1, statementTimeoutMs: 100 });
      let first = 0;
      const error = await troubleOf(
        database.inTransaction(async (transaction) => {
          first = await backend(transaction);
          proxy.stall();
          await transaction.writes(insert('swallowed'));
        }),
      );
      assert.deepEqual([error.code, error.permanent], ['unknown', false]);
      assert.notEqual(await backend(database), first);
      assert.equal(await stored('swallowed'), false);
    });

    it('a pool whose connections are all taken says so, and recovers', async () => {
      const database = pool({ poolSize: 1, connectTimeoutMs: 200 });
      await database.inTransaction(async () => {
        for (const error of await both(database)) {
          assert.deepEqual([error.code, error.permanent], ['unknown', false]);
        }
      });
      assert.ok(await backend(database));
    });
  });

  describe('a connection that is killed', () => {
    it('while idle is told, ends nothing, and the next query has a new one', async () => {
      const told: Error[] = [];
      const database = pool({ poolSize: 1 }, (error) => told.push(error));
      const first = await backend(database);
      await kill(first);
      await waitFor('the idle connection to be missed', () => told.length > 0);
      assert.notEqual(await backend(database), first);
    });

    it('in the middle of a statement fails that statement only', async () => {
      const database = pool({ poolSize: 1 });
      const first = await backend(database);
      const slow = troubleOf(database.many(SLOW));
      await asleep();
      await kill(first);
      const error = await slow;
      assert.deepEqual([error.code, error.permanent], ['57P01', false]);
      assert.notEqual(await backend(database), first);
    });

    it('in the middle of a transaction, during a statement: rolled back, not reused', async () => {
      const database = pool({ poolSize: 1 });
      let first = 0;
      const failing = troubleOf(
        database.inTransaction(async (transaction) => {
          first = await backend(transaction);
          await transaction.writes(insert('killed-during'));
          await transaction.many(SLOW);
        }),
      );
      await asleep();
      await kill(first);
      assert.equal((await failing).permanent, false);
      assert.notEqual(await backend(database), first);
      assert.equal(await stored('killed-during'), false);
    });

    it('in the middle of a transaction, between statements: rolled back, not reused, and the process lives', async () => {
      const database = pool({ poolSize: 1 });
      let first = 0;
      const error = await troubleOf(
        database.inTransaction(async (transaction) => {
          first = await backend(transaction);
          await transaction.writes(insert('killed-between'));
          await kill(first);
          await transaction.writes(insert('killed-between-2'));
        }),
      );
      assert.equal(error.permanent, false);
      assert.notEqual(await backend(database), first);
      assert.equal(await stored('killed-between'), false);
    });
  });

  it('a connection whose end comes in one packet with its first answer ends no process', async () => {
    const lastWord = await startLastWordProxy(url);
    const pool = openDatabase(
      { url: lastWord.url(url), poolSize: 2, connectTimeoutMs: 2_000, statementTimeoutMs: 2_000 },
      { applicationName: 'test', onIdleError: () => undefined },
    );
    try {
      // Nobody listens to the client when the parser goes on to the FATAL: an unhandled error would end this process.
      for (const error of await both(pool)) assert.equal(error.permanent, false, error.message);
    } finally {
      await pool.close();
      await lastWord.close();
    }
  });

  describe('behind a pooler that lends a connection for one transaction', () => {
    const PREPARED = statement('prepared', 'select name from pg_prepared_statements where name is not null');

    it('no statement is left on the connection, inside a transaction or not: the next one has another connection', async () => {
      const database = pool({ poolSize: 1 });
      await database.writes(insert('unnamed'));
      await database.inTransaction((transaction) => transaction.writes(insert('unnamed-too')));
      assert.deepEqual(await database.many(PREPARED), []);
    });

    it('the twin: a statement that is sent with its name is left there, and is found', async () => {
      const client = new pg.Client(url);
      await client.connect();
      const { name, text, values } = BACKEND;
      await client.query({ name, text, values });
      assert.deepEqual((await client.query(PREPARED.text)).rows, [{ name }]);
      await client.end();
    });
  });

  describe('a transaction', () => {
    it('is kept when the work succeeds', async () => {
      const database = pool();
      assert.equal(await database.inTransaction((transaction) => transaction.writes(insert('kept'))), true);
      assert.equal(await stored('kept'), true);
    });

    it('is rolled back when the work throws, whatever it throws; a sound connection stays in use', async () => {
      const database = pool({ poolSize: 1 });
      const first = await backend(database);
      const oops = new Error('oops');
      await assert.rejects(
        database.inTransaction(async (transaction) => {
          await transaction.writes(insert('thrown'));
          throw oops;
        }),
        (error) => error === oops,
      );
      const refused = await troubleOf(
        database.inTransaction(async (transaction) => {
          await transaction.writes(insert('twice'));
          await transaction.writes(insert('twice'));
        }),
      );
      assert.deepEqual(
        [refused.code, refused.permanent, refused.constraint],
        ['23505', true, 'content_requests_correlation_id_key'],
      );
      assert.equal(await stored('thrown'), false);
      assert.equal(await stored('twice'), false);
      assert.equal(await backend(database), first);
      assert.equal(await database.writes(insert('after-the-rollback')), true);
      assert.equal(await stored('after-the-rollback'), true, 'no transaction was left open');
    });
  });
});
