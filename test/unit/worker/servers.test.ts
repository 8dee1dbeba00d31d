/** Who does not answer is told apart: the database's absence is an alert of its own, Temporal's is none. */
import assert from 'node:assert/strict';
import { DatabaseError, type DatabasePool } from '../../../src/activities/db.ts';
import { Away } from '../../../src/worker/patience.ts';
import { askServers, DatabaseRefuses } from '../../../src/worker/servers.ts';
import '../../support/quiet-runtime.ts';

/** Port 1 needs root to bind, and nothing does. */
const TEMPORAL = {
  connection: { address: '127.0.0.1:1' },
  address: '127.0.0.1:1',
  namespace: 'default',
  taskQueue: 'q',
};
const URL = 'postgresql://worker@127.0.0.1:1/vividly';

function databaseThat(code: string): DatabasePool {
  const fail = (): Promise<never> =>
    Promise.reject(new DatabaseError('read_schema', Object.assign(new Error('no'), { code })));
  return { many: fail, maybeOne: fail, writes: fail } as unknown as DatabasePool;
}

describe('the servers of a worker', () => {
  it('both away: both are named', async () => {
    await assert.rejects(askServers(databaseThat('ECONNREFUSED'), URL, TEMPORAL), (error) => {
      assert.ok(error instanceof Away, String(error));
      assert.deepEqual(error.servers, ['database', 'Temporal']);
      return true;
    });
  });

  it('a database that refuses is no wait, though Temporal is away', async () => {
    await assert.rejects(askServers(databaseThat('28P01'), URL, TEMPORAL), DatabaseRefuses);
  });
});
