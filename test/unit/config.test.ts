import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  ConfigError,
  SETTINGS,
  readBridgeConfig,
  readLettersConfig,
  readMigrateConfig,
  readRolloutConfig,
  readSmokeConfig,
  readWorkerConfig,
} from '../../src/config.ts';
import { NAMES } from '../../src/contract/names.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/contract/retry-policy.ts';

type Env = Record<string, string | undefined>;

const BRIDGE: Env = {
  GOOGLE_CLOUD_PROJECT: NAMES.project,
  PUBSUB_TOPIC: NAMES.topic,
  PUBSUB_SUBSCRIPTION: NAMES.subscription,
  PUBSUB_DLQ_TOPIC: NAMES.deadLetterTopic,
  PUBSUB_DLQ_SUBSCRIPTION: NAMES.deadLetterSubscription,
};
const WORKER: Env = { DATABASE_URL: 'postgresql://worker:hunter2@db.internal:5432/vividly' };

function faultsOf(read: (env: Env) => unknown, env: Env): readonly string[] {
  try {
    read(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.message, error.faults.join('\n'));
    return error.faults;
  }
  return [];
}

const variableOf = (fault: string): string => fault.split(':')[0] ?? '';

describe('config: defaults', () => {
  it('needs nothing of a bridge but the names of its resources', () => {
    const config = readBridgeConfig(BRIDGE);
    assert.deepEqual(config, {
      project: NAMES.project,
      subscription: NAMES.subscription,
      topic: NAMES.topic,
      emulator: false,
      deadLetterTopic: NAMES.deadLetterTopic,
      deadLetterSubscription: NAMES.deadLetterSubscription,
      temporal: {
        connection: { address: 'localhost:7233' },
        address: 'localhost:7233',
        namespace: NAMES.namespace,
        taskQueue: NAMES.taskQueue,
      },
      retry: DEFAULT_RETRY_POLICY,
      port: null,
      healthHost: '0.0.0.0',
      concurrency: 32,
      pullTimeoutMs: 10_000,
      ackDeadlineSeconds: 30,
      leaseRenewMs: 10_000,
      idleWindowMs: 30_000,
      maxRuntimeMs: 540_000,
      maxMessages: 0,
      startDeadlineMs: 10_000,
      publishDeadlineMs: 15_000,
      outageLimitMs: 90_000,
      breakerThreshold: 5,
      shutdownMs: 8_000,
      rejectStop: false,
      rejectAlarmCount: 20,
      rejectAlarmRatio: 0.2,
      openTooLongMs: 14_400_000,
      log: { level: 'info', format: process.stdout.isTTY ? 'pretty' : 'json', project: NAMES.project },
      warnings: [],
    });
  });

  it('needs nothing of a worker but the database', () => {
    const config = readWorkerConfig(WORKER);
    assert.deepEqual(config.database, {
      url: WORKER['DATABASE_URL'],
      poolSize: 10,
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 10_000,
    });
    assert.deepEqual(config.generator, { kind: 'template' });
    assert.equal(config.mediaTimeoutMs, 1_800_000);
    assert.equal(config.generatorTimeoutMs, 180_000);
    assert.equal(config.activitySlots, 20);
    assert.equal(config.maxCachedWorkflows, 200);
    assert.equal(config.workflowBundle, null);
    assert.equal(config.versioning, null);
    assert.equal(config.shutdownGraceMs, 5_500);
    assert.equal(config.shutdownForceMs, 8_000);
    assert.equal(config.log.project, null);
    const { url, connectTimeoutMs } = config.database;
    assert.deepEqual(readMigrateConfig(WORKER), {
      database: { url, connectTimeoutMs },
      grantTo: null,
      log: config.log,
      warnings: [],
    });
  });

  it('answers health on an address, never on a name', () => {
    assert.equal(readBridgeConfig({ ...BRIDGE, HEALTH_HOST: '127.0.0.1' }).healthHost, '127.0.0.1');
    assert.deepEqual(faultsOf(readWorkerConfig, { ...WORKER, HEALTH_HOST: 'localhost' }).map(variableOf), [
      'HEALTH_HOST',
    ]);
  });

  it('takes blank for unset, and trims', () => {
    const blank = Object.fromEntries(SETTINGS.map(({ name }) => [name, '  ']));
    assert.deepEqual(readBridgeConfig({ ...blank, ...BRIDGE }), readBridgeConfig(BRIDGE));
    assert.equal(readWorkerConfig({ DATABASE_URL: ' postgres://u@h/d\n' }).database.url, 'postgres://u@h/d');
  });

  it('reads every integer and number of the table at both of its bounds, and refuses them beyond', () => {
    for (const setting of SETTINGS) {
      if (setting.kind !== 'integer' && setting.kind !== 'number') continue;
      const isBridge = (setting.usedBy as readonly string[]).includes('bridge');
      const faults = (value: number | string): string[] =>
        faultsOf(isBridge ? readBridgeConfig : readWorkerConfig, {
          ...(isBridge ? BRIDGE : WORKER),
          [setting.name]: String(value),
        }).filter((fault) => variableOf(fault) === setting.name && /range|number;/.test(fault));
      assert.deepEqual([faults(setting.min), faults(setting.max)], [[], []], setting.name);
      for (const wrong of [setting.max + 1, setting.min - 1, '1e1', '0x1', 'ten', 'NaN', '1,5']) {
        assert.equal(faults(wrong).length, 1, `${setting.name}=${String(wrong)}`);
      }
      if (setting.default !== null) assert.ok(setting.default >= setting.min && setting.default <= setting.max);
    }
  });

  it('is read by the processes that the table names, and by no other', () => {
    const reads = {
      bridge: readBridgeConfig,
      worker: readWorkerConfig,
      migrate: readMigrateConfig,
      rollout: readRolloutConfig,
      smoke: readSmokeConfig,
      letters: readLettersConfig,
    };
    for (const setting of SETTINGS) {
      // A text may be anything, and the rules of each have their own tests.
      if (setting.kind === 'text') continue;
      const told = Object.entries(reads)
        .filter(([, read]) =>
          faultsOf(read, { ...BRIDGE, ...WORKER, [setting.name]: '%' })
            .map(variableOf)
            .includes(setting.name),
        )
        .map(([name]) => name);
      assert.deepEqual(told, setting.usedBy, setting.name);
    }
  });

  it('names each setting once', () => {
    const names = SETTINGS.map(({ name }) => name);
    assert.deepEqual(names, [...new Set(names)]);
  });
});

