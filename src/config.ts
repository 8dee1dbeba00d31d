/** Environment -> typed configuration. Every fault is told at once, and none of them shows a secret. */
import { existsSync } from 'node:fs';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { NAMES } from './contract/names.ts';
import type { RetryPolicy } from './contract/retry-policy.ts';
import { SETTINGS, type ProcessName, type Setting, type SettingName } from './settings.ts';

export { SETTINGS };

export type Env = Readonly<Record<string, string | undefined>>;

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
  readonly log: LogConfig;
}

export interface DatabaseConfig {
  readonly url: string;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

export interface GeminiConfig {
  readonly kind: 'gemini';
  /** Null = Vertex with application default credentials. */
  readonly apiKey: string | null;
  /** Of Vertex. */
  readonly project: string;
  readonly location: string;
  readonly model: string;
  /** Null = Google's own. */
  readonly baseUrl: string | null;
  readonly temperature: number;
  readonly maxOutputTokens: number;
  /** From which probability of harm on an answer is blocked. */
  readonly safety: 'low' | 'medium' | 'high';
  /** US dollars per million tokens; null = cost unknown. */
  readonly inputPrice: number | null;
  readonly outputPrice: number | null;
  readonly maxResponseBytes: number;
}

export interface HttpGeneratorConfig {
  readonly kind: 'http';
  readonly url: string;
  readonly secretKey: string;
  readonly algorithm: (typeof ALGORITHMS)[number];
  readonly maxResponseBytes: number;
}

/** What the generator needs; only the chosen one's settings are required. */
export type GeneratorConfig = { readonly kind: 'template' } | GeminiConfig | HttpGeneratorConfig;

/** HMAC with a shared key, and the shortest key in bytes: https://www.rfc-editor.org/rfc/rfc7518#section-3.2. */
const ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;
const SHORTEST_KEY = { HS256: 32, HS384: 48, HS512: 64 } as const;

export interface WorkerConfig {
  readonly temporal: TemporalConfig;
  readonly database: DatabaseConfig;
  readonly generator: GeneratorConfig;
  readonly generatorTimeoutMs: number;
  readonly mediaTimeoutMs: number;
  readonly activitySlots: number;
  readonly maxCachedWorkflows: number;
  /** Prebuilt workflow bundle; null = bundle the sources at start. */
  readonly workflowBundle: string | null;
  readonly shutdownGraceMs: number;
  readonly shutdownForceMs: number;
  readonly port: number | null;
  readonly log: LogConfig;
}

export interface MigrateConfig {
  readonly database: DatabaseConfig;
  readonly log: LogConfig;
}

/** Thrown for a wrong environment. The mains print the message, without a stack, and exit 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** One line each: variable, what is wrong, how to mend it. */
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

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
    log: readLog(reader),
  };
  checkUnused(reader);
  const emulator = reader.raw('PUBSUB_EMULATOR_HOST');
  if (emulator !== undefined && !HOST_PORT.test(emulator)) {
    reader.fault('PUBSUB_EMULATOR_HOST', 'is not host:port', 'give it without http://, as in localhost:8085');
  }

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
    config.leaseRenewMs < config.ackDeadlineSeconds * 1000,
    'is not below BRIDGE_ACK_DEADLINE_SECONDS, so leases would run out between renewals',
    'set it to a third of the ack deadline',
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
    workflowBundle: reader.text('WORKER_WORKFLOW_BUNDLE'),
    shutdownGraceMs: reader.number('WORKER_SHUTDOWN_GRACE_MS'),
    shutdownForceMs: reader.number('WORKER_SHUTDOWN_FORCE_MS'),
    port: reader.optionalNumber('PORT'),
    log: readLog(reader),
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

export function readMigrateConfig(env: Env): MigrateConfig {
  const reader = new Reader(env, 'migrate');
  return reader.done({ database: readDatabase(reader), log: readLog(reader) });
}

