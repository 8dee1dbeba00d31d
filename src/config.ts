/** Environment -> typed configuration. Every fault is told at once, and none of them shows a secret. */
import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { NAMES } from './contract/names.ts';
import type { RetryPolicy } from './contract/retry-policy.ts';
import { readGenerator, type GeneratorConfig } from './config-generator.ts';
import { FALSE, LOOPBACK, Reader, TRUE, type Env } from './config-reader.ts';
import { SETTINGS } from './settings.ts';

export type { GeminiConfig, GeneratorConfig, HttpGeneratorConfig } from './config-generator.ts';
export { ConfigError, type Env } from './config-reader.ts';
export { SETTINGS };

/** Temporal as @temporalio/envconfig reads it; the options fit Connection and NativeConnection. */
export interface TemporalConfig {
  readonly connection: NativeConnectionOptions;
  readonly address: string;
  readonly namespace: string;
  readonly taskQueue: string;
}

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  /** json for Cloud Logging; pretty on a terminal. */
  readonly format: 'json' | 'pretty';
  /** GOOGLE_CLOUD_PROJECT, for trace fields. */
  readonly project: string | null;
}

/** What is done as it is asked for and weakens the process: a main logs each. */
export type Warnings = readonly string[];

export interface BridgeConfig {
  readonly project: string;
  /** Pub/Sub is an emulator: there is no Cloud console to link to. */
  readonly emulator: boolean;
  readonly subscription: string;
  readonly topic: string;
  readonly deadLetterTopic: string;
  readonly deadLetterSubscription: string;
  readonly temporal: TemporalConfig;
  readonly retry: RetryPolicy;
  /** Health port; null = none. */
  readonly port: number | null;
  readonly healthHost: string;
  /** Messages that may be in hand at once. */
  readonly concurrency: number;
  readonly pullTimeoutMs: number;
  /** Lease asked for at each renewal; the subscription's own ack deadline is the same. */
  readonly ackDeadlineSeconds: number;
  readonly leaseRenewMs: number;
  readonly idleWindowMs: number;
  readonly maxRuntimeMs: number;
  /** 0 = no limit. */
  readonly maxMessages: number;
  readonly startDeadlineMs: number;
  readonly publishDeadlineMs: number;
  /** How long an open breaker is borne in drain mode before the bridge gives back and exits 3 or 4. */
  readonly outageLimitMs: number;
  readonly breakerThreshold: number;
  readonly shutdownMs: number;
  readonly rejectStop: boolean;
  readonly rejectAlarmCount: number;
  readonly rejectAlarmRatio: number;
  /** A run that is open for longer is told of. */
  readonly openTooLongMs: number;
  readonly log: LogConfig;
  readonly warnings: Warnings;
}

