/**
 * No process writes a secret, however it fails: every secret setting has a value of its own that is looked for, in all
 * forms, in everything that was written at the most talkative level.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SETTINGS } from '../../src/settings.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { startProcess } from '../support/deployment.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts';
import { formsOf, leaksIn } from '../support/secret-search.ts';
import { startTestTemporal, type TestTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait-for.ts';

const PASSWORD = 'pw-Kq7vZ2mX9/é@p:4';
const encoded = encodeURIComponent(PASSWORD);
const SECRETS = {
  DATABASE_URL: PASSWORD,
  TEMPORAL_API_KEY: 'tk-Lw8bN3rY6c/+D5',
  GEMINI_API_KEY: 'gk-Hs4dM9tQ2e-F7jR1',
  SECRET_KEY: 'sk-Xp6gT5uW1z/H3-and-more-than-32-bytes',
  TEMPORAL_GRPC_META_TICKET: 'mt-Vc9fR4nB8k-J2',
  'an API key in a config file': 'cf-Zt3hP7yD5m-L8qW',
  'a private key in a file': 'Qm5kSecretOfAPrivateKey7vB2',
  'a token that a provider repeats': 'eyJhbGciOi.Wn6jYtokenOfAProvider4sD',
} as const;

const MAIN = (name: string): string => path.join(projectRoot, `src/${name}/main.ts`);
/** 1 needs root to bind, and nothing does. */
const NOWHERE = '127.0.0.1:1';

