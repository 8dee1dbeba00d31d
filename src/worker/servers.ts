/** PostgreSQL and Temporal as the worker asks them at its start, once each: there, away, or a refusal that ends the start. */
import { NativeConnection } from '@temporalio/worker';
import { DatabaseError, type DatabasePool } from '../activities/db.ts';
import { schemaFaults } from '../activities/schema.ts';
import { ConfigError, type TemporalConfig } from '../config.ts';
import { abortable } from '../generators/abortable.ts';
import { placeOf, tlsTrouble } from '../postgres-connection.ts';
import { Away } from './patience.ts';
import { databaseRefusal, inWords, temporalRefusal } from './refusals.ts';

/** No connection to the database, and no wait mends it: user, password, database, certificate. */
export class DatabaseRefuses extends ConfigError {}

/** Core itself gives a silent server up after 30 s. */
const TEMPORAL_DEADLINE_MS = 10_000;

/** Both at once: who refuses is heard though the other is silent. Rejects with Away, or with a ConfigError. */
export async function askServers(
  database: DatabasePool,
  databaseUrl: string,
  temporal: TemporalConfig,
): Promise<NativeConnection> {
  const away: Away[] = [];
  const unlessAway = async <T>(asked: Promise<T>): Promise<T | undefined> => {
    try {
      return await asked;
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      away.push(error);
      return undefined;
    }
  };
  const [connection] = await Promise.all([
    unlessAway(askTemporal(temporal)),
    unlessAway(askDatabase(database, databaseUrl)),
  ]);
  if (away.length === 0 && connection !== undefined) return connection;
  // Connected anew at the next try: this one may be dead by then, and nobody would see it.
  await connection?.close();
  throw new Away(
    away.map(({ message }) => message).join('; '),
    away.flatMap(({ servers }) => servers),
  );
}

async function askDatabase(database: DatabasePool, url: string): Promise<void> {
  const where = `the database at ${placeOf(url)}`;
  const faults = await schemaFaults(database).catch((error: unknown) => {
    if (!(error instanceof DatabaseError)) throw error;
    const trouble = tlsTrouble(error, placeOf(url));
    if (trouble !== null) throw new DatabaseRefuses([trouble]);
    const fix = databaseRefusal(error);
    if (fix !== null) throw new DatabaseRefuses([`${where} refuses the worker (${inWords(error)}); ${fix}.`]);
    throw new Away(`${where} does not answer (${inWords(error)})`, ['database']);
  });
  if (faults.length === 0) return;
  throw new ConfigError([
    `${where} does not fit this worker:`,
    ...faults.map((fault) => `  ${fault}`),
    '  mend it with: npm run migrate',
    // Its ledger knows what was applied, not what was changed by hand since.
    '  where it has nothing left to apply: psql -v ON_ERROR_STOP=1 -f migrations/create_content_requests.sql "$DATABASE_URL"',
  ]);
}

async function askTemporal(temporal: TemporalConfig): Promise<NativeConnection> {
  const connecting = NativeConnection.connect(temporal.connection);
  try {
    const connection = await abortable(connecting, AbortSignal.timeout(TEMPORAL_DEADLINE_MS));
    await connection.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, () =>
      connection.workflowService.describeNamespace({ namespace: temporal.namespace }),
    );
    return connection;
  } catch (error) {
    // It may still come, and nobody will want it.
    connecting.then((late) => late.close()).catch(() => undefined);
    throw ofTemporal(error, temporal);
  }
}

/** What is neither a refusal nor an outage is a bug, and passes on as it is. */
export function ofTemporal(error: unknown, { address, namespace }: TemporalConfig): unknown {
  const where = `Temporal at ${address}, namespace ${namespace},`;
  const fix = temporalRefusal(error, namespace);
  if (fix !== null) return new ConfigError([`${where} refuses the worker (${inWords(error)}); ${fix}.`]);
  return isOutage(error) ? new Away(`${where} does not answer (${inWords(error)})`, ['Temporal']) : error;
}

function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // No connection; the deadline of ours; a gRPC status.
  return ['TransportError', 'TimeoutError'].includes(error.name) || ('code' in error && typeof error.code === 'number');
}