export interface DatabaseConfig {
  readonly url: string;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

/** One build of the worker, as Temporal tells versions apart. */
export interface WorkerVersion {
  readonly deploymentName: string;
  readonly buildId: string;
}

export interface WorkerConfig {
  readonly temporal: TemporalConfig;
  readonly database: DatabaseConfig;
  readonly generator: GeneratorConfig;
  readonly generatorTimeoutMs: number;
  readonly mediaTimeoutMs: number;
  readonly activitySlots: number;
  readonly maxCachedWorkflows: number;
  /** Null = this worker takes runs of any build. */
  readonly versioning: WorkerVersion | null;
  /** Prebuilt workflow bundle; null = bundle the sources at start. */
  readonly workflowBundle: string | null;
  readonly shutdownGraceMs: number;
  readonly shutdownForceMs: number;
  readonly port: number | null;
  readonly healthHost: string;
  readonly log: LogConfig;
  readonly warnings: Warnings;
}

export interface MigrateConfig {
  /** Without limits on statements: a concurrent index build may take hours. */
  readonly database: Pick<DatabaseConfig, 'url' | 'connectTimeoutMs'>;
  /** The worker's database user, where it is another one. */
  readonly grantTo: string | null;
  readonly log: LogConfig;
  readonly warnings: Warnings;
}

/** Tries that a single message makes within 28 s, one lease: with few messages in hand it is they that open the breaker. */
const LONE_TRIES = 10;

export function readBridgeConfig(env: Env): BridgeConfig {
  const reader = new Reader(env, 'bridge');
  const config: BridgeConfig = {
    project: reader.resource('GOOGLE_CLOUD_PROJECT') ?? '',
    emulator: reader.raw('PUBSUB_EMULATOR_HOST') !== undefined,
    subscription: reader.resource('PUBSUB_SUBSCRIPTION') ?? '',
    topic: reader.resource('PUBSUB_TOPIC') ?? '',
    deadLetterTopic: reader.resource('PUBSUB_DLQ_TOPIC') ?? '',
    deadLetterSubscription: reader.resource('PUBSUB_DLQ_SUBSCRIPTION') ?? '',
    temporal: readTemporal(reader),
    retry: {
      maxAttempts: reader.number('RETRY_MAX_ATTEMPTS'),
      firstWaitMs: reader.number('RETRY_FIRST_WAIT_MS'),
      factor: reader.number('RETRY_FACTOR'),
      maxWaitMs: reader.number('RETRY_MAX_WAIT_MS'),
      maxAgeMs: reader.number('RETRY_MAX_AGE_MS'),
    },
    port: reader.optionalNumber('PORT'),
    healthHost: readHealthHost(reader),
    concurrency: reader.number('BRIDGE_CONCURRENCY'),
    pullTimeoutMs: reader.number('BRIDGE_PULL_TIMEOUT_MS'),
    ackDeadlineSeconds: reader.number('BRIDGE_ACK_DEADLINE_SECONDS'),
    leaseRenewMs: reader.number('BRIDGE_LEASE_RENEW_MS'),
    idleWindowMs: reader.number('BRIDGE_IDLE_WINDOW_MS'),
    maxRuntimeMs: reader.number('BRIDGE_MAX_RUNTIME_MS'),
    maxMessages: reader.number('BRIDGE_MAX_MESSAGES'),
    startDeadlineMs: reader.number('BRIDGE_START_DEADLINE_MS'),
    publishDeadlineMs: reader.number('BRIDGE_PUBLISH_DEADLINE_MS'),
    outageLimitMs: reader.number('BRIDGE_OUTAGE_LIMIT_MS'),
    breakerThreshold: reader.number('BRIDGE_BREAKER_THRESHOLD'),
    shutdownMs: reader.number('BRIDGE_SHUTDOWN_MS'),
    rejectStop: reader.boolean('BRIDGE_REJECT_STOP'),
    rejectAlarmCount: reader.number('BRIDGE_REJECT_ALARM_COUNT'),
    rejectAlarmRatio: reader.number('BRIDGE_REJECT_ALARM_RATIO'),
    openTooLongMs: reader.number('BRIDGE_OPEN_TOO_LONG_MS'),
    log: readLog(reader),
    warnings: reader.warnings,
  };
  checkUnused(reader);
  checkEmulator(reader);
  reader.check(
    'PUBSUB_DLQ_TOPIC',
    ['PUBSUB_TOPIC'],
    config.deadLetterTopic !== config.topic,
    'is PUBSUB_TOPIC itself, so every dead letter would come back as a request',
    `set it to ${NAMES.deadLetterTopic}`,
  );
  reader.check(
    'PUBSUB_DLQ_SUBSCRIPTION',
    ['PUBSUB_SUBSCRIPTION'],
    config.deadLetterSubscription !== config.subscription,
    'is PUBSUB_SUBSCRIPTION itself, so the dead letters would be read as requests',
    `set it to ${NAMES.deadLetterSubscription}`,
  );
  reader.check(
    'BRIDGE_LEASE_RENEW_MS',
    ['BRIDGE_ACK_DEADLINE_SECONDS'],
    config.leaseRenewMs * 2 <= config.ackDeadlineSeconds * 1000,
    'is above half of BRIDGE_ACK_DEADLINE_SECONDS, so one lost renewal would lose the lease',
    'set it to a third of the ack deadline',
  );
  reader.check(
    'BRIDGE_START_DEADLINE_MS',
    ['BRIDGE_ACK_DEADLINE_SECONDS'],
    config.startDeadlineMs <= config.ackDeadlineSeconds * 1000,
    'is above BRIDGE_ACK_DEADLINE_SECONDS, so one call could outlast the lease of its message, and another bridge would start it too',
    "lower it, or raise the ack deadline, the subscription's as well",
  );
  reader.check(
    'BRIDGE_BREAKER_THRESHOLD',
    ['BRIDGE_CONCURRENCY'],
    config.breakerThreshold <= Math.max(config.concurrency, LONE_TRIES),
    `is above BRIDGE_CONCURRENCY, so an outage would not stop the pulling when every message in hand has met it`,
    `lower it to BRIDGE_CONCURRENCY, or to ${String(LONE_TRIES)}, which may always be`,
  );
  reader.check(
    'BRIDGE_IDLE_WINDOW_MS',
    ['BRIDGE_PULL_TIMEOUT_MS'],
    config.idleWindowMs >= config.pullTimeoutMs,
    'is below BRIDGE_PULL_TIMEOUT_MS, so no empty poll would fit into it',
    'set it to three pull timeouts',
  );
  reader.check(
    'BRIDGE_MAX_RUNTIME_MS',
    ['BRIDGE_IDLE_WINDOW_MS'],
    config.maxRuntimeMs > config.idleWindowMs,
    'is not above BRIDGE_IDLE_WINDOW_MS, so no run could ever end as drained',
    'raise it, and the task timeout of the job with it',
  );
  reader.check(
    'BRIDGE_OUTAGE_LIMIT_MS',
    ['BRIDGE_START_DEADLINE_MS'],
    config.outageLimitMs >= config.startDeadlineMs,
    'is below BRIDGE_START_DEADLINE_MS, so one slow call would count as an outage',
    'raise it, or lower the deadline',
  );
  reader.check(
    'RETRY_FIRST_WAIT_MS',
    ['RETRY_MAX_WAIT_MS'],
    config.retry.firstWaitMs <= config.retry.maxWaitMs,
    'is above RETRY_MAX_WAIT_MS',
    'lower it, or raise the maximum',
  );
  return reader.done(config);
}

export function readWorkerConfig(env: Env): WorkerConfig {
  const reader = new Reader(env, 'worker');
  const config: WorkerConfig = {
    temporal: readTemporal(reader),
    database: readDatabase(reader),
    generator: readGenerator(reader),
    generatorTimeoutMs: reader.number('GENERATOR_TIMEOUT_MS'),
    mediaTimeoutMs: reader.number('GENERATOR_MEDIA_TIMEOUT_MS'),
    activitySlots: reader.number('WORKER_ACTIVITY_SLOTS'),
    maxCachedWorkflows: reader.number('WORKER_MAX_CACHED_WORKFLOWS'),
    versioning: readVersioning(reader),
    workflowBundle: reader.text('WORKER_WORKFLOW_BUNDLE'),
    shutdownGraceMs: reader.number('WORKER_SHUTDOWN_GRACE_MS'),
    shutdownForceMs: reader.number('WORKER_SHUTDOWN_FORCE_MS'),
    port: reader.optionalNumber('PORT'),
    healthHost: readHealthHost(reader),
    log: readLog(reader),
    warnings: reader.warnings,
  };
  checkUnused(reader);
  if (config.workflowBundle !== null && !existsSync(config.workflowBundle)) {
    reader.fault('WORKER_WORKFLOW_BUNDLE', 'names a file that is not there', 'build the bundle, or unset it');
  }
  reader.check(
    'WORKER_SHUTDOWN_GRACE_MS',
    ['WORKER_SHUTDOWN_FORCE_MS'],
    config.shutdownGraceMs < config.shutdownForceMs,
    'is not below WORKER_SHUTDOWN_FORCE_MS, so cancelled activities would have no time to end',
    'lower it, or raise the other',
  );
  return reader.done(config);
}

/** Of the worker's settings only those of the generator; for whoever starts none. */
export function readGeneratorConfig(env: Env): GeneratorConfig {
  const reader = new Reader(env, 'worker');
  return reader.done(readGenerator(reader));
}

/** TEMPORAL_* only; for whoever speaks to Temporal alone. */
export function readTemporalConfig(env: Env): TemporalConfig {
  const reader = new Reader(env, 'rollout');
  return reader.done(readTemporal(reader));
}

export interface RolloutConfig {
  readonly temporal: TemporalConfig;
  readonly deploymentName: string;
  readonly warnings: Warnings;
}

export function readRolloutConfig(env: Env): RolloutConfig {
  const reader = new Reader(env, 'rollout');
  return reader.done({
    temporal: readTemporal(reader),
    deploymentName: readDeploymentName(reader),
    warnings: reader.warnings,
  });
}

export interface SmokeConfig {
  readonly project: string;
  readonly topic: string;
  readonly temporal: TemporalConfig;
  /** Whose build a run is on. */
  readonly deploymentName: string;
  /** Null = the row cannot be asked for from here. */
  readonly database: MigrateConfig['database'] | null;
  readonly warnings: Warnings;
}

export function readSmokeConfig(env: Env): SmokeConfig {
  const reader = new Reader(env, 'smoke');
  const config = {
    project: reader.resource('GOOGLE_CLOUD_PROJECT') ?? '',
    topic: reader.resource('PUBSUB_TOPIC') ?? '',
    temporal: readTemporal(reader),
    deploymentName: readDeploymentName(reader),
    database: readServer(reader),
    warnings: reader.warnings,
  };
  checkEmulator(reader);
  return reader.done({ ...config, database: config.database.url === '' ? null : config.database });
}

export interface LettersConfig {
  readonly project: string;
  /** Where a letter is replayed to. */
  readonly topic: string;
  readonly deadLetterSubscription: string;
}

export function readLettersConfig(env: Env): LettersConfig {
  const reader = new Reader(env, 'letters');
  const config = {
    project: reader.resource('GOOGLE_CLOUD_PROJECT') ?? '',
    topic: reader.resource('PUBSUB_TOPIC') ?? '',
    deadLetterSubscription: reader.resource('PUBSUB_DLQ_SUBSCRIPTION') ?? '',
  };
  checkEmulator(reader);
  return reader.done(config);
}

export function readMigrateConfig(env: Env): MigrateConfig {
  const reader = new Reader(env, 'migrate');
  return reader.done({
    database: readServer(reader),
    grantTo: reader.text('MIGRATE_GRANT_TO'),
    log: readLog(reader),
    warnings: reader.warnings,
  });
}

function readServer(reader: Reader): MigrateConfig['database'] {
  return {
    url: reader.databaseUrl('DATABASE_URL'),
    connectTimeoutMs: reader.number('DATABASE_CONNECT_TIMEOUT_MS'),
  };
}

function readDatabase(reader: Reader): DatabaseConfig {
  return {
    ...readServer(reader),
    poolSize: reader.number('DATABASE_POOL_SIZE'),
    statementTimeoutMs: reader.number('DATABASE_STATEMENT_TIMEOUT_MS'),
  };
}

function readVersioning(reader: Reader): WorkerVersion | null {
  const deploymentName = readDeploymentName(reader);
  const buildId = reader.text('BUILD_ID');
  if (!reader.boolean('WORKER_VERSIONING')) return null;
  if (buildId === null) {
    reader.fault('BUILD_ID', 'is not set, and WORKER_VERSIONING needs it', 'the image sets it: do not unset it');
  } else if (!BUILD_ID.test(buildId)) {
    reader.fault('BUILD_ID', 'is no build id', `set it to ${BUILD_ID_FORM}`);
  }
  return { deploymentName, buildId: buildId ?? '' };
}

function readDeploymentName(reader: Reader): string {
  const name = reader.text('WORKER_DEPLOYMENT_NAME') ?? NAMES.service;
  // Temporal keeps "." and ":" for itself, between the name and the build id, and names that begin with "__".
  if (!/^(?!__)[A-Za-z0-9_-]{1,100}$/.test(name)) {
    reader.fault('WORKER_DEPLOYMENT_NAME', 'is no name', 'use letters, digits, "-" and "_", not "__" first');
  }
  return name;
}

function readHealthHost(reader: Reader): string {
  const host = reader.text('HEALTH_HOST') ?? '0.0.0.0';
  // A name would be looked up, and may be another address tomorrow.
  if (isIP(host) === 0) reader.fault('HEALTH_HOST', 'is no IP address', 'set it to 0.0.0.0, or 127.0.0.1');
  return host;
}

function readLog(reader: Reader): LogConfig {
  const debug = TRUE.test(reader.text('DEBUG') ?? '');
  return {
    level: reader.choice('LOG_LEVEL', ['trace', 'debug', 'info', 'warn', 'error']) ?? (debug ? 'debug' : 'info'),
    // isTTY is undefined, not false, where stdout is a pipe.
    format: reader.choice('LOG_FORMAT', ['json', 'pretty']) ?? (process.stdout.isTTY ? 'pretty' : 'json'),
    project: reader.resource('GOOGLE_CLOUD_PROJECT'),
  };
}

function readTemporal(reader: Reader): TemporalConfig {
  const taskQueue = reader.text('TEMPORAL_TASK_QUEUE') ?? NAMES.taskQueue;
  const config = {
    connection: {},
    address: DEFAULT_TEMPORAL_ADDRESS,
    namespace: NAMES.namespace as string,
    taskQueue,
  } satisfies TemporalConfig;
  if (taskQueue === NAMES.deadLetterTaskQueue) {
    reader.fault(
      'TEMPORAL_TASK_QUEUE',
      'is the queue of the dead letters',
      `set it to ${NAMES.taskQueue}, or unset it`,
    );
  }

  const env = reader.temporalEnv();
  for (const name of ['TEMPORAL_TLS', 'TEMPORAL_TLS_DISABLE_HOST_VERIFICATION']) {
    const value = env[name];
    if (value === undefined) continue;
    // envconfig takes anything but `1` and `true` for false: TEMPORAL_TLS=True would turn TLS off.
    if (TRUE.test(value)) env[name] = 'true';
    else if (FALSE.test(value)) env[name] = 'false';
    else reader.fault(name, 'is neither true nor false', 'set it to true or false, or unset it');
  }
  if (env['TEMPORAL_TLS_DISABLE_HOST_VERIFICATION'] === 'true') {
    // https://github.com/temporalio/sdk-typescript: parsed by envconfig 1.24, applied nowhere.
    reader.fault('TEMPORAL_TLS_DISABLE_HOST_VERIFICATION', 'is not supported by the TypeScript SDK', 'unset it');
  }
  const file = env['TEMPORAL_CONFIG_FILE'];
  if (file !== undefined && !existsSync(file)) {
    // envconfig passes over it in silence, and the client would then talk to localhost.
    reader.fault('TEMPORAL_CONFIG_FILE', 'names a file that is not there', 'correct the path, or unset it');
    return config;
  }

  let loaded;
  try {
    loaded = loadClientConnectConfig({ overrideEnvVars: env });
  } catch (error) {
    // Its message may quote lines of the config file, and they hold API keys: only the kind is told.
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    reader.fault(
      'TEMPORAL_*',
      `could not be read${code}`,
      'look at TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE and the TEMPORAL_TLS_*_PATH and _DATA variables: a profile or file ' +
        'that is missing, not TOML, or path and data both set',
    );
    return config;
  }
  const { apiKey, metadata, tls, address = DEFAULT_TEMPORAL_ADDRESS } = loaded.connectionOptions;
  if (!HOST_PORT.test(address)) {
    reader.fault('TEMPORAL_ADDRESS', 'is not host:port', `give it without http://, as in ${DEFAULT_TEMPORAL_ADDRESS}`);
  }
  const has = (what: string): boolean => env[`${what}_PATH`] !== undefined || env[`${what}_DATA`] !== undefined;
  if (has('TEMPORAL_TLS_CLIENT_CERT') !== has('TEMPORAL_TLS_CLIENT_KEY')) {
    reader.fault('TEMPORAL_TLS_CLIENT_CERT_*', 'and _KEY_* go together, and one is not set', 'set both, or neither');
  }
  const connection: NativeConnectionOptions = { address };
  if (apiKey !== undefined) connection.apiKey = apiKey;
  if (metadata !== undefined) connection.metadata = metadata;
  // The SDK speaks plainly where nothing is said. Off this machine nothing said is TLS, as in the database's URL.
  const elsewhere = !LOOPBACK.test(address.replace(/:\d+$/, ''));
  if (tls !== undefined) connection.tls = tls;
  else if (elsewhere) connection.tls = true;
  if (tls === false && elsewhere) {
    reader.warn(
      'TLS to Temporal is turned off (TEMPORAL_TLS=false, or tls.disabled in the profile): whoever is on the way can ' +
        `read the requests${apiKey === undefined ? '' : ' and the API key'} and answer in its place; unset it`,
    );
  }
  return { connection, address, namespace: loaded.namespace ?? NAMES.namespace, taskQueue };
}

function checkEmulator(reader: Reader): void {
  const emulator = reader.raw('PUBSUB_EMULATOR_HOST');
  if (emulator !== undefined && !HOST_PORT.test(emulator)) {
    reader.fault('PUBSUB_EMULATOR_HOST', 'is not host:port', 'give it without http://, as in localhost:8085');
  }
}

/** What the plan sets and nothing here uses: a typing slip should still be told. */
function checkUnused(reader: Reader): void {
  const origins =
    reader
      .text('CORS_ORIGINS')
      ?.replace(/^\[|\]$/g, '')
      .split(',') ?? [];
  if (!origins.every((origin) => /^\s*["']?(\*|https?:\/\/\S+)["']?\s*$/.test(origin))) {
    reader.fault('CORS_ORIGINS', 'is not a list of origins', 'separate them by commas, as in http://localhost:3000');
  }
}

/** Also part of the name of a worker pool, which has lower-case letters, digits and "-". */
export const BUILD_ID = /^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$/;
export const BUILD_ID_FORM =
  'up to 24 lower-case letters, digits and "-", such as the first 12 characters of the commit';

const DEFAULT_TEMPORAL_ADDRESS = 'localhost:7233';
const HOST_PORT = /^(\[[0-9a-f:.]+\]|[^\s:/@]+):\d{1,5}$/i;