describe('secrets', () => {
  let postgres: TestPostgres;
  let temporal: TestTemporal;
  /** Repeats what it was given: a key in a header is a provider's to show, and ours to hide. */
  let echo: ScriptedServer;
  let folder: string;

  before(async () => {
    [postgres, temporal, echo] = await Promise.all([
      startPostgres(),
      startTestTemporal(),
      startScriptedServer(({ headers }) => {
        const said = `refused: ${JSON.stringify(headers)} ${SECRETS['a token that a provider repeats']}`;
        return { status: 401, body: { error: { message: said }, title: said, detail: said } };
      }),
    ]);
    folder = mkdtempSync(path.join(tmpdir(), 'secrets-'));
    const key = SECRETS['an API key in a config file'];
    const profile = '[profile.default]\naddress = "127.0.0.1:1"\n';
    file('sound.toml', `${profile}api_key = "${key}"\n`);
    file('broken.toml', `${profile}api_key = "${key}\n[[[`);
    file('bare.toml', `${profile}api_key = ${key}\n`);
    file('other-type.toml', `${profile}api_key = ["${key}"]\n`);
    file('unknown.toml', `${profile}api_key = "${key}"\n${key} = 1\n`);
    file('no-json', `${SECRETS['a private key in a file']} is no JSON`);
    file('cut.json', `{"type":"service_account","private_key":"${SECRETS['a private key in a file']}`);
    const account = {
      type: 'service_account',
      client_email: 'x@y.iam.gserviceaccount.com',
      private_key: `-----BEGIN PRIVATE KEY-----\n${SECRETS['a private key in a file']}\n-----END PRIVATE KEY-----\n`,
      project_id: 'p',
      token_uri: `http://${NOWHERE}/token`,
    };
    file('damaged.json', JSON.stringify(account));
    file('damaged.key', account.private_key);
  });
  after(async () => {
    await Promise.all([postgres.stop(), temporal.stop(), echo.stop()]);
    rmSync(folder, { recursive: true });
  });

  const at = (name: string): string => path.join(folder, name);
  const file = (name: string, text: string): void => writeFileSync(at(name), text);
  const databaseAt = (host: string, more = ''): string => `postgresql://postgres:${encoded}@${host}/postgres${more}`;

  const common = (): Record<string, string> => ({
    LOG_LEVEL: 'trace',
    LOG_FORMAT: 'json',
    DEBUG: '*',
    METADATA_SERVER_DETECTION: 'none',
    GOOGLE_CLOUD_PROJECT: 'project',
    DATABASE_URL: databaseAt(NOWHERE),
    DATABASE_CONNECT_TIMEOUT_MS: '500',
    TEMPORAL_ADDRESS: NOWHERE,
    TEMPORAL_API_KEY: SECRETS.TEMPORAL_API_KEY,
    TEMPORAL_GRPC_META_TICKET: SECRETS.TEMPORAL_GRPC_META_TICKET,
    GEMINI_API_KEY: SECRETS.GEMINI_API_KEY,
    SECRET_KEY: SECRETS.SECRET_KEY,
    PUBSUB_TOPIC: 'topic',
    PUBSUB_SUBSCRIPTION: 'subscription',
    PUBSUB_DLQ_TOPIC: 'dlq',
    PUBSUB_DLQ_SUBSCRIPTION: 'dlq-sub',
    PUBSUB_EMULATOR_HOST: NOWHERE,
    BRIDGE_OUTAGE_LIMIT_MS: '300',
    BRIDGE_START_DEADLINE_MS: '300',
  });

  interface Case {
    readonly what: string;
    readonly env?: () => Record<string, string>;
    /** Something that shows that it failed as it should. */
    readonly says: RegExp;
  }
  const bridge = 'bridge';
  const worker = 'worker';
  const check = 'worker --check --probe';
  const migrate = 'migrate';

  const malformed = [
    `postgresql://u:${PASSWORD}@h/d`,
    `postgresql://u:${encoded}@h:port/d`,
    `postgresql://u:${encoded}@h/d#x`,
    `postgresql://u:${encoded}%E9@h/d`,
    `postgresql://u:${encoded}@h/`,
    `postgresql://u:${encoded}@h/d?sslmode=${encoded}`,
    `postgresql://u:${encoded}@h/d?sslrootcert=/nowhere`,
    `mysql://u:${encoded}@h/d`,
    encoded,
  ];
  const cases: readonly (readonly [processes: readonly string[], Case])[] = [
    [
      [worker, check, migrate],
      {
        what: 'a wrong password',
        env: () => ({ DATABASE_URL: databaseAt(new URL(postgres.adminUrl).host) }),
        says: /password authentication failed/,
      },
    ],
    [
      [worker, check, migrate],
      {
        what: 'a host that is not there',
        env: () => ({ DATABASE_URL: databaseAt('nowhere.invalid') }),
        says: /ENOTFOUND|EAI_AGAIN/,
      },
    ],
    [[worker, check, migrate], { what: 'a server that is not there', says: /ECONNREFUSED/ }],
    [
      [worker, check, migrate],
      {
        what: 'TLS that is refused',
        env: () => ({ DATABASE_URL: databaseAt(`0.0.0.0:${new URL(postgres.adminUrl).port}`) }),
        says: /speaks no TLS/,
      },
    ],
    ...malformed.map(
      (url) =>
        [
          [migrate],
          {
            what: `a malformed DATABASE_URL, ${url.replaceAll(/pw-[^@]*/g, '…')}`,
            env: () => ({ DATABASE_URL: url }),
            says: /DATABASE_URL: /,
          },
        ] as const,
    ),
    [[bridge], { what: 'Temporal that is not there', says: /temporal_unavailable/ }],
    [
      [bridge, check],
      {
        what: 'Temporal without TLS where a key asks for it',
        env: () => ({ TEMPORAL_ADDRESS: temporal.address }),
        says: /temporal_unavailable|WRONG {5}Temporal/,
      },
    ],
    [
      [bridge],
      {
        what: 'Pub/Sub that is not there',
        env: () => ({ TEMPORAL_ADDRESS: temporal.address, TEMPORAL_TLS: 'false' }),
        says: /pubsub_unavailable/,
      },
    ],
    [
      [bridge, check],
      {
        what: 'a client key of TLS that is none',
        env: () => ({
          TEMPORAL_TLS_CLIENT_CERT_PATH: at('damaged.key'),
          TEMPORAL_TLS_CLIENT_KEY_PATH: at('damaged.key'),
          TEMPORAL_TLS: 'true',
        }),
        says: /./,
      },
    ],
    ...['sound', 'broken', 'bare', 'other-type', 'unknown'].map(
      (name) =>
        [
          [bridge],
          {
            what: `a config file with a key, ${name}`,
            env: () => ({ TEMPORAL_CONFIG_FILE: at(`${name}.toml`), TEMPORAL_API_KEY: '', TEMPORAL_ADDRESS: '' }),
            says: /TEMPORAL_\*|temporal_unavailable/,
          },
        ] as const,
    ),
    ...['no-json', 'cut.json', 'damaged.json'].map(
      (name) =>
        [
          [bridge],
          {
            what: `Google credentials, ${name}`,
            env: () => ({
              GOOGLE_APPLICATION_CREDENTIALS: at(name),
              PUBSUB_EMULATOR_HOST: '',
              TEMPORAL_ADDRESS: temporal.address,
              TEMPORAL_TLS: 'false',
            }),
            says: /./,
          },
        ] as const,
    ),
    ...['no-json', 'cut.json', 'damaged.json'].map(
      (name) =>
        [
          [check],
          {
            what: `Google credentials for Gemini, ${name}`,
            env: () => ({
              GOOGLE_APPLICATION_CREDENTIALS: at(name),
              GENERATOR: 'gemini',
              GEMINI_MODEL: 'gemini-2.5-flash',
              GEMINI_API_KEY: '',
            }),
            says: /provider: .*no_credentials/,
          },
        ] as const,
    ),
    [
      [check],
      {
        what: 'a Gemini that repeats the key it refuses',
        env: () => ({ GENERATOR: 'gemini', GEMINI_MODEL: 'gemini-2.5-flash', GEMINI_BASE_URL: echo.url }),
        says: /provider: .*http_401/,
      },
    ],
    [
      [check],
      {
        what: 'a provider that repeats the signature it refuses',
        env: () => ({ GENERATOR: 'http', GENERATOR_URL: `${echo.url}/x` }),
        says: /provider: .*http_401/,
      },
    ],
    [
      [worker],
      {
        what: 'a SECRET_KEY that is too long for an address',
        env: () => ({ GENERATOR: 'http', GENERATOR_URL: SECRETS.SECRET_KEY }),
        says: /GENERATOR_URL: is no URL/,
      },
    ],
    [
      [worker],
      {
        what: 'secrets where numbers belong',
        env: () => ({ DATABASE_POOL_SIZE: PASSWORD, LOG_LEVEL: SECRETS.SECRET_KEY }),
        says: /DATABASE_POOL_SIZE: /,
      },
    ],
  ];

  for (const [processes, { what, env, says }] of cases) {
    for (const each of processes) {
      it(`${each}: ${what}`, async () => {
        const [name = '', ...args] = each.split(' ');
        const started = startProcess(MAIN(name), args, { ...common(), ...env?.() });
        const state = { ended: false };
        const end = started.ended.finally(() => (state.ended = true));
        // A worker waits for what is away, and says so at each try.
        const waits = (): boolean => started.output().includes('the worker cannot start yet');
        await waitFor(`${each} ends or waits`, () => state.ended || waits());
        if (!state.ended) await started.stop();
        const code = await end;
        const output = started.output();
        assert.equal(code === 0, waits(), output);
        assert.match(output, says);
        assert.deepEqual(leaksIn(output, SECRETS), []);
      });
    }
  }

  it('worker: at work, with a provider that repeats the key it refuses, also on a terminal', async () => {
    const started = startProcess(MAIN('worker'), [], {
      ...common(),
      LOG_FORMAT: 'pretty',
      DATABASE_URL: await postgres.createDatabase('at_work', await postgres.templateDatabase()),
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_TLS: 'false',
      GENERATOR: 'gemini',
      GEMINI_MODEL: 'gemini-2.5-flash',
      GEMINI_BASE_URL: echo.url,
    });
    try {
      await waitFor('it has asked', () => started.output().includes('provider check failed'));
    } finally {
      await started.stop();
    }
    assert.match(started.output(), /http_401/);
    assert.deepEqual(leaksIn(started.output(), SECRETS), []);
  });

  it('every secret setting is among those that are looked for', () => {
    const secret = SETTINGS.filter((setting) => 'secret' in setting && setting.secret).map(({ name }) => name);
    assert.ok(secret.length >= 4, String(secret));
    assert.deepEqual(
      secret.filter((name) => !Object.hasOwn(SECRETS, name)),
      [],
    );
  });

  it('the twin: a process that writes one is found out, in whatever form', async () => {
    for (const [index, form] of formsOf(PASSWORD).entries()) {
      const main = at(`leaks-${String(index)}.mjs`);
      writeFileSync(
        main,
        `process.${index % 2 === 0 ? 'stdout' : 'stderr'}.write('x ' + ${JSON.stringify(form)} + ' y');`,
      );
      const started = startProcess(main, [], {});
      assert.equal(await started.ended, 0);
      assert.deepEqual(
        leaksIn(started.output(), SECRETS).map(({ secret }) => secret),
        ['DATABASE_URL'],
        form,
      );
    }
    assert.deepEqual(leaksIn('nothing of the kind', SECRETS), []);
  });
});
