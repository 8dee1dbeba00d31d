/** `npm run smoke`: does this deployment work? Exit codes: exit.ts. */
import { PubSub } from '@google-cloud/pubsub';
import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock, within } from '../bridge/clock.ts';
import { describeError } from '../bridge/grpc.ts';
import { topicName } from '../bridge/pubsub-names.ts';
import { ConfigError, readSmokeConfig, type SmokeConfig } from '../config.ts';
import { placeOf } from '../postgres-connection.ts';
import { EXIT_CODE } from './exit.ts';
import { smoke, tableOf, type Outcome } from './smoke.ts';
import { watchRow, watchRun, type Watch } from './watch.ts';

interface Flags {
  readonly via?: 'postgres' | 'temporal';
  readonly waitSeconds: number;
}

const PUBLISH_MS = 15_000;
const CLOSE_LIMIT_MS = 3_000;

/** Somebody does not answer, or refuses. */
class Unavailable extends Error {}

async function named<T>(who: string, asked: Promise<T>): Promise<T> {
  return asked.catch((error: unknown) => {
    throw new Unavailable(`${who}: ${describeError(error)}`, { cause: error });
  });
}

async function openWatch(config: SmokeConfig, via: Flags['via']): Promise<Watch> {
  const { database, temporal } = config;
  if (via !== 'temporal' && database !== null) {
    const who = `PostgreSQL at ${placeOf(database.url)}`;
    const watch = await named(who, watchRow(database));
    return { ...watch, look: (correlationId) => named(who, watch.look(correlationId)) };
  }
  if (via === 'postgres') {
    throw new ConfigError(['DATABASE_URL: is not set; set it, or ask the run instead: --via temporal.']);
  }
  const who = `Temporal at ${temporal.address}, namespace ${temporal.namespace}`;
  const connection = await named(who, Connection.connect(temporal.connection));
  const watch = watchRun(new Client({ connection, namespace: temporal.namespace }));
  return { ...watch, look: (correlationId) => named(who, watch.look(correlationId)) };
}

async function run({ via, waitSeconds }: Flags): Promise<Outcome['reason']> {
  const config = readSmokeConfig(process.env);
  for (const warning of config.warnings) console.error(`warning: ${warning}`);
  // Else every client asks the metadata server for credentials that an emulator never reads.
  if (process.env['PUBSUB_EMULATOR_HOST'] !== undefined) process.env['METADATA_SERVER_DETECTION'] ??= 'none';
  const watch = await openWatch(config, via);
  const pubsub = new PubSub({ projectId: config.project });
  try {
    const name = topicName(config.project, config.topic);
    const topic = pubsub.topic(name, { batching: { maxMessages: 1 }, gaxOpts: { timeout: PUBLISH_MS } });
    const publish = (body: string): Promise<string> => named(name, topic.publishMessage({ data: Buffer.from(body) }));
    const { reason, row } = await smoke(publish, watch, waitSeconds * 1_000, console.log);
    console.log(`\n${watch.asked}\n\n${tableOf(row)}\n`);
    const late =
      row === null ? 'nobody has taken the message: does the bridge run?' : 'does a worker of the current build poll?';
    if (reason === 'completed') console.log('passed');
    else if (reason === 'failed') console.error('FAILED: it did not end as completed');
    else console.error(`TIMED OUT after ${String(waitSeconds)} s: ${late}`);
    return reason;
  } finally {
    const closing = Promise.allSettled([watch.close(), pubsub.close()]);
    // The process ends after it, and with it what cannot be closed now: a server that is gone must not delay that.
    await within(systemClock, CLOSE_LIMIT_MS, 'close', closing).catch(() => undefined);
  }
}

function seconds(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) < 1) throw new InvalidArgumentError('a whole number from 1 on');
  return Number(text);
}

const command = new Command('smoke')
  .description("Publishes the deployment plan's test message under a fresh correlation id, and waits for its end.")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_CODE.configuration))
  .addOption(
    new Option('--via <where>', 'where its end is looked for; the row, unless DATABASE_URL is not set').choices([
      'postgres',
      'temporal',
    ]),
  )
  // The scheduler starts a bridge every minute; a slow provider takes its three minutes.
  .option('--wait-seconds <n>', 'how long it may take', seconds, 300);

run(command.parse().opts<Flags>()).then(
  (reason) => process.exit(EXIT_CODE[reason]),
  (error: unknown) => {
    if (error instanceof ConfigError) {
      console.error(error.message);
      process.exit(EXIT_CODE.configuration);
    }
    if (error instanceof Unavailable) {
      console.error(`smoke: ${error.message}`);
      process.exit(EXIT_CODE.unavailable);
    }
    console.error(error);
    process.exit(EXIT_CODE.unexpected);
  },
);