/** All settings are checked, also those of a generator that is not chosen: a typing slip is told before the switch. */
function readGenerator(reader: Reader): GeneratorConfig {
  const kind = reader.choice('GENERATOR', ['template', 'gemini', 'http']) ?? 'template';
  const gemini = readGemini(reader, kind === 'gemini');
  const http = readHttp(reader, kind === 'http');
  if (kind === 'gemini') return gemini;
  return kind === 'http' ? http : { kind };
}

function readGemini(reader: Reader, chosen: boolean): GeminiConfig {
  const apiKey = reader.text('GEMINI_API_KEY');
  const project = reader.resource('GOOGLE_CLOUD_PROJECT');
  const model = reader.text('GEMINI_MODEL');
  if (chosen && model === null) {
    reader.fault('GEMINI_MODEL', 'is not set, and models are retired too often for a default', 'set it to a model id');
  }
  if (model !== null && !/^[a-z0-9][a-z0-9._/@-]*$/i.test(model)) {
    reader.fault('GEMINI_MODEL', 'is no model id', 'give the id alone, such as gemini-2.5-flash');
  }
  if (chosen && apiKey === null && project === null) {
    reader.fault(
      'GOOGLE_CLOUD_PROJECT',
      'is not set, and Vertex needs it',
      'set it, or set GEMINI_API_KEY to use the Gemini API instead',
    );
  }
  const location = reader.text('GEMINI_LOCATION') ?? NAMES.region;
  if (!/^[a-z]+(-[a-z]+\d+)?$/.test(location)) {
    reader.fault('GEMINI_LOCATION', 'is no region', `set it to one such as ${NAMES.region}, or to global`);
  }
  const inputPrice = reader.optionalNumber('GEMINI_INPUT_PRICE');
  const outputPrice = reader.optionalNumber('GEMINI_OUTPUT_PRICE');
  reader.check(
    'GEMINI_INPUT_PRICE',
    ['GEMINI_OUTPUT_PRICE'],
    (inputPrice === null) === (outputPrice === null),
    'and GEMINI_OUTPUT_PRICE go together, and one is not set',
    'set both, or neither',
  );
  return {
    kind: 'gemini',
    apiKey,
    project: project ?? '',
    location,
    model: model ?? '',
    baseUrl: reader.providerUrl('GEMINI_BASE_URL'),
    temperature: reader.number('GEMINI_TEMPERATURE'),
    maxOutputTokens: reader.number('GEMINI_MAX_OUTPUT_TOKENS'),
    safety: reader.choice('GEMINI_SAFETY', ['low', 'medium', 'high']) ?? 'medium',
    inputPrice,
    outputPrice,
    maxResponseBytes: reader.number('GENERATOR_MAX_RESPONSE_BYTES'),
  };
}

function readHttp(reader: Reader, chosen: boolean): HttpGeneratorConfig {
  const url = reader.providerUrl('GENERATOR_URL');
  const secretKey = reader.text('SECRET_KEY');
  const named = reader.text('ALGORITHM');
  const algorithm = ALGORITHMS.find((each) => each === named) ?? 'HS256';
  if (chosen) {
    if (url === null)
      reader.fault('GENERATOR_URL', 'is not set', 'set it to the provider, as in https://host/generate');
    if (named !== null && named !== algorithm) {
      reader.fault('ALGORITHM', 'is none that the provider contract knows', `set it to ${ALGORITHMS.join(', ')}`);
    }
    const shortest = SHORTEST_KEY[algorithm];
    if (secretKey === null) {
      reader.fault('SECRET_KEY', 'is not set, and calls of the provider are signed with it', 'openssl rand -hex 32');
    } else if (Buffer.byteLength(secretKey) < shortest) {
      const fix = `make a new one with: openssl rand -hex ${String(shortest)}`;
      reader.fault('SECRET_KEY', `is shorter than the ${String(shortest)} bytes that ${algorithm} needs`, fix);
    }
  }
  return {
    kind: 'http',
    url: url ?? '',
    secretKey: secretKey ?? '',
    algorithm,
    maxResponseBytes: reader.number('GENERATOR_MAX_RESPONSE_BYTES'),
  };
}