describe('config: a version of the worker', () => {
  const versioned = { ...WORKER, WORKER_VERSIONING: '1', BUILD_ID: '0123456789ab' };

  it('is the build, of the deployment that the rollout asks after', () => {
    assert.deepEqual(readWorkerConfig(versioned).versioning, {
      deploymentName: readRolloutConfig({}).deploymentName,
      buildId: '0123456789ab',
    });
    assert.equal(readWorkerConfig({ ...versioned, WORKER_VERSIONING: '0' }).versioning, null);
  });

  it('needs a build id that can be part of a name, only where it is asked for', () => {
    for (const BUILD_ID of ['', '-a', 'a-', 'A', 'a.b', 'a:b', 'a'.repeat(25)]) {
      assert.deepEqual(faultsOf(readWorkerConfig, { ...versioned, BUILD_ID }).map(variableOf), ['BUILD_ID'], BUILD_ID);
      assert.deepEqual(faultsOf(readWorkerConfig, { ...WORKER, BUILD_ID }), []);
    }
    for (const BUILD_ID of ['a', 'a-1', 'a'.repeat(24)]) {
      assert.deepEqual(faultsOf(readWorkerConfig, { ...versioned, BUILD_ID }), []);
    }
  });

  it('and a deployment name that Temporal takes', () => {
    for (const WORKER_DEPLOYMENT_NAME of ['a.b', 'a:b', '__a', 'a b']) {
      for (const read of [readWorkerConfig, readRolloutConfig]) {
        const faults = faultsOf(read, { ...WORKER, WORKER_DEPLOYMENT_NAME });
        assert.deepEqual(faults.map(variableOf), ['WORKER_DEPLOYMENT_NAME']);
      }
    }
    assert.deepEqual(faultsOf(readRolloutConfig, { WORKER_DEPLOYMENT_NAME: 'dev_worker-2' }), []);
  });
});

