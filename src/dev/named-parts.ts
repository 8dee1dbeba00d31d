/** Parts that the environment names: used instead of started, when they are on this machine and answer. */
import { Connection } from '@temporalio/client';
import pg from 'pg';
import { ConfigError, readBridgeConfig, readMigrateConfig, type Env, type TemporalConfig } from '../config.ts';
import { NAMES } from '../contract/names.ts';
import { connectionOf } from '../postgres-connection.ts';
import { ask as askEmulator } from './pubsub-emulator.ts';
import { codeOf, inWords, StartError } from './start-error.ts';

export interface NamedParts {
  /** Null = one is started. */
  readonly databaseUrl: string | null;
  readonly temporal: TemporalConfig | null;
  readonly pubsubHost: string | null;
  /** What is used, for people; no password is in it. */
  readonly lines: readonly string[];
}

const ANSWER_LIMIT_MS = 3_000;

function valueOf(env: Env, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

/** Throws one StartError with a line for each that is not usable. Changes nothing anywhere. */
export async function findNamedParts(env: Env): Promise<NamedParts> {
  const found = await Promise.allSettled([namedDatabase(env), namedTemporal(env), namedPubsub(env)]);
  const reasons = found.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []));
  const unexpected = reasons.find((reason) => !(reason instanceof StartError || reason instanceof ConfigError));
  if (unexpected) throw unexpected;
  const [database, temporal, pubsub] = found;
  if (database.status === 'rejected' || temporal.status === 'rejected' || pubsub.status === 'rejected') {
    throw new StartError(reasons.map(({ message }) => message).join('\n'));
  }
  const lines: string[] = [];
  if (database.value) lines.push(`PostgreSQL: yours at ${database.value.place} (DATABASE_URL)`);
  if (temporal.value) {
    lines.push(
      `Temporal: yours at ${temporal.value.address}, namespace ${temporal.value.namespace} (TEMPORAL_ADDRESS)`,
    );
  }
  if (pubsub.value) lines.push(`Pub/Sub emulator: yours at ${pubsub.value} (PUBSUB_EMULATOR_HOST)`);
  return { databaseUrl: database.value?.url ?? null, temporal: temporal.value, pubsubHost: pubsub.value, lines };
}

/** localhost, what its addresses are, and sockets. 0.0.0.0 is how gcloud prints its emulator's. */
export function isThisMachine(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare.endsWith('.localhost') || /^(127\.[\d.]+|::1|0\.0\.0\.0|::|\/.*)$/.test(bare);
}

/** A first start writes tables, messages and runs: nothing that a shell is set up for by chance may be hit. */
function refuseElsewhere(name: string, host: string, own: string): void {
  if (isThisMachine(host)) return;
  throw new StartError(
    `${name} names ${host}, which is not this machine, and npm start tries things out: ` +
      `run "unset ${name}" and it starts ${own} of its own; to work with ${host} there are ` +
      'npm run migrate, npm run worker and npm run bridge.',
  );
}

function silent(what: string, name: string, why: string): StartError {
  return new StartError(`${what} (${name}) ${why}; or run "unset ${name}" and npm start starts one of its own.`);
}

async function namedDatabase(env: Env): Promise<{ url: string; place: string } | null> {
  if (valueOf(env, 'DATABASE_URL') === undefined) return null;
  const { url } = readMigrateConfig({ DATABASE_URL: env['DATABASE_URL'] }).database;
  let client;
  try {
    client = new pg.Client({ ...connectionOf(url), connectionTimeoutMillis: ANSWER_LIMIT_MS });
  } catch (error) {
    throw silent('PostgreSQL', 'DATABASE_URL', `cannot be used (${codeOf(error) ?? 'it is no URL'}): correct it`);
  }
  const { host, port, database } = client;
  refuseElsewhere('DATABASE_URL', host, 'a PostgreSQL');
  const place = host.startsWith('/')
    ? `${host}, database ${String(database)}`
    : `${host}:${String(port)}/${String(database)}`;
  client.on('error', () => undefined);
  try {
    await client.connect();
    return { url, place };
  } catch (error) {
    const refused = error instanceof pg.DatabaseError;
    const why = refused
      ? `says no (${inWords(error)}): correct the URL`
      : `does not answer (${inWords(error)}): start it`;
    throw silent(`PostgreSQL at ${place}`, 'DATABASE_URL', why);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function namedTemporal(env: Env): Promise<TemporalConfig | null> {
  if (valueOf(env, 'TEMPORAL_ADDRESS') === undefined) return null;
  const ofTemporal = Object.entries(env).filter(([name]) => name.startsWith('TEMPORAL_'));
  // The bridge's own reading of TEMPORAL_*, profile and config file included, with the rest as it will be.
  const { temporal } = readBridgeConfig({ ...Object.fromEntries(ofTemporal), ...pubsubSettings('localhost:1') });
  refuseElsewhere('TEMPORAL_ADDRESS', temporal.address.replace(/:\d+$/, ''), 'a Temporal');
  const what = `Temporal at ${temporal.address}`;
  let connection;
  try {
    connection = await Connection.connect({ ...temporal.connection, connectTimeout: ANSWER_LIMIT_MS });
  } catch (error) {
    throw silent(what, 'TEMPORAL_ADDRESS', `does not answer (${inWords(error)}): start it`);
  }
  try {
    const { namespace } = temporal;
    await connection.withDeadline(Date.now() + ANSWER_LIMIT_MS, () =>
      connection.workflowService.describeNamespace({ namespace }),
    );
    return temporal;
  } catch (error) {
    throw silent(
      what,
      'TEMPORAL_ADDRESS',
      `cannot be used with the namespace ${temporal.namespace} (${inWords(error)}): ` +
        `run "temporal operator namespace create ${temporal.namespace} --address ${temporal.address}"`,
    );
  } finally {
    await connection.close();
  }
}

async function namedPubsub(env: Env): Promise<string | null> {
  const host = valueOf(env, 'PUBSUB_EMULATOR_HOST');
  if (host === undefined) return null;
  readBridgeConfig(pubsubSettings(host));
  refuseElsewhere('PUBSUB_EMULATOR_HOST', host.replace(/:\d+$/, ''), 'an emulator');
  try {
    await askEmulator(host);
    return host;
  } catch (error) {
    const why = `does not answer (${inWords(error)}): start it`;
    throw silent(`The Pub/Sub emulator at ${host}`, 'PUBSUB_EMULATOR_HOST', why);
  }
}

/** What the bridge needs to find its topics here. */
export function pubsubSettings(host: string): Readonly<Record<string, string>> {
  return {
    PUBSUB_EMULATOR_HOST: host,
    GOOGLE_CLOUD_PROJECT: NAMES.project,
    PUBSUB_TOPIC: NAMES.topic,
    PUBSUB_SUBSCRIPTION: NAMES.subscription,
    PUBSUB_DLQ_TOPIC: NAMES.deadLetterTopic,
    PUBSUB_DLQ_SUBSCRIPTION: NAMES.deadLetterSubscription,
  };
}
