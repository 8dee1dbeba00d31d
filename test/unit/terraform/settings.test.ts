/** What terraform tells a process is what that process reads, and all that it needs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { readBridgeConfig, readMigrateConfig, readWorkerConfig } from '../../../src/config.ts';
import { SETTINGS, type ProcessName } from '../../../src/settings.ts';
import { readTerraform, settingsIn, type TerraformFiles } from '../../support/terraform/files.ts';

type Told = 'bridge' | 'worker' | 'migrate';
const PROCESSES: readonly Told[] = ['bridge', 'worker', 'migrate'];

/** Read by Node itself. */
const NODE: readonly string[] = ['NODE_OPTIONS'];

const known = (process: ProcessName): string[] =>
  SETTINGS.filter(({ usedBy }) => (usedBy as readonly string[]).includes(process)).map(({ name }) => name);

const strangers = (names: readonly string[], process: Told, envconfig: string): string[] =>
  names.filter(
    (name) =>
      !known(process).includes(name) &&
      !NODE.includes(name) &&
      !(process !== 'migrate' && name.startsWith('TEMPORAL_') && envconfig.includes(`'${name}'`)),
  );

describe('terraform: settings', () => {
  let files: TerraformFiles;
  const envconfig = readFileSync(
    createRequire(import.meta.url).resolve('@temporalio/envconfig/lib/envconfig-toml.js'),
    'utf8',
  );
  before(async () => {
    files = await readTerraform();
  });

  const told = (process: Told): string[] => {
    const { locals } = files;
    const temporal = [...settingsIn(locals['temporal_env']), ...settingsIn(locals['temporal_secrets'])];
    const common = Object.keys(locals['common_env'] as object);
    const own = [locals[`${process}_env`], locals[`${process}_secrets`]].flatMap((part) =>
      typeof part === 'object' && part !== null ? Object.keys(part) : settingsIn(part),
    );
    return [...new Set([...common, ...(process === 'migrate' ? [] : temporal), ...own])].sort();
  };

  for (const process of PROCESSES) {
    it(`${process} reads everything that it is told`, () =>
      assert.deepEqual(strangers(told(process), process, envconfig), []));

    it(`${process} is told everything that it requires`, () => {
      const required = SETTINGS.filter(
        (setting) => 'requiredBy' in setting && (setting.requiredBy as readonly string[]).includes(process),
      ).map(({ name }) => name);
      assert.ok(required.length > 0, 'the twin: it requires something');
      assert.deepEqual(
        required.filter((name) => !told(process).includes(name)),
        [],
      );
    });
  }

  it('the twin: a setting of another process is a stranger', () => {
    assert.deepEqual(strangers(['DATABASE_URL', 'PUBSUB_TOPIC', 'TEMPORAL_TLS_SERVER_NAME'], 'bridge', envconfig), [
      'DATABASE_URL',
    ]);
  });

  it("the plan's variables are all told to somebody", () => {
    const all = new Set(PROCESSES.flatMap(told));
    const plan = [
      'DATABASE_URL',
      'GOOGLE_CLOUD_PROJECT',
      'PUBSUB_SUBSCRIPTION',
      'PUBSUB_TOPIC',
      'SECRET_KEY',
      'ALGORITHM',
      'DEBUG',
      'CORS_ORIGINS',
    ];
    assert.deepEqual(
      plan.filter((name) => !all.has(name)),
      [],
    );
  });

  it('the values that dev is given make sound configurations', () => {
    const common = { GOOGLE_CLOUD_PROJECT: 'vividly-dev-rich', DEBUG: 'True', CORS_ORIGINS: 'http://localhost:3000' };
    const temporal = {
      TEMPORAL_ADDRESS: 'us-central1.gcp.api.temporal.io:7233',
      TEMPORAL_NAMESPACE: 'vividly-dev.account',
      TEMPORAL_TASK_QUEUE: 'content-generation',
      TEMPORAL_TLS: 'true',
      TEMPORAL_API_KEY: 'a-key',
    };
    const bridge = readBridgeConfig({
      ...common,
      ...temporal,
      PUBSUB_TOPIC: 'content-generation-requests',
      PUBSUB_SUBSCRIPTION: 'content-generation-sub',
      PUBSUB_DLQ_TOPIC: 'content-generation-dlq',
      PUBSUB_DLQ_SUBSCRIPTION: 'content-generation-dlq-sub',
      BRIDGE_ACK_DEADLINE_SECONDS: '30',
      BRIDGE_MAX_RUNTIME_MS: '540000',
    });
    assert.equal(bridge.maxRuntimeMs, 540_000, 'a minute below the timeout');
    assert.equal(bridge.temporal.connection.apiKey, 'a-key', 'the key is used');
    const worker = readWorkerConfig({
      ...common,
      ...temporal,
      DATABASE_URL: 'postgresql://u:p@10.20.0.3:5432/vividly_dev',
      ALGORITHM: 'HS256',
      SECRET_KEY: 'x'.repeat(32),
      GENERATOR: 'template',
      WORKER_VERSIONING: '1',
      WORKER_DEPLOYMENT_NAME: 'content-worker',
      BUILD_ID: '0123456789ab',
    });
    assert.equal(worker.generator.kind, 'template', 'generator');
    assert.equal(
      readMigrateConfig({ ...common, DATABASE_URL: 'postgresql://u:p@10.20.0.3/vividly_dev' }).log.level,
      'debug',
      'DEBUG',
    );
  });

  it('mTLS by two secrets is a client certificate', () => {
    const { temporal } = readBridgeConfig({
      GOOGLE_CLOUD_PROJECT: 'vividly-dev-rich',
      PUBSUB_TOPIC: 'a-topic',
      PUBSUB_SUBSCRIPTION: 'a-sub',
      PUBSUB_DLQ_TOPIC: 'b-topic',
      PUBSUB_DLQ_SUBSCRIPTION: 'b-sub',
      TEMPORAL_ADDRESS: 'temporal.example:7233',
      TEMPORAL_TLS: 'true',
      TEMPORAL_TLS_CLIENT_CERT_DATA: 'a certificate',
      TEMPORAL_TLS_CLIENT_KEY_DATA: 'its key',
    });
    const { tls } = temporal.connection;
    assert.ok(typeof tls === 'object' && tls?.clientCertPair !== undefined, 'no client certificate');
  });
});
