/** `npm run smoke`: does this deployment work? Exit codes: exit.ts. */
import { PubSub } from '@google-cloud/pubsub';
import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError, Option } from 'commander';
import { buildIdArgument } from '../arguments.ts';
import { systemClock, within } from '../bridge/clock.ts';
import { describeError } from '../bridge/grpc.ts';
import { topicName } from '../bridge/pubsub-names.ts';
import { ConfigError, readSmokeConfig, type SmokeConfig } from '../config.ts';
import { placeOf } from '../postgres-connection.ts';
import { EXIT_CODE } from './exit.ts';
import { MAX_MESSAGES, smokeOnBuild } from './on-build.ts';
import { smoke, tableOf, type Outcome, type Publish } from './smoke.ts';
import { watchBoth, watchRow, watchRun, type Seen, type SeenRun, type Watch } from './watch.ts';

interface Flags {
  readonly via?: 'postgres' | 'temporal';
  readonly buildId?: string;
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

function namedWatch<S extends Seen>(who: string, watch: Watch<S>): Watch<S> {
  return { ...watch, look: (correlationId) => named(who, watch.look(correlationId)) };
}

async function openRows(config: SmokeConfig, via: Flags['via']): Promise<Watch | null> {
  const { database } = config;
  if (database !== null && via !== 'temporal') {
    const who = `PostgreSQL at ${placeOf(database.url)}`;
    return namedWatch(who, await named(who, watchRow(database)));
  }
  if (via === 'postgres') {
    throw new ConfigError(['DATABASE_URL: is not set; set it, or ask the run instead: --via temporal.']);
  }
  return null;
}

async function openRuns({ temporal, deploymentName }: SmokeConfig): Promise<Watch<SeenRun>> {
  const who = `Temporal at ${temporal.address}, namespace ${temporal.namespace}`;
  const connection = await named(who, Connection.connect(temporal.connection));
  return namedWatch(who, watchRun(new Client({ connection, namespace: temporal.namespace }), deploymentName));
}

/** What is watched, and how: opened before anything is published. */
async function open(
  config: SmokeConfig,
  { via, buildId, waitSeconds }: Flags,
): Promise<{ readonly watch: Watch; readonly follow: (publish: Publish) => Promise<Outcome> }> {
  const rows = await openRows(config, via);
  const waitMs = waitSeconds * 1_000;
  if (buildId === undefined) {
    const watch = rows ?? (await openRuns(config));
    return { watch, follow: (publish) => smoke(publish, watch, waitMs, console.log) };
  }
  const runs = await openRuns(config);
  const watch = rows === null ? runs : watchBoth(rows, runs);
  return { watch, follow: (publish) => smokeOnBuild(publish, watch, buildId, waitMs, console.log, systemClock) };
}

async function run(flags: Flags): Promise<Outcome['reason']> {
  const config = readSmokeConfig(process.env);
  for (const warning of config.warnings) console.error(`warning: ${warning}`);
  // Else every client asks the metadata server for credentials that an emulator never reads.
  if (process.env['PUBSUB_EMULATOR_HOST'] !== undefined) process.env['METADATA_SERVER_DETECTION'] ??= 'none';
  const { watch, follow } = await open(config, flags);
  const pubsub = new PubSub({ projectId: config.project });
  try {
    const name = topicName(config.project, config.topic);
    const topic = pubsub.topic(name, { batching: { maxMessages: 1 }, gaxOpts: { timeout: PUBLISH_MS } });
    const { reason, row, verdict } = await follow((body) =>
      named(name, topic.publishMessage({ data: Buffer.from(body) })),
    );
    console.log(`\n${watch.asked}\n\n${tableOf(row)}\n`);
    (reason === 'completed' ? console.log : console.error)(verdict);
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
  .option(
    '--build-id <id>',
    `publishes up to ${String(MAX_MESSAGES)} messages, until one has run on this build; asks Temporal, too`,
    buildIdArgument,
  )
  // The scheduler starts a bridge every minute; a slow provider takes its three minutes.
  .option('--wait-seconds <n>', 'how long it may take, all messages together', seconds, 300);

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
