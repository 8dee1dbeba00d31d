/**
 * Where the worker has a database user of its own, it owns nothing: what its statements need is granted, and no more. Done
 * after every migration, since each may make a table.
 */
import pg from 'pg';
import { runStatement } from './statements.ts';

/** The trigger on content_requests writes its line as whoever changed the row. */
export async function grantToWorker(client: pg.Client, role: string): Promise<void> {
  await runStatement(
    client,
    'MIGRATE_GRANT_TO',
    `grant select, insert, update on content_requests to ${pg.escapeIdentifier(role)}`,
    'grant',
  );
  await runStatement(
    client,
    'MIGRATE_GRANT_TO',
    `grant insert on request_events to ${pg.escapeIdentifier(role)}`,
    'grant',
  );
}
