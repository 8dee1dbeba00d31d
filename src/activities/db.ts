/** The pool, its timeouts, and the one error that database trouble becomes. */
import pg from 'pg';
import type { DatabaseConfig } from '../config.ts';
import { connectionOf } from '../postgres-connection.ts';
import type { Statement } from './sql.ts';

/**
 * Trouble with the database. `permanent` = PostgreSQL refused the data itself (see REFUSED), so the
 * same write can never work; everything else (connection, lock, shutdown, privileges, a missing table) is infrastructure
 * that somebody mends, and is retried without end.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly permanent: boolean;
  /** SQLSTATE, errno, or `unknown`. */
  readonly code: string;
  readonly constraint: string | null;
  /** About the connection, not the statement: there is none, or it broke. */
  readonly ofConnection: boolean;

  constructor(statement: string, cause: unknown) {
    const code = codeOf(cause);
    // The message goes to histories, letters and logs, so it holds no value of a row. PostgreSQL puts those into DETAIL,
    // but class 22 quotes the value it refuses in the message itself, in the quotation marks of its language; the cause,
    // which loggers print, would do the same.
    const quotes = /^22...$/.test(code);
    const text = cause instanceof Error && !quotes ? ` ${cause.message}` : '';
    super(`${statement}: ${code}${text}`, quotes ? {} : { cause });
    this.code = code;
    this.permanent = isSqlState(code) && REFUSED.test(code);
    this.ofConnection = !isSqlState(code) || NO_CONNECTION.test(code);
    this.constraint = cause instanceof pg.DatabaseError ? (cause.constraint ?? null) : null;
  }
}

/** The data itself: 22 data exception, 23 constraint, 44 check option, 54 program limit, P0001 raised by a trigger. */
const REFUSED = /^(22|23|44|54|P0001)/;

/**
 * PostgreSQL takes or keeps no connection: 08 connection exception, 28 refused user or password, 3D000 no such database, 53300
 * too many connections, 57P01 to 57P05 it shuts down, starts, or drops what is idle. What has no SQLSTATE did not reach it.
 */
const NO_CONNECTION = /^(08...|28...|3D000|53300|57P0[1-5])$/;

/** https://www.postgresql.org/docs/current/errcodes-appendix.html; errno names such as EPIPE have five letters, too. */
function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code);
}

function codeOf(cause: unknown): string {
  if (typeof cause === 'object' && cause !== null && 'code' in cause && typeof cause.code === 'string') {
    return cause.code;
  }
  return 'unknown';
}

/** One row, none, or an array: what the caller may rely on stands in the method's name. */
export interface Database {
  maybeOne<Row extends object>(statement: Statement): Promise<Row | undefined>;
  many<Row extends object>(statement: Statement): Promise<Row[]>;
  /** Whether the write found its row. */
  writes(statement: Statement): Promise<boolean>;
}

export interface DatabasePool extends Database {
  inTransaction<T>(work: (database: Database) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

function on(queryable: pg.Pool | pg.PoolClient): Database {
  const run = async <Row extends object>(statement: Statement): Promise<pg.QueryResult<Row>> => {
    try {
      // Without its name, which would make it a prepared statement of the connection: behind a pooler that lends a
      // connection for one transaction (PgBouncer) the next one is another, and the statement is not there.
      const { text, values } = statement;
      return await queryable.query<Row>({ text, values });
    } catch (error) {
      throw new DatabaseError(statement.name, error);
    }
  };
  return {
    maybeOne: async <Row extends object>(statement: Statement) => (await run<Row>(statement)).rows[0],
    many: async <Row extends object>(statement: Statement) => (await run<Row>(statement)).rows,
    writes: async (statement) => ((await run(statement)).rowCount ?? 0) > 0,
  };
}

export function openDatabase(
  config: DatabaseConfig,
  options: { applicationName: string; onIdleError: (error: Error) => void },
): DatabasePool {
  const pool = new pg.Pool({
    ...connectionOf(config.url),
    application_name: options.applicationName,
    max: config.poolSize,
    connectionTimeoutMillis: config.connectTimeoutMs,
    statement_timeout: config.statementTimeoutMs,
    // A half-open connection swallows the query and never answers: the client gives up on its own, a little later
    // than the server would, so that the server's better error wins where there is one.
    query_timeout: config.statementTimeoutMs + 2_000,
    idle_in_transaction_session_timeout: config.statementTimeoutMs,
    keepAlive: true,
    // An adopted table holds timestamps without a zone; they are compared and written as UTC.
    options: '-c timezone=UTC',
  });
  // A connection that dies while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', options.onIdleError);
  // Between the pool's listener and ours stands a promise, and PostgreSQL's last word may be in the same packet as the
  // answer before it: read in one go, it would find no listener and end the process (5 workers in one run of chaos). The
  // error itself is told by the query that meets the dead connection, or by the listener of its time.
  pool.on('connect', (client) => {
    client.on('error', () => undefined);
  });
  return {
    ...on(pool),
    inTransaction: async (work) => {
      const client = await pool.connect().catch((error: unknown) => {
        throw new DatabaseError('connect', error);
      });
      let broken: Error | undefined;
      // The pool listens to idle connections only: one that dies while it is lent would end the process.
      const onLost = (error: Error): void => {
        broken = error;
      };
      client.on('error', onLost);
      try {
        const database = on(client);
        await database.writes(plain('begin'));
        const result = await work(database);
        await database.writes(plain('commit'));
        return result;
      } catch (error) {
        if (error instanceof DatabaseError && !isSqlState(error.code)) {
          // The server did not answer: a rollback would wait as long again. It rolls back when the pool drops us.
          broken = error;
        } else {
          await client.query('rollback').catch((rollbackError: unknown) => {
            broken = rollbackError instanceof Error ? rollbackError : new Error(String(rollbackError));
          });
        }
        throw error;
      } finally {
        client.off('error', onLost);
        client.release(broken);
      }
    },
    close: () => pool.end(),
  };
}

const plain = (text: string): Statement => ({ name: text, text, values: [], index: null });