describe('config: faults', () => {
  it('tells every fault at once, a line each', () => {
    const faults = faultsOf(readBridgeConfig, {
      PUBSUB_TOPIC: 'projects/p/topics/t',
      TEMPORAL_ADDRESS: 'http://temporal:7233',
      BRIDGE_CONCURRENCY: 'many',
      RETRY_MAX_ATTEMPTS: '0',
      RETRY_FACTOR: '0.5',
      BRIDGE_REJECT_STOP: 'maybe',
      LOG_LEVEL: 'loud',
      LOG_FORMAT: 'xml',
      CORS_ORIGINS: 'localhost:3000',
      PUBSUB_EMULATOR_HOST: 'http://localhost:8085',
    });
    assert.deepEqual(faults.map(variableOf).sort(), [
      'BRIDGE_CONCURRENCY',
      'BRIDGE_REJECT_STOP',
      'CORS_ORIGINS',
      'GOOGLE_CLOUD_PROJECT',
      'LOG_FORMAT',
      'LOG_LEVEL',
      'PUBSUB_DLQ_SUBSCRIPTION',
      'PUBSUB_DLQ_TOPIC',
      'PUBSUB_EMULATOR_HOST',
      'PUBSUB_SUBSCRIPTION',
      'PUBSUB_TOPIC',
      'RETRY_FACTOR',
      'RETRY_MAX_ATTEMPTS',
      'TEMPORAL_ADDRESS',
    ]);
    for (const fault of faults) assert.match(fault, /^[A-Z_*]+: [^\n]+; [^\n]+\.$/);
  });

  it('names the value that mends a missing resource name', () => {
    assert.match(faultsOf(readBridgeConfig, {}).join('\n'), new RegExp(`PUBSUB_SUBSCRIPTION: .*${NAMES.subscription}`));
  });

  it('shows no value: it may be a secret, in its place or in the wrong one', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...SETTINGS.map(({ name }) => name), 'TEMPORAL_PROFILE', 'TEMPORAL_TLS_CLIENT_CERT_PATH'),
        fc.stringMatching(/^(postgres:\/\/)?Zq[!-~]{6,30}$/),
        (name, value) => {
          for (const read of [readBridgeConfig, readWorkerConfig, readMigrateConfig]) {
            assert.ok(
              !faultsOf(read, { [name]: value })
                .join('\n')
                .includes(value),
            );
          }
        },
      ),
    );
  });

  it('shows no line of a config file that is not TOML', () => {
    const folder = mkdtempSync(join(tmpdir(), 'config-'));
    try {
      const file = join(folder, 'temporal.toml');
      writeFileSync(file, '[profile.default]\napi_key = "hunter2" oops\n');
      const [fault = ''] = faultsOf(readBridgeConfig, { ...BRIDGE, TEMPORAL_CONFIG_FILE: file });
      assert.match(fault, /^TEMPORAL_\*: could not be read/);
      assert.doesNotMatch(fault, /hunter2/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('config: DATABASE_URL', () => {
  const sound = [
    'postgres://u:p@h/d',
    'postgresql://u:p@h:5432/d?sslmode=require',
    'postgresql://u:p@/d?host=/cloudsql/project:region:instance',
    'postgresql:///d?host=/var/run/postgresql',
    'postgresql://u:p%23%2F@[::1]/d',
  ];
  for (const url of sound) {
    it(`takes ${url}`, () => assert.equal(readMigrateConfig({ DATABASE_URL: url }).database.url, url));
  }
  const unsound = {
    'is not set': '',
    'does not begin': 'mysql://u:p@h/d',
    'names no host': 'postgresql://u:p@/d',
    'names no database': 'postgresql://u:p@h/',
    'is not a URL': 'postgresql://u:p@h:port/d',
    'holds a bare #': 'postgresql://u@h/d#p',
  };
  for (const [wrong, url] of Object.entries(unsound)) {
    it(`refuses one that ${wrong}`, () => {
      const faults = faultsOf(readWorkerConfig, { DATABASE_URL: url });
      assert.equal(faults.length, 1);
      assert.match(faults[0] ?? '', new RegExp(`^DATABASE_URL: ${wrong}`));
    });
  }
});

const GEMINI: Env = { GENERATOR: 'gemini', GEMINI_MODEL: 'gemini-2.5-flash', GOOGLE_CLOUD_PROJECT: NAMES.project };
const HTTP: Env = { GENERATOR: 'http', GENERATOR_URL: 'https://provider.internal/v1', SECRET_KEY: 'k'.repeat(32) };

/** A generator's settings are required only of the generator that is chosen. */
const GENERATOR_RULES = [
  { name: 'GEMINI_MODEL', worker: true, bad: { ...GEMINI, GEMINI_MODEL: '' }, good: GEMINI },
  {
    name: 'GEMINI_MODEL',
    worker: true,
    bad: { ...GEMINI, GEMINI_MODEL: 'gemini 2.5' },
    good: { ...GEMINI, GEMINI_MODEL: 'publishers/google/models/gemini-2.5-flash' },
  },
  {
    name: 'GOOGLE_CLOUD_PROJECT',
    worker: true,
    bad: { ...GEMINI, GOOGLE_CLOUD_PROJECT: '' },
    good: { ...GEMINI, GOOGLE_CLOUD_PROJECT: '', GEMINI_API_KEY: 'AIza' },
  },
  {
    name: 'GEMINI_LOCATION',
    worker: true,
    bad: { ...GEMINI, GEMINI_LOCATION: 'us_central1' },
    good: { ...GEMINI, GEMINI_LOCATION: 'global' },
  },
  {
    name: 'GEMINI_INPUT_PRICE',
    worker: true,
    bad: { ...GEMINI, GEMINI_OUTPUT_PRICE: '2.5' },
    good: { ...GEMINI, GEMINI_OUTPUT_PRICE: '2.5', GEMINI_INPUT_PRICE: '0.3' },
  },
  {
    name: 'GEMINI_BASE_URL',
    worker: true,
    bad: { ...GEMINI, GEMINI_BASE_URL: 'http://proxy.internal:8080' },
    good: { ...GEMINI, GEMINI_BASE_URL: 'http://127.0.0.1:8080' },
  },
  {
    name: 'GOOGLE_GEMINI_BASE_URL',
    worker: true,
    bad: { ...GEMINI, GOOGLE_GEMINI_BASE_URL: 'https://elsewhere.example' },
    good: { GENERATOR: 'template', GOOGLE_GEMINI_BASE_URL: 'https://elsewhere.example' },
  },
  {
    name: 'GEMINI_BASE_URL',
    worker: true,
    bad: { ...GEMINI, GEMINI_BASE_URL: 'https://proxy.example/v?key=1' },
    good: { ...GEMINI, GEMINI_BASE_URL: 'https://proxy.example/v' },
  },
  {
    name: 'GEMINI_API_KEY',
    worker: true,
    bad: { ...GEMINI, GEMINI_API_KEY: 'AIza\u200b' },
    good: { ...GEMINI, GEMINI_API_KEY: 'AIza' },
  },
  ...['gemini-2..5', 'gemini/', 'endpoints/123', '../x', 'publishers/google/models/'].map(
    (model) => ({ name: 'GEMINI_MODEL', worker: true, bad: { ...GEMINI, GEMINI_MODEL: model }, good: GEMINI }) as const,
  ),
  {
    name: 'GOOGLE_API_KEY',
    worker: true,
    bad: { ...GEMINI, GOOGLE_API_KEY: 'AIza' },
    good: { ...GEMINI, GEMINI_API_KEY: 'AIza' },
  },
  { name: 'GEMINI_SAFETY', worker: true, bad: { GEMINI_SAFETY: 'none' }, good: { GEMINI_SAFETY: 'HIGH' } },
  { name: 'GENERATOR_URL', worker: true, bad: { ...HTTP, GENERATOR_URL: '' }, good: HTTP },
  {
    name: 'GENERATOR_URL',
    worker: true,
    bad: { ...HTTP, GENERATOR_URL: 'http://provider.internal/v1' },
    good: { ...HTTP, GENERATOR_URL: 'http://[::1]:8080/v1' },
  },
  {
    name: 'GENERATOR_URL',
    worker: true,
    bad: { ...HTTP, GENERATOR_URL: 'https://user:hunter2@provider.internal/v1' },
    good: HTTP,
  },
  { name: 'GENERATOR_URL', worker: true, bad: { ...HTTP, GENERATOR_URL: 'provider.internal' }, good: HTTP },
  { name: 'SECRET_KEY', worker: true, bad: { ...HTTP, SECRET_KEY: '' }, good: { ...HTTP, SECRET_KEY: 'k'.repeat(32) } },
  { name: 'SECRET_KEY', worker: true, bad: { ...HTTP, SECRET_KEY: 'k'.repeat(31) }, good: HTTP },
  {
    name: 'SECRET_KEY',
    worker: true,
    bad: { ...HTTP, ALGORITHM: 'HS512', SECRET_KEY: 'k'.repeat(63) },
    good: { ...HTTP, ALGORITHM: 'HS512', SECRET_KEY: 'k'.repeat(64) },
  },
  {
    name: 'ALGORITHM',
    worker: true,
    bad: { ...HTTP, ALGORITHM: 'RS256' },
    good: { GENERATOR: 'template', ALGORITHM: 'RS256' },
  },
] as const satisfies readonly { name: string; worker: true; bad: Env; good: Env }[];

describe('config: rules between settings', () => {
  // Each rule: broken by `bad`, and its twin `good` differs by the smallest step that mends it.
  const rules: { name: string; worker?: true; bad: Env; good: Env }[] = [
    {
      name: 'PUBSUB_DLQ_TOPIC',
      bad: { PUBSUB_DLQ_TOPIC: NAMES.topic },
      good: { PUBSUB_DLQ_TOPIC: `${NAMES.topic}-2` },
    },
    {
      name: 'PUBSUB_DLQ_SUBSCRIPTION',
      bad: { PUBSUB_DLQ_SUBSCRIPTION: NAMES.subscription },
      good: { PUBSUB_DLQ_SUBSCRIPTION: `${NAMES.subscription}-2` },
    },
    {
      name: 'BRIDGE_LEASE_RENEW_MS',
      bad: { BRIDGE_ACK_DEADLINE_SECONDS: '10', BRIDGE_LEASE_RENEW_MS: '5001' },
      good: { BRIDGE_ACK_DEADLINE_SECONDS: '10', BRIDGE_LEASE_RENEW_MS: '5000' },
    },
    {
      name: 'BRIDGE_START_DEADLINE_MS',
      bad: { BRIDGE_START_DEADLINE_MS: '30001' },
      good: { BRIDGE_START_DEADLINE_MS: '30000' },
    },
    {
      name: 'BRIDGE_BREAKER_THRESHOLD',
      bad: { BRIDGE_BREAKER_THRESHOLD: '33' },
      good: { BRIDGE_BREAKER_THRESHOLD: '32' },
    },
    {
      name: 'BRIDGE_BREAKER_THRESHOLD',
      bad: { BRIDGE_BREAKER_THRESHOLD: '11', BRIDGE_CONCURRENCY: '1' },
      good: { BRIDGE_BREAKER_THRESHOLD: '10', BRIDGE_CONCURRENCY: '1' },
    },
    {
      name: 'BRIDGE_PUBLISH_DEADLINE_MS',
      bad: { BRIDGE_PUBLISH_DEADLINE_MS: '50001' },
      good: { BRIDGE_PUBLISH_DEADLINE_MS: '50000' },
    },
    { name: 'BRIDGE_IDLE_WINDOW_MS', bad: { BRIDGE_IDLE_WINDOW_MS: '9999' }, good: { BRIDGE_IDLE_WINDOW_MS: '10000' } },
    {
      name: 'BRIDGE_MAX_RUNTIME_MS',
      bad: { BRIDGE_MAX_RUNTIME_MS: '30000' },
      good: { BRIDGE_MAX_RUNTIME_MS: '30001' },
    },
    {
      name: 'BRIDGE_OUTAGE_LIMIT_MS',
      bad: { BRIDGE_OUTAGE_LIMIT_MS: '9999' },
      good: { BRIDGE_OUTAGE_LIMIT_MS: '10000' },
    },
    { name: 'RETRY_FIRST_WAIT_MS', bad: { RETRY_FIRST_WAIT_MS: '600001' }, good: { RETRY_FIRST_WAIT_MS: '600000' } },
    {
      name: 'WORKER_SHUTDOWN_GRACE_MS',
      worker: true,
      bad: { WORKER_SHUTDOWN_GRACE_MS: '8000' },
      good: { WORKER_SHUTDOWN_GRACE_MS: '7999' },
    },
    {
      name: 'TEMPORAL_TASK_QUEUE',
      bad: { TEMPORAL_TASK_QUEUE: NAMES.deadLetterTaskQueue },
      good: { TEMPORAL_TASK_QUEUE: 'other' },
    },
    {
      name: 'WORKER_WORKFLOW_BUNDLE',
      worker: true,
      bad: { WORKER_WORKFLOW_BUNDLE: '/no/such/bundle.js' },
      good: { WORKER_WORKFLOW_BUNDLE: import.meta.filename },
    },
    {
      name: 'CORS_ORIGINS',
      bad: { CORS_ORIGINS: 'here' },
      good: { CORS_ORIGINS: '["http://localhost:3000", "https://a.example"]' },
    },
    { name: 'GENERATOR', worker: true, bad: { GENERATOR: 'gpt' }, good: { GENERATOR: 'template' } },
    ...GENERATOR_RULES,
    {
      name: 'TEMPORAL_TLS_CLIENT_CERT_*',
      bad: { TEMPORAL_TLS_CLIENT_CERT_DATA: 'c' },
      good: { TEMPORAL_TLS_CLIENT_CERT_DATA: 'c', TEMPORAL_TLS_CLIENT_KEY_DATA: 'k' },
    },
    { name: 'TEMPORAL_CONFIG_FILE', bad: { TEMPORAL_CONFIG_FILE: '/no/such.toml' }, good: {} },
    {
      name: 'TEMPORAL_TLS_DISABLE_HOST_VERIFICATION',
      bad: { TEMPORAL_TLS_DISABLE_HOST_VERIFICATION: 'True' },
      good: { TEMPORAL_TLS_DISABLE_HOST_VERIFICATION: 'False' },
    },
    { name: 'TEMPORAL_TLS', bad: { TEMPORAL_TLS: 'perhaps' }, good: { TEMPORAL_TLS: 'True' } },
    { name: 'TEMPORAL_*', bad: { TEMPORAL_PROFILE: 'missing' }, good: {} },
  ];
  for (const { name, worker, bad, good } of rules) {
    const faults = (env: Env): readonly string[] =>
      worker ? faultsOf(readWorkerConfig, { ...WORKER, ...env }) : faultsOf(readBridgeConfig, { ...BRIDGE, ...env });
    it(`${name}: the broken rule is told`, () => assert.deepEqual(faults(bad).map(variableOf), [name]));
    it(`${name}: its twin passes`, () => assert.deepEqual(faults(good), []));
  }

  it('is silent about a rule while one of its settings is unsound', () => {
    const faults = faultsOf(readBridgeConfig, { ...BRIDGE, BRIDGE_PULL_TIMEOUT_MS: 'x', BRIDGE_IDLE_WINDOW_MS: '200' });
    assert.deepEqual(faults.map(variableOf), ['BRIDGE_PULL_TIMEOUT_MS']);
  });
});

describe('config: what the plan sets', () => {
  it('DEBUG=True logs at debug, LOG_LEVEL wins, and other packages may have DEBUG for themselves', () => {
    const level = (env: Env): string => readWorkerConfig({ ...WORKER, ...env }).log.level;
    assert.equal(level({ DEBUG: 'True' }), 'debug');
    assert.equal(level({ DEBUG: 'False' }), 'info');
    assert.equal(level({ DEBUG: 'express:*' }), 'info');
    assert.equal(level({ DEBUG: 'True', LOG_LEVEL: 'WARN' }), 'warn');
  });

  it("accepts the plan's environment as it stands", () => {
    const plan = { SECRET_KEY: 's3cr3t\n', ALGORITHM: 'HS256', DEBUG: 'True', CORS_ORIGINS: 'http://localhost:3000' };
    readBridgeConfig({ ...BRIDGE, ...plan });
    readWorkerConfig({ ...WORKER, ...plan });
  });
});

describe('config: TEMPORAL_*', () => {
  const temporal = (env: Env) => readBridgeConfig({ ...BRIDGE, ...env }).temporal;

  it('reads address, namespace, key and metadata; a key turns TLS on', () => {
    const read = temporal({
      TEMPORAL_ADDRESS: 'x.tmprl.cloud:7233',
      TEMPORAL_NAMESPACE: 'n.a',
      TEMPORAL_API_KEY: 'key\n',
      TEMPORAL_GRPC_META_TEAM: 'v',
      TEMPORAL_TASK_QUEUE: 'q',
    });
    assert.equal(read.address, 'x.tmprl.cloud:7233');
    assert.equal(read.namespace, 'n.a');
    assert.equal(read.taskQueue, 'q');
    assert.deepEqual(read.connection, {
      address: 'x.tmprl.cloud:7233',
      apiKey: 'key',
      tls: true,
      metadata: { team: 'v' },
    });
  });

  it('turns TLS on for True, where envconfig by itself would turn it off', () => {
    assert.equal(typeof temporal({ TEMPORAL_TLS: 'True' }).connection.tls, 'object');
    assert.equal(temporal({ TEMPORAL_TLS: 'False' }).connection.tls, false);
  });

  it('off this machine nothing said is TLS, and TLS turned off is a warning', () => {
    const read = (env: Env) => readBridgeConfig({ ...BRIDGE, ...env });
    const elsewhere = ['temporal.internal:7233', '10.0.0.3:7233', '[::2]:7233', 'localhost.example:7233'];
    const here = ['localhost:7233', 'LOCALHOST:7233', '127.0.0.1:7233', '127.3.2.1:7233', '[::1]:7233'];
    for (const TEMPORAL_ADDRESS of elsewhere) {
      assert.equal(read({ TEMPORAL_ADDRESS }).temporal.connection.tls, true, TEMPORAL_ADDRESS);
      assert.deepEqual(read({ TEMPORAL_ADDRESS }).warnings, []);
      const off = { TEMPORAL_ADDRESS, TEMPORAL_TLS: 'off' };
      assert.equal(read(off).temporal.connection.tls, false);
      for (const { warnings } of [read(off), readWorkerConfig({ ...WORKER, ...off })]) {
        assert.equal(warnings.length, 1);
        assert.match(warnings[0] ?? '', /^TLS to Temporal is turned off .*read the requests and answer .*; unset it$/);
      }
      const [keyed] = read({ ...off, TEMPORAL_API_KEY: 'hunter2' }).warnings;
      assert.match(keyed ?? '', /the requests and the API key and answer/);
      assert.doesNotMatch(keyed ?? '', /hunter2/);
    }
    for (const TEMPORAL_ADDRESS of here) {
      assert.equal('tls' in read({ TEMPORAL_ADDRESS }).temporal.connection, false, TEMPORAL_ADDRESS);
      assert.deepEqual(read({ TEMPORAL_ADDRESS, TEMPORAL_TLS: '0' }).warnings, []);
    }
    assert.equal('tls' in read({}).temporal.connection, false, 'the default is this machine');
  });

  it('what the config file says of TLS counts', () => {
    const folder = mkdtempSync(join(tmpdir(), 'config-'));
    try {
      const file = join(folder, 'temporal.toml');
      const read = (tls: string) => {
        writeFileSync(file, `[profile.default]\naddress = "from-file:7233"\n${tls}\n`);
        return readBridgeConfig({ ...BRIDGE, TEMPORAL_CONFIG_FILE: file });
      };
      assert.equal(read('').temporal.connection.tls, true);
      assert.equal(read('tls.disabled = true').temporal.connection.tls, false);
      assert.equal(read('tls.disabled = true').warnings.length, 1);
      const { tls } = read('tls.server_name = "x"').temporal.connection;
      assert.equal(typeof tls === 'object' && tls?.serverNameOverride, 'x');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('reads the config file of the Temporal CLI', () => {
    const folder = mkdtempSync(join(tmpdir(), 'config-'));
    try {
      const file = join(folder, 'temporal.toml');
      writeFileSync(file, '[profile.default]\naddress = "from-file:7233"\nnamespace = "f"\n');
      const read = temporal({ TEMPORAL_CONFIG_FILE: file, TEMPORAL_ADDRESS: ' ' });
      assert.deepEqual([read.address, read.namespace], ['from-file:7233', 'f']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
