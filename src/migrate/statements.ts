/** Runs statements of migrations: lock timeouts, repeats, and errors that name file and line. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { MigrationError } from './failure.ts';
import { isConcurrent } from './plan.ts';

/**
 * DDL that waits for a lock makes every later query on the table wait behind it. So it gives up soon, lets them pass
 * and comes again: 20 tries of 3 s with up to 5 s between bear a transaction of about two minutes.
 */
const LOCK_TIMEOUT_MS = 3_000;
const TRIES = 20;
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 5_000;

const TRANSIENT = new Map([
  ['55P03', 'a lock was not to be had in time'],
  ['40P01', 'a deadlock was broken'],
]);

/** `set` for the whole session; settings of the role or database could break a long build. */
export async function prepareSession(client: pg.Client): Promise<void> {
  await client.query(
    `set statement_timeout = 0;
     set idle_in_transaction_session_timeout = 0;
     set lock_timeout = ${LOCK_TIMEOUT_MS}`,
  );
  // The server notices within a second that this process was killed, instead of finishing a build for nobody.
  // PostgreSQL 14 and later, not on every platform: only a help.
  await client.query('set client_connection_check_interval = 1000').catch(() => undefined);
}

export async function runStatement(client: pg.Client, where: string, sql: string, bare: string): Promise<void> {
  // A concurrent build blocks no reader and no writer while it waits, and breaking it off leaves an INVALID index.
  const patient = isConcurrent(bare);
  try {
    if (patient) await client.query('set lock_timeout = 0');
    await client.query(sql);
  } catch (error) {
    throw describe(where, error);
  } finally {
    // A lost connection has been reported by the query above.
    if (patient) await client.query(`set lock_timeout = ${LOCK_TIMEOUT_MS}`).catch(() => undefined);
  }
}

/** `work` must be safe to repeat: a transaction that was rolled back, or one statement with if (not) exists. */
export async function withPatience(log: (line: string) => void, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return;
    } catch (error) {
      const reason = transientReason(error);
      if (reason === undefined || attempt === TRIES) throw error;
      const waitMs = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
      log(`${reason}: try ${attempt + 1} of ${TRIES} in ${waitMs} ms`);
      await sleep(waitMs);
    }
  }
}

function transientReason(error: unknown): string | undefined {
  const cause = error instanceof MigrationError ? error.cause : error;
  return cause instanceof pg.DatabaseError ? TRANSIENT.get(cause.code ?? '') : undefined;
}

function describe(where: string, error: unknown): MigrationError {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof pg.DatabaseError && error.code !== undefined ? ` (SQLSTATE ${error.code})` : '';
  const hint = error instanceof pg.DatabaseError && error.hint !== undefined ? ` ${error.hint}` : '';
  return new MigrationError('statement', `${where}: ${message}${code}${hint}`, { cause: error });
}