function readDatabase(reader: Reader): DatabaseConfig {
  return {
    url: reader.databaseUrl('DATABASE_URL'),
    poolSize: reader.number('DATABASE_POOL_SIZE'),
    connectTimeoutMs: reader.number('DATABASE_CONNECT_TIMEOUT_MS'),
    statementTimeoutMs: reader.number('DATABASE_STATEMENT_TIMEOUT_MS'),
  };
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
  if (tls !== undefined) connection.tls = tls;
  return { connection, address, namespace: loaded.namespace ?? NAMES.namespace, taskQueue };
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

const DEFAULT_TEMPORAL_ADDRESS = 'localhost:7233';
const HOST_PORT = /^(\[[0-9a-f:.]+\]|[^\s:/@]+):\d{1,5}$/i;
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const TRUE = /^(true|1|yes|on)$/i;
const FALSE = /^(false|0|no|off)$/i;

/** URL.parse came with Node 22.1. The error of `new URL` quotes its input, so it is dropped. */
function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** Reads one setting after another and gathers the faults. After a fault it answers with a stand-in. */
class Reader {
  readonly #env: Env;
  readonly #process: ProcessName;
  readonly #faults: string[] = [];
  readonly #faulty = new Set<string>();

  constructor(env: Env, process: ProcessName) {
    this.#env = env;
    this.#process = process;
  }

  /** Blank = unset. Trimmed: a secret made with `echo` ends in a newline. */
  raw(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  fault(name: string, wrong: string, fix: string): void {
    if (this.#faulty.has(name)) return;
    this.#faulty.add(name);
    this.#faults.push(`${name}: ${wrong}; ${fix}.`);
  }

  /** A rule between settings: told only where each of them is sound by itself. */
  check(name: SettingName, others: readonly SettingName[], holds: boolean, wrong: string, fix: string): void {
    if (!holds && ![name, ...others].some((each) => this.#faulty.has(each))) this.fault(name, wrong, fix);
  }

  done<T>(config: T): T {
    if (this.#faults.length > 0) throw new ConfigError(this.#faults);
    return config;
  }

  text(name: SettingName<'text'>): string | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (/\p{Cc}/u.test(value) && name !== 'SECRET_KEY') this.fault(name, 'holds control characters', 'remove them');
    return value;
  }

  /** Tokens, keys and students' words go there: in the clear only to this machine. */
  providerUrl(name: SettingName<'text'>): string | null {
    const value = this.text(name);
    if (value === null) return null;
    const url = parseUrl(value);
    if (url === null || !['http:', 'https:'].includes(url.protocol)) {
      this.fault(name, 'is no URL', 'give it whole, as in https://host/path');
    } else if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname)) {
      this.fault(name, 'is http, and not on this machine', 'use https');
    } else if (url.username !== '' || url.password !== '' || url.hash !== '') {
      this.fault(
        name,
        'holds a user, a password or a fragment',
        'remove them: calls are signed with a key of their own',
      );
    }
    return value;
  }

  number(name: SettingName<'integer' | 'number'>): number {
    return this.optionalNumber(name) ?? 0;
  }

  optionalNumber(name: SettingName<'integer' | 'number'>): number | null {
    const setting = this.#setting(name);
    if (setting.kind !== 'integer' && setting.kind !== 'number') throw new TypeError(`${name} is no number`);
    const { kind, min, max, unit } = setting;
    const value = this.raw(name);
    if (value === undefined) return setting.default;
    const range = `set it to ${kind === 'integer' ? 'a whole number' : 'a number'} from ${String(min)} to ${String(max)} (${unit})`;
    // Number() would take 0x10, 1e3 and Infinity. The value is not shown: it may be a secret in the wrong place.
    if (!(kind === 'integer' ? /^\d{1,15}$/ : /^\d{1,15}(\.\d{1,15})?$/).test(value)) {
      this.fault(name, `is not ${kind === 'integer' ? 'a whole number' : 'a decimal number'}`, range);
    } else if (Number(value) < min || Number(value) > max) {
      this.fault(name, 'is out of range', range);
    } else {
      return Number(value);
    }
    return setting.default;
  }

  boolean(name: SettingName<'boolean'>): boolean {
    const setting = this.#setting(name);
    const value = this.raw(name);
    if (value === undefined) return setting.kind === 'boolean' && setting.default;
    if (!TRUE.test(value) && !FALSE.test(value)) this.fault(name, 'is neither true nor false', 'set it to 1 or 0');
    return TRUE.test(value);
  }

  choice<const T extends string>(name: SettingName<'choice'>, values: readonly T[]): T | null {
    const value = this.raw(name)?.toLowerCase();
    if (value === undefined) return null;
    const found = values.find((each) => each === value);
    if (found === undefined)
      this.fault(name, 'is not one of the values that it may have', `set it to ${values.join(', ')}`);
    return found ?? null;
  }

  /** A short resource name. Full paths are refused: `projects/p/topics/t` inside another path names nothing. */
  resource(name: SettingName<'resource'>): string | null {
    const setting = this.#setting(name);
    if (setting.kind !== 'resource') throw new TypeError(`${name} is no resource name`);
    const value = this.raw(name);
    const fix = `set it to the short name, as in ${setting.fix}`;
    if (value === undefined) {
      if (this.#isRequired(setting)) this.fault(name, 'is not set', fix);
      return null;
    }
    // https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names; a project may be domain-scoped (example.com:name).
    if (!/^[A-Za-z][A-Za-z0-9._~+%:-]{0,254}$/.test(value)) this.fault(name, 'is not a resource name', fix);
    return value;
  }

  databaseUrl(name: SettingName<'url'>): string {
    const setting = this.#setting(name);
    if (setting.kind !== 'url') throw new TypeError(`${name} is no URL`);
    const value = this.raw(name);
    const fix = `set it as in ${setting.fix}`;
    if (value === undefined) {
      if (this.#isRequired(setting)) this.fault(name, 'is not set', fix);
      return '';
    }
    if (!/^postgres(ql)?:\/\//.test(value)) {
      this.fault(name, 'does not begin with postgresql:// or postgres://', fix);
      return '';
    }
    // user@/database is libpq's socket form; URL refuses an empty host after credentials, as pg-connection-string knows too.
    const socket = /^[^/]+:\/\/[^/?#]*@\//.test(value);
    const parsed = parseUrl(socket ? value.replace('@/', '@socket/') : value);
    if (parsed === null) {
      this.fault(name, 'is not a URL', `${fix}, with special characters of the password percent-encoded`);
      return '';
    }
    if ((socket || parsed.hostname === '') && !parsed.searchParams.get('host')) this.fault(name, 'names no host', fix);
    else if (parsed.pathname.replace(/^\//, '') === '') this.fault(name, 'names no database', fix);
    else if (parsed.hash !== '')
      this.fault(name, 'holds a bare #', `${fix}, with special characters of the password percent-encoded`);
    return value;
  }

  /** A copy for envconfig without the blanks: to it a blank address is an address. */
  temporalEnv(): Record<string, string> {
    const env: Record<string, string> = {};
    for (const [name, value] of Object.entries(this.#env)) {
      const trimmed = value?.trim();
      // A blank TEMPORAL_GRPC_META_* has a meaning of its own: it removes what the file sets.
      if (trimmed === undefined || (trimmed === '' && !name.startsWith('TEMPORAL_GRPC_META_'))) continue;
      env[name] = trimmed;
    }
    return env;
  }

  #isRequired(setting: { readonly requiredBy: readonly ProcessName[] }): boolean {
    return setting.requiredBy.includes(this.#process);
  }

  #setting(name: SettingName): Setting {
    const setting = SETTINGS.find((each) => each.name === name);
    if (setting === undefined) throw new TypeError(`no setting ${name}`);
    return setting;
  }
}
