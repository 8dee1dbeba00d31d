/** A worker that is started before its servers, or while they are away, waits for them; one that is refused says so and ends. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import os, { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { generate } from 'selfsigned';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { cacheDir, projectRoot } from '../../src/dev/paths.ts';
import { startTemporalServer } from '../../src/dev/temporal-server.ts';
import { migrate } from '../../src/migrate/migrate.ts';
import { startProcess, type Running } from '../support/deployment.ts';
import { askHealth } from '../support/e2e.ts';
import { startGateway, type Gateway } from '../support/e2e-gateway.ts';
import { freePort } from '../support/free-port.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { startTestTemporal, type TestTemporal } from '../support/temporal.ts';
import { waitFor } from '../support/wait-for.ts';

const MAIN = path.join(projectRoot, 'src/worker/main.ts');
const WAITS = 'the worker cannot start yet: it tries again';
const PASSWORD = 'hunter2-must-not-be-seen';
/** A second is what the process itself needs to leave; the platform gives ten. */
const PROMPT_MS = 2_000;

describe('the start of a worker', () => {
  let postgres: TestPostgres;
  let temporal: TestTemporal;
  let databaseUrl: string;
  let toDatabase: Gateway;
  let toTemporal: Gateway;
  const running: Running[] = [];

  before(async () => {
    [postgres, temporal] = await Promise.all([startPostgres(), startTestTemporal()]);
    databaseUrl = await postgres.createDatabase(`start_${randomUUID().slice(0, 8)}`, await postgres.templateDatabase());
    [toDatabase, toTemporal] = await Promise.all([
      startGateway(new URL(databaseUrl).host),
      startGateway(temporal.address),
    ]);
  });
  after(async () => {
    await Promise.all([toDatabase.close(), toTemporal.close()]);
    await Promise.all([postgres.stop(), temporal.stop()]);
  });
  beforeEach(() => {
    toDatabase.up();
    toTemporal.up();
  });
  afterEach(() => Promise.all(running.splice(0).map((each) => each.stop())));

  const through = (address: string, url = databaseUrl): string => {
    const changed = new URL(url);
    changed.host = address;
    return changed.href;
  };

  interface Started extends Running {
    readonly port: number;
    ready(): Promise<{ code: number; checks: Record<string, string> }>;
    waits(): Record<string, unknown>[];
  }

  async function start(env: Readonly<Record<string, string>> = {}): Promise<Started> {
    const port = await freePort();
    const started = startProcess(MAIN, [], {
      DATABASE_URL: through(toDatabase.address),
      TEMPORAL_ADDRESS: toTemporal.address,
      LOG_FORMAT: 'json',
      PORT: String(port),
      ...env,
    });
    running.push(started);
    return {
      ...started,
      port,
      ready: async () => {
        const { code, body } = await askHealth(port, '/health/ready');
        return { code, checks: (body as { checks: Record<string, string> }).checks };
      },
      waits: () => started.lines().filter(({ message }) => message === WAITS),
    };
  }

  /** One line for each try, a sentence, the waits as they grow. */
  function expectOneLinePerTry(worker: Started): void {
    const waits = worker.waits();
    assert.deepEqual(
      waits.map(({ tries }) => tries),
      waits.map((_, index) => index + 1),
    );
    for (const [index, line] of waits.entries()) {
      assert.equal(line['waitMs'], Math.min(5_000, 250 * 2 ** index));
      assert.deepEqual([line['severity'], line['err'], line['stack']], ['WARNING', undefined, undefined]);
    }
    assert.doesNotMatch(worker.output(), /\\n\s+at |^\s+at /m, 'no stack');
  }

  async function polls(worker: Started): Promise<void> {
    await worker.says({ message: 'worker polls' });
    await waitFor('ready', async () => (await worker.ready()).code === 200);
    assert.equal(await worker.stop(), 0);
    expectOneLinePerTry(worker);
  }

  it('the twin: with both there it starts at once, without a warning', async () => {
    const worker = await start();
    await polls(worker);
    assert.deepEqual(worker.waits(), []);
  });

  it('before its servers: alive and not ready, until PostgreSQL and then Temporal are started', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'patient-start-'));
    await chmod(folder, 0o711);
    const [databasePort, temporalPort] = [await freePort(), await freePort()];
    const startDatabase = (): Promise<EmbeddedPostgres> =>
      startEmbeddedPostgres({ dataDir: path.join(folder, 'data'), port: databasePort, log: () => undefined });
    const first = await startDatabase();
    await migrate(first.url('postgres'), { log: () => undefined });
    const url = first.url('postgres');
    await first.stop();

    const worker = await start({ DATABASE_URL: url, TEMPORAL_ADDRESS: `127.0.0.1:${String(temporalPort)}` });
    const line = await worker.says({ message: WAITS });
    assert.match(
      String(line['reason']),
      /Temporal at [\d.:]+, namespace default, does not answer \(Connection refused\).*the database at [\d.:]+\/postgres does not answer \(.*ECONNREFUSED/,
    );
    const { code, checks } = await worker.ready();
    assert.equal(code, 503);
    assert.deepEqual([checks['database'], checks['polling']], ['no answer', 'starting']);
    assert.equal((await askHealth(worker.port, '/health')).code, 200, 'waiting is no reason to be killed');

    const database = await startDatabase();
    await waitFor('the database to be seen', async () => (await worker.ready()).checks['database'] === 'ok');
    assert.deepEqual([(await worker.ready()).code, (await worker.ready()).checks['polling']], [503, 'starting']);
    await waitFor('a try that finds the database', () =>
      worker.waits().some(({ reason }) => !String(reason).includes('the database')),
    );
    const server = await startTemporalServer({
      port: temporalPort,
      uiPort: null,
      dbFile: null,
      cacheDir: cacheDir(process.env, os.homedir()),
      log: () => undefined,
    });
    await polls(worker);
    await Promise.all([server.stop(), database.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  it('connections that are refused, then served: one server after the other', async () => {
    toDatabase.down();
    toTemporal.down();
    const worker = await start();
    await waitFor('three tries', () => worker.waits().length >= 3);
    toTemporal.up();
    await waitFor('a try that finds Temporal', () =>
      worker.waits().some(({ reason }) => !String(reason).includes('Temporal')),
    );
    toDatabase.up();
    await polls(worker);
  });

  for (const [who, silence] of [
    ['PostgreSQL', () => toDatabase.stall()],
    ['Temporal', () => toTemporal.stall()],
  ] as const) {
    it(`${who} accepts and says nothing: given up in time, tried again, served once it speaks`, async () => {
      silence();
      const worker = await start({ DATABASE_CONNECT_TIMEOUT_MS: '1000' });
      const { checks } = await waitFor('health', () => worker.ready().catch(() => null));
      assert.deepEqual(
        [checks['database'], checks['polling']],
        [who === 'PostgreSQL' ? 'no answer' : 'ok', 'starting'],
      );
      const { reason } = await worker.says({ message: WAITS });
      const [silent, other] =
        who === 'PostgreSQL' ? ['the database at', 'Temporal at'] : ['Temporal at', 'the database at'];
      assert.ok(String(reason).includes(silent) && !String(reason).includes(other), String(reason));
      toDatabase.up();
      toTemporal.up();
      await polls(worker);
    });
  }

  describe('SIGTERM while it waits: exit 0, promptly', () => {
    const terminate = async (worker: Started): Promise<void> => {
      const startedAt = performance.now();
      worker.kill('SIGTERM');
      assert.equal(await worker.ended, 0, worker.output());
      const tookMs = performance.now() - startedAt;
      assert.ok(tookMs < PROMPT_MS, `${String(tookMs)} ms`);
      expectOneLinePerTry(worker);
    };

    it('between two tries', async () => {
      toDatabase.down();
      toTemporal.down();
      const worker = await start();
      // The next try is 2 s away by then.
      await waitFor('four tries', () => worker.waits().length >= 4);
      await terminate(worker);
    });

    it('in the middle of a try, while both say nothing', async () => {
      toDatabase.stall();
      toTemporal.stall();
      const worker = await start();
      await waitFor('both to be asked', () => toDatabase.swallowedBytes() > 0 && toTemporal.swallowedBytes() > 0);
      await terminate(worker);
      assert.deepEqual(worker.waits(), []);
    });
  });

  describe('what no wait mends: exit 2 and a sentence, at once', () => {
    const refused = async (says: RegExp, env: Readonly<Record<string, string>>): Promise<void> => {
      const worker = await start(env);
      assert.equal(await worker.ended, 2, worker.output());
      assert.match(worker.output(), says);
      assert.doesNotMatch(worker.output(), /\\n\s+at |^\s+at /m, 'no stack');
      assert.doesNotMatch(worker.output(), new RegExp(PASSWORD), 'no secret');
      assert.deepEqual(worker.waits(), [], 'it did not wait');
    };
    const as = (change: (url: URL) => void): string => {
      const url = new URL(databaseUrl);
      change(url);
      return url.href;
    };

    it('a wrong password, though Temporal says nothing', async () => {
      toTemporal.stall();
      await refused(
        /^the database at .* refuses the worker \(.*28P01 password authentication failed.*\); correct DATABASE_URL/m,
        {
          DATABASE_URL: as((url) => (url.password = PASSWORD)),
        },
      );
    });

    it('no password, a role that does not exist, a role that may not log in', async () => {
      await refused(/password must be a string.*; correct DATABASE_URL/, {
        DATABASE_URL: as((url) => (url.password = '')),
      });
      await refused(/28P01/, {
        DATABASE_URL: as((url) => ([url.username, url.password] = ['nobody', PASSWORD])),
      });
      const client = new pg.Client(databaseUrl);
      await client.connect();
      await client.query(`create role locked nologin password '${PASSWORD}'`);
      await client.end();
      await refused(/28000 role "locked" is not permitted to log in/, {
        DATABASE_URL: as((url) => ([url.username, url.password] = ['locked', PASSWORD])),
      });
    });

    it('a database that does not exist, and one without the schema', async () => {
      await refused(/3D000 database "nowhere" does not exist.*; correct DATABASE_URL, or create the database/, {
        DATABASE_URL: as((url) => (url.pathname = '/nowhere')),
      });
      await refused(
        /does not fit this worker:\n {2}table content_requests is missing\n {2}mend it with: npm run migrate/,
        {
          DATABASE_URL: await postgres.createDatabase('empty'),
        },
      );
    });

    it('a namespace that does not exist, though PostgreSQL says nothing', async () => {
      toDatabase.stall();
      await refused(
        /^Temporal at .*, namespace nowhere, refuses the worker \(.*\); .*temporal operator namespace create --retention 720h --namespace nowhere\.$/m,
        { TEMPORAL_NAMESPACE: 'nowhere' },
      );
    });

    it('credentials or rights that Temporal does not take: an API key, an identity', async () => {
      for (const [status, says] of [
        ['16', /check TEMPORAL_API_KEY/],
        ['7', /give this identity access to namespace default/],
      ] as const) {
        // The development server takes every key: this one answers each call as Temporal Cloud does.
        const server = createServer().on('stream', (stream: ServerHttp2Stream) => {
          stream.on('error', () => undefined);
          stream.respond(
            { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status, 'grpc-message': 'refused' },
            { endStream: true },
          );
        });
        server.listen(0, '127.0.0.1');
        await waitFor('the server', () => server.listening);
        const { port } = server.address() as AddressInfo;
        await refused(says, {
          TEMPORAL_ADDRESS: `127.0.0.1:${String(port)}`,
          TEMPORAL_API_KEY: PASSWORD,
          TEMPORAL_TLS: 'false',
        });
        server.close();
      }
    });

    it('certificates: one of nobody we trust, a client key that is none, and TLS towards a server that speaks none', async () => {
      const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 });
      const server = createTlsServer({ key, cert, ALPNProtocols: ['h2'] });
      server.on('tlsClientError', () => undefined);
      server.listen(0, '127.0.0.1');
      await waitFor('the server', () => server.listening);
      const { port } = server.address() as AddressInfo;
      const address = { TEMPORAL_ADDRESS: `127.0.0.1:${String(port)}`, TEMPORAL_TLS: 'true' };
      const folder = await mkdtemp(path.join(tmpdir(), 'patient-start-'));
      await writeFile(path.join(folder, 'client.pem'), 'no key');
      const file = path.join(folder, 'client.pem');
      await refused(/refuses the worker \(InvalidCertificate\(UnknownIssuer\)\); check TEMPORAL_TLS/, address);
      await refused(/refuses the worker \(PrivateKeyParseError\); check TEMPORAL_TLS/, {
        ...address,
        TEMPORAL_TLS_CLIENT_CERT_PATH: file,
        TEMPORAL_TLS_CLIENT_KEY_PATH: file,
      });
      await refused(/check TEMPORAL_TLS/, { TEMPORAL_TLS: 'true' });
      await rm(folder, { recursive: true });
      server.close();
    });

    it('a health port that is taken', async () => {
      const taken = createTcpServer().listen(0, '0.0.0.0');
      await waitFor('the port', () => taken.listening);
      await refused(/^PORT: \d+ cannot be used \(.*EADDRINUSE.*\); set another, or unset it\.$/m, {
        PORT: String((taken.address() as AddressInfo).port),
      });
      taken.close();
    });
  });
});
