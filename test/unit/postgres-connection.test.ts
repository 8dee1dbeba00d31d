/** TLS to PostgreSQL, as DATABASE_URL decides it: hosts that no test can reach are decided about here. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { generate } from 'selfsigned';
import { ConfigError, readMigrateConfig } from '../../src/config.ts';
import { connectionOf, placeOf, tlsOf, tlsTrouble, tlsWarning } from '../../src/postgres-connection.ts';

const at = (host: string, query = ''): string => `postgresql://u:p@${host}/d${query}`;

/** In a word. */
function decision(url: string): string {
  const tls = tlsOf(url);
  if (tls.kind === 'none') return `none, ${tls.because}`;
  if (tls.kind === 'verified')
    return `${tls.checksName ? 'name and authority' : 'authority'} ${tls.caFile ?? 'of Node'}`;
  return tls.kind;
}

describe('TLS to PostgreSQL', () => {
  const here = [
    'localhost',
    'LocalHost:5433',
    '127.0.0.1',
    '127.255.3.4:1',
    '[::1]',
    '%2Fvar%2Frun%2Fpostgresql',
    'elsewhere.example?host=/cloudsql/p:r:i',
  ];
  for (const host of here) {
    const url = host.includes('?') ? `postgresql://u:p@${host.replace('?', '/d?')}` : at(host);
    it(`${host}: none`, () => assert.equal(decision(url), 'none, this machine'));
  }
  it('a socket without a host: none, though it is asked for, as libpq does', () => {
    const url = 'postgresql://u:p@/d?host=/cloudsql/p:r:i&sslmode=require';
    assert.equal(decision(url), 'none, this machine');
    assert.equal(connectionOf(url).connectionString, 'postgresql://u:p@/d?host=/cloudsql/p:r:i');
  });

  const elsewhere = [
    'db.internal',
    '10.0.0.3',
    '128.0.0.1',
    '[::2]',
    '[::ffff:127.0.0.1]',
    '127.0.0.1.example',
    'localhost.example',
    '127.1',
    '0.0.0.0',
    'db.internal:5432',
  ];
  for (const host of elsewhere) {
    it(`${host}: verified, without a word in the URL`, () =>
      assert.equal(decision(at(host)), 'name and authority of Node'));
  }
  it('the host that pg connects to decides: the last one of the query, over that of the address', () => {
    assert.equal(decision(at('localhost', '?host=db.internal')), 'name and authority of Node');
    assert.equal(decision(at('localhost', '?host=127.0.0.1&host=db.internal')), 'name and authority of Node');
    assert.equal(decision(at('db.internal', '?host=')), 'name and authority of Node');
    assert.equal(decision('postgresql:///d'), 'name and authority of Node', 'PGHOST may be anywhere');
    for (const query of ['', '?host=db.internal', '?host=127.0.0.1&host=db.internal', '?host=']) {
      const url = at('localhost', query);
      const client = new pg.Client(connectionOf(url));
      assert.equal(tlsOf(url).kind === 'none', client.host === 'localhost', `pg goes to ${client.host}`);
    }
  });

  const modes: readonly (readonly [query: string, decided: string])[] = [
    ['sslmode=disable', 'none, asked'],
    ['ssl=0', 'none, asked'],
    ['ssl=false', 'none, asked'],
    ['sslmode=allow', 'name and authority of Node'],
    ['sslmode=prefer', 'name and authority of Node'],
    ['sslmode=require', 'name and authority of Node'],
    ['sslmode=require&sslrootcert=/ca', 'name and authority /ca'],
    ['sslmode=verify-full', 'name and authority of Node'],
    ['sslmode=verify-full&sslrootcert=system', 'name and authority of Node'],
    ['sslmode=verify-ca&sslrootcert=/ca', 'authority /ca'],
    ['sslrootcert=/ca', 'name and authority /ca'],
    ['ssl=true', 'name and authority of Node'],
    ['sslmode=no-verify', 'unverified'],
    ['ssl=no-verify', 'unverified'],
    ['uselibpqcompat=true&sslmode=require', 'unverified'],
    ['uselibpqcompat=true&sslmode=prefer', 'unverified'],
    ['uselibpqcompat=true&sslmode=require&sslrootcert=/ca', 'authority /ca'],
    ['uselibpqcompat=true', 'name and authority of Node'],
    ['sslmode=verify-full&sslmode=disable', 'none, asked'],
    ['sslmode=verify-ca', 'fault'],
    ['sslmode=verify-ca&sslrootcert=system', 'fault'],
    ['sslmode=off', 'fault'],
    ['ssl=perhaps', 'fault'],
    ['ssl=constructor', 'fault'],
    ['sslcert=/c', 'fault'],
    ['sslnegotiation=perhaps', 'fault'],
  ];
  for (const [query, decided] of modes) {
    it(`${query}: ${decided}`, () => assert.equal(decision(at('db.internal', `?${query}`)), decided));
    it(`${query}: asked for on this machine, it is the same`, () => {
      assert.equal(decision(at('localhost', `?${query}`)), decided.replace('none, asked', 'none, this machine'));
    });
  }

  it('pg is told, whatever PGSSLMODE and NODE_TLS_REJECT_UNAUTHORIZED say, and nothing of it stays in the URL', () => {
    const url = at('db.internal', '?application_name=a%26b&ssl%6Dode=require&sslnegotiation=direct&host=db2');
    const { connectionString, ssl, sslnegotiation } = connectionOf(url);
    assert.equal(connectionString, at('db.internal', '?application_name=a%26b&host=db2'));
    assert.deepEqual([ssl, sslnegotiation], [{ rejectUnauthorized: true }, 'direct']);
    const before = process.env['PGSSLMODE'];
    process.env['PGSSLMODE'] = 'no-verify';
    try {
      assert.deepEqual(new pg.Client(connectionOf(at('db.internal'))).ssl, { rejectUnauthorized: true });
      assert.equal(new pg.Client(connectionOf(at('localhost'))).ssl, false);
      // The twin: pg by itself does as the environment says.
      assert.deepEqual(new pg.Client(at('db.internal')).ssl, { rejectUnauthorized: false });
    } finally {
      if (before === undefined) delete process.env['PGSSLMODE'];
      else process.env['PGSSLMODE'] = before;
    }
  });

  it('every connection of the product is made by it', () => {
    const root = path.join(import.meta.dirname, '../../src');
    const made = (text: string): string[] => text.match(/new (pg\.)?(Client|Pool)\((?!options\b)[^]{0,40}/g) ?? [];
    const unlike = (text: string): string[] =>
      text.includes("from 'pg'") ? made(text).filter((each) => !each.includes('connectionOf(')) : [];
    const texts = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(path.join(root, name), 'utf8'));
    const speaking = texts.filter((text) => text.includes("from 'pg'") && made(text).length > 0);
    assert.equal(speaking.length, 6, 'db, migrate, smoke, and three of src/dev');
    assert.deepEqual(
      speaking.flatMap(unlike).filter((each) => !each.startsWith('new Client({ connection,')),
      [],
    );
    assert.equal(unlike("import pg from 'pg'; new pg.Pool({ connectionString: url })").length, 1, 'the twin');
  });

  it('what is weaker than verified is a warning off this machine, in a sentence that says what to do', () => {
    for (const query of ['?sslmode=disable', '?sslmode=no-verify']) {
      assert.match(tlsWarning(at('db.internal', query)) ?? '', /^DATABASE_URL .*; use sslmode=verify-full, or/);
    }
    for (const url of [at('db.internal'), at('localhost'), at('localhost', '?sslmode=disable')]) {
      assert.equal(tlsWarning(url), null);
    }
    assert.equal(readMigrateConfig({ DATABASE_URL: at('db.internal', '?sslmode=disable') }).warnings.length, 1);
    assert.deepEqual(readMigrateConfig({ DATABASE_URL: at('db.internal') }).warnings, []);
  });

  it('says where, never who', () => {
    assert.equal(placeOf(at('db.internal')), 'db.internal:5432/d');
    assert.equal(placeOf(at('[::1]:5433')), '[::1]:5433/d');
    assert.equal(placeOf(at('x', '?host=db2&port=6')), 'db2:6/d');
    assert.equal(placeOf('postgresql://u:p@/d?host=/cloudsql/i'), 'socket:5432/d');
  });

  it('trouble that is not of TLS is not explained as such', () => {
    for (const error of [
      new Error('timeout expired'),
      Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
      Object.assign(new Error('password authentication failed'), { code: '28P01' }),
      'thrown text',
    ]) {
      assert.equal(tlsTrouble(error, 'h:1/d'), null);
    }
    const inside = new Error('outer', { cause: Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' }) });
    assert.match(tlsTrouble(inside, 'h:1/d') ?? '', /^the certificate of the database at h:1\/d is out of date/);
  });

  describe('files that the URL names', () => {
    let folder: string;
    let pem: { readonly cert: string; readonly private: string };
    before(async () => {
      folder = mkdtempSync(path.join(tmpdir(), 'tls-files-'));
      pem = await generate([{ name: 'commonName', value: 'x' }]);
      const other = await generate([{ name: 'commonName', value: 'y' }]);
      writeFileSync(path.join(folder, 'cert'), pem.cert);
      writeFileSync(path.join(folder, 'key'), pem.private);
      writeFileSync(path.join(folder, 'other-key'), other.private);
      writeFileSync(path.join(folder, 'text'), 'hunter2');
    });
    after(() => rmSync(folder, { recursive: true }));

    const faultOf = (files: Readonly<Record<string, string>>): string => {
      const query = new URLSearchParams(
        Object.entries(files).map(([name, file]): [string, string] => [name, path.join(folder, file)]),
      ).toString();
      try {
        readMigrateConfig({ DATABASE_URL: at('db.internal', `?${query}`) });
      } catch (error) {
        assert.ok(error instanceof ConfigError, String(error));
        assert.doesNotMatch(error.message, /hunter2/);
        return error.message;
      }
      return '';
    };

    it('are read before anything is connected to', () => {
      assert.match(
        faultOf({ sslrootcert: 'nowhere' }),
        /^DATABASE_URL: names an sslrootcert, .* that cannot be read; /,
      );
      assert.match(faultOf({ sslrootcert: 'text' }), /^DATABASE_URL: names an sslrootcert that holds no certificate; /);
      assert.match(
        faultOf({ sslcert: 'cert', sslkey: 'other-key' }),
        /^DATABASE_URL: names an .* that is none; give PEM/,
      );
      assert.match(faultOf({ sslcert: 'text', sslkey: 'key' }), /that is none; /);
    });
    it('the twin: sound ones pass, and reach pg', () => {
      assert.equal(faultOf({ sslrootcert: 'cert', sslcert: 'cert', sslkey: 'key' }), '');
      const { ssl } = connectionOf(at('db.internal', `?sslmode=verify-ca&sslrootcert=${path.join(folder, 'cert')}`));
      assert.ok(typeof ssl === 'object' && ssl.ca === pem.cert && ssl.rejectUnauthorized === true, 'as it was given');
      assert.equal(ssl.checkServerIdentity?.('db.internal', {} as never), undefined);
    });
  });

  it('a % that pg could not decode is told, and shows no password', () => {
    for (const url of [
      'postgresql://u:hunter2%E9@h/d',
      'postgresql://u:hunter2@h/d%E9',
      'postgresql://%E9:hunter2@h/d',
    ]) {
      assert.throws(
        () => readMigrateConfig({ DATABASE_URL: url }),
        (error: Error) =>
          error instanceof ConfigError &&
          error.message.startsWith('DATABASE_URL: holds a %') &&
          !error.message.includes('hunter2'),
      );
    }
    assert.equal(
      readMigrateConfig({ DATABASE_URL: 'postgresql://u:p%C3%A9@h/d' }).database.url,
      'postgresql://u:p%C3%A9@h/d',
    );
  });
});
