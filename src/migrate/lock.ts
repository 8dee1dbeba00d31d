/**
 * One migration run at a time, by an advisory lock. It is held on a session of its own, which does nothing else: it
 * ends with the process, however that ends, and it survives every error of the session that does the work.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from './failure.ts';

/** Any number would do, as long as no other program locks it in the same database. The letters "cpmigrat" as bytes. */
const ADVISORY_LOCK_KEY = '7165347306621002100';

const POLL_MS = 200;
const TELL_EVERY_MS = 10_000;
/** Longer than the longest index build that anybody should wait for without looking. */
const GIVE_UP_AFTER_MS = 3_600_000;

export interface MigrationLock {
  /** Throws when the session that holds the lock is gone, and with it the lock. */
  check(): void;
}

/** `client` is connected and used for nothing else until it is ended, which gives the lock back. */
export async function takeMigrationLock(client: pg.Client, log: (line: string) => void): Promise<MigrationLock> {
  let lost: Error | undefined;
  client.on('error', (error) => (lost = error));
  client.on('end', () => (lost ??= new Error('the session ended')));

  const startedAt = Date.now();
  let toldAt = -Infinity;
  // Polled, never waited for: a session blocked in `select pg_advisory_lock(…)` is inside a statement, so it holds a
  // snapshot. `create index concurrently` in the run that has the lock waits for all older snapshots to go: each
  // would wait for the other, and PostgreSQL would end one of them as a deadlock.
  for (;;) {
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [
      ADVISORY_LOCK_KEY,
    ]);
    if (rows[0]?.taken === true) break;
    const waitedMs = Date.now() - startedAt;
    if (waitedMs > GIVE_UP_AFTER_MS) {
      throw new MigrationError('locked-out', `another migration run (${await holder(client)}) does not end`);
    }
    if (waitedMs - toldAt >= TELL_EVERY_MS) {
      toldAt = waitedMs;
      log(`waiting: another migration runs (${await holder(client)})`);
    }
    await sleep(POLL_MS);
  }
  return {
    check() {
      if (lost === undefined) return;
      throw new MigrationError('lock-lost', `the lock's session was lost (${lost.message}): run again`, {
        cause: lost,
      });
    },
  };
}

async function holder(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ pid: number }>(
    `select pid
       from pg_locks
      where locktype = 'advisory' and granted and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())
        and (classid::bigint << 32) + objid::bigint = $1`,
    [ADVISORY_LOCK_KEY],
  );
  return rows[0] === undefined ? 'just ended' : `server process ${rows[0].pid}`;
}
