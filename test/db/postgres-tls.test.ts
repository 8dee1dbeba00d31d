/**
 * TLS to a real PostgreSQL. Its certificate is for `localhost` and 0.0.0.0, from an authority of its own, as Cloud SQL's
 * are. On Linux and macOS 0.0.0.0 reaches this machine and is no loopback address: what a URL decides by default for
 * hosts elsewhere is shaken hands over for real.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { openDatabase } from '../../src/activities/db.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { findPostgresBinaries } from '../../src/dev/postgres-binaries.ts';
import { tlsTrouble } from '../../src/postgres-connection.ts';
import { makeAuthority, signedBy, type Pem } from '../support/certificates.ts';
import { startProcess } from '../support/deployment.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

/** In the clear, with a certificate of the client's only, and everything else. */
const HBA = `
hostnossl tls_only all 127.0.0.1/32 reject
hostssl cert_only all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
host all all 127.0.0.1/32 scram-sha-256
`;

describe('TLS to PostgreSQL, for real', () => {
  let folder: string;
  let postgres: TestPostgres;
  const files = new Map<string, string>();

  before(async () => {
    const { identity } = await findPostgresBinaries();
    folder = mkdtempSync(path.join(tmpdir(), 'postgres-tls-'));
    chmodSync(folder, 0o755);
    const write = (name: string, text: string): void => {
      const file = path.join(folder, name);
      // The server takes a key only from its own user, closed to all others.
      writeFileSync(file, text, { mode: 0o600 });
      if (identity.uid !== undefined && identity.gid !== undefined) chownSync(file, identity.uid, identity.gid);
      files.set(name, file);
    };
    const pair = (name: string, { cert, key }: Pem): void => {
      write(`${name}.pem`, cert);
      write(`${name}.key`, key);
    };
    const [authority, stranger] = await Promise.all([makeAuthority('project:instance'), makeAuthority('stranger')]);
    pair('authority', authority);
    pair('stranger', stranger);
    pair('server', await signedBy(authority, { commonName: 'localhost', dns: ['localhost'], ip: ['0.0.0.0'] }));
    pair(
      'expired',
      await signedBy(authority, { commonName: 'localhost', dns: ['localhost'], notAfter: new Date(86_400_000) }),
    );
    pair('client', await signedBy(authority, { commonName: 'worker' }));
    pair('intruder', await signedBy(stranger, { commonName: 'worker' }));
    write('hba', HBA);
    postgres = await startPostgres({
      ssl: 'on',
      ssl_cert_file: file('server.pem'),
      ssl_key_file: file('server.key'),
      ssl_ca_file: file('authority.pem'),
      hba_file: file('hba'),
    });
    for (const name of ['tls_only', 'cert_only']) await postgres.createDatabase(name);
  });
  after(async () => {
    await postgres.stop();
    rmSync(folder, { recursive: true });
  });

  const file = (name: string): string => files.get(name) ?? assert.fail(`no file ${name}`);
  const url = (host: string, query = '', database = 'postgres'): string =>
    postgres.url(database).replace('127.0.0.1', host) + query;

  /** Whether the session is encrypted, as the server itself says; or what is wrong, in a sentence. */
  async function session(target: string): Promise<string> {
    const database = openDatabase(
      { url: target, poolSize: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 5_000 },
      { applicationName: 'tls', onIdleError: () => undefined },
    );
    try {
      const text = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()';
      const row = await database.maybeOne<{ ssl: boolean }>({ name: 'tls', text, values: [], index: null });
      return row?.ssl === true ? 'encrypted' : 'in the clear';
    } catch (error) {
      return tlsTrouble(error, 'HOST') ?? assert.fail(String(error));
    } finally {
      await database.close();
    }
  }

  it('is none on this machine unless asked for, and off where it is turned off', async () => {
    assert.equal(await session(url('127.0.0.1')), 'in the clear');
    assert.equal(await session(url('localhost')), 'in the clear');
    assert.equal(await session(url('0.0.0.0', '?sslmode=disable')), 'in the clear');
  });

  it('elsewhere it is there without a word, and an authority that is not known is refused', async () => {
    assert.match(
      await session(url('0.0.0.0')),
      /^the certificate of the database at HOST is not from an authority that is trusted here \((UNABLE|SELF)_[A-Z_]+\): add sslrootcert=FILE .*sslmode=verify-ca/,
    );
    assert.equal(await session(url('0.0.0.0', `?sslrootcert=${file('authority.pem')}`)), 'encrypted');
  });

  for (const mode of ['require', 'verify-full', 'prefer']) {
    it(`sslmode=${mode}: authority and name are verified`, async () => {
      const query = `?sslmode=${mode}&sslrootcert=${file('authority.pem')}`;
      assert.equal(await session(url('localhost', query)), 'encrypted');
      assert.match(
        await session(url('127.0.0.1', query)),
        /is for another name \(ERR_TLS_CERT_ALTNAME_INVALID\): connect to it by the name .* add sslmode=verify-ca&sslrootcert=FILE/,
      );
      assert.match(await session(url('localhost', `?sslmode=${mode}`)), /not from an authority that is trusted/);
    });
  }

  it('sslmode=verify-ca: any name of its own authority, as Cloud SQL needs it; never of another', async () => {
    assert.equal(
      await session(url('127.0.0.1', `?sslmode=verify-ca&sslrootcert=${file('authority.pem')}`)),
      'encrypted',
    );
    assert.match(
      await session(url('127.0.0.1', `?sslmode=verify-ca&sslrootcert=${file('stranger.pem')}`)),
      /not from an authority that is trusted/,
    );
    // The twin: pg by itself takes verify-ca for verify-full.
    const plain = new pg.Client(url('127.0.0.1', `?sslmode=verify-ca&sslrootcert=${file('authority.pem')}`));
    await assert.rejects(plain.connect(), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });

  it('sslmode=no-verify is encrypted, by whoever answers', async () => {
    assert.equal(await session(url('127.0.0.1', '?sslmode=no-verify')), 'encrypted');
  });

  it('sslnegotiation=direct shakes hands at once', async () => {
    const query = `?sslmode=verify-full&sslrootcert=${file('authority.pem')}&sslnegotiation=direct`;
    assert.equal(await session(url('localhost', query)), 'encrypted');
  });

  it('a client certificate: given, missing, and of another authority', async () => {
    const trusted = `?sslmode=verify-full&sslrootcert=${file('authority.pem')}`;
    const by = (name: string): string => `${trusted}&sslcert=${file(`${name}.pem`)}&sslkey=${file(`${name}.key`)}`;
    assert.equal(await session(url('localhost', by('client'), 'cert_only')), 'encrypted');
    assert.match(
      await session(url('localhost', trusted, 'cert_only')),
      /asks for a client certificate: add sslcert=FILE/,
    );
    assert.match(await session(url('localhost', by('intruder'), 'cert_only')), /was not agreed on|client certificate/);
  });

  it('a server that takes TLS only says so to one that turned it off', async () => {
    assert.match(
      await session(url('127.0.0.1', '', 'tls_only')),
      /^the database at HOST takes no connection without TLS: remove sslmode=disable from DATABASE_URL, or add sslmode=verify-full$/,
    );
    assert.equal(await session(url('localhost', `?sslrootcert=${file('authority.pem')}`, 'tls_only')), 'encrypted');
  });

  it('a server without TLS, and a certificate that has run out', async () => {
    const other = await startPostgres();
    try {
      assert.match(
        await session(other.url('postgres').replace('127.0.0.1', '0.0.0.0')),
        /^the database at HOST speaks no TLS: turn it on there \(ssl = on\), or add sslmode=disable/,
      );
    } finally {
      await other.stop();
    }
    const late = await startPostgres({
      ssl: 'on',
      ssl_cert_file: file('expired.pem'),
      ssl_key_file: file('expired.key'),
    });
    try {
      const target = late.url('postgres').replace('127.0.0.1', 'localhost');
      assert.match(
        await session(`${target}?sslrootcert=${file('authority.pem')}`),
        /is out of date \(CERT_HAS_EXPIRED\): renew it on the server/,
      );
    } finally {
      await late.stop();
    }
  });

  describe('the processes', () => {
    const WORKER = path.join(projectRoot, 'src/worker/main.ts');
    const MIGRATE = path.join(projectRoot, 'src/migrate/main.ts');
    /** Nobody is asked: the database comes first. */
    const env = { TEMPORAL_ADDRESS: '127.0.0.1:1', LOG_FORMAT: 'json', DATABASE_CONNECT_TIMEOUT_MS: '5000' };
    const run = async (main: string, args: readonly string[], more: Record<string, string>) => {
      const started = startProcess(main, args, { ...env, ...more });
      return { code: await started.ended, output: started.output(), lines: started.lines() };
    };
    const password = ':postgres@';

    for (const [name, main, args] of [
      ['worker', WORKER, []],
      ['worker --check', WORKER, ['--check']],
      ['migrate', MIGRATE, []],
    ] as const) {
      it(`${name}: a certificate that is not trusted is one sentence with what to do, exit 2, no stack`, async () => {
        const { code, output } = await run(main, args, { DATABASE_URL: url('0.0.0.0') });
        assert.equal(code, 2, output);
        const told = output.split('\n').filter((line) => line.includes('not from an authority that is trusted here'));
        assert.equal(told.length, 1, output);
        assert.match(told[0] ?? '', /the database at 0\.0\.0\.0:\d+\/postgres .*: add sslrootcert=FILE/);
        assert.doesNotMatch(output, /\\n +at |^ +at |stack_trace/m);
        assert.equal(output.includes(password), false);
      });

      it(`${name}: a certificate for another name`, async () => {
        const query = `?sslmode=verify-full&sslrootcert=${file('authority.pem')}`;
        const { code, output } = await run(main, args, { DATABASE_URL: url('127.0.0.1', query) });
        assert.equal(code, 2, output);
        assert.match(output, /is for another name \(ERR_TLS_CERT_ALTNAME_INVALID\): connect to it by the name/);
        assert.doesNotMatch(output, /\\n +at |^ +at |stack_trace/m);
      });

      it(`${name}: TLS that is turned off is warned of`, async () => {
        const { output } = await run(main, args, { DATABASE_URL: url('0.0.0.0', '?sslmode=disable') });
        const warned = output
          .split('\n')
          .filter((line) => line.includes('DATABASE_URL turns TLS off (sslmode=disable)'));
        assert.equal(warned.length, 1, output);
        assert.match(warned[0] ?? '', /"severity":"WARNING"|^WARNING /);
      });
    }

    it('migrate: with sslmode=verify-ca as Cloud SQL needs it, and with the authority in NODE_EXTRA_CA_CERTS', async () => {
      await postgres.createDatabase('migrated');
      const cloudSql = `?sslmode=verify-ca&sslrootcert=${file('authority.pem')}`;
      const first = await run(MIGRATE, [], { DATABASE_URL: url('127.0.0.1', cloudSql, 'migrated') });
      assert.equal(first.code, 0, first.output);
      assert.doesNotMatch(first.output, /WARNING/i, "nor pg's own about its modes");
      const again = await run(MIGRATE, ['--status'], {
        DATABASE_URL: url('0.0.0.0', '', 'migrated'),
        NODE_EXTRA_CA_CERTS: file('authority.pem'),
      });
      assert.equal(again.code, 0, again.output);
    });
  });
});
