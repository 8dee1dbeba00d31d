import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import getPort from 'get-port';
import { startEmbeddedPostgres } from '../../src/dev/embedded-postgres.ts';
import { linkSharedLibraries } from '../../src/dev/postgres-binaries.ts';
import { withClient } from '../support/postgres.ts';

describe('embedded PostgreSQL', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'embedded-'));
    await chmod(folder, 0o711);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('makes the links of the package itself, also when two do it at once and when they are there', async () => {
    const nativeDir = path.join(folder, 'native');
    await mkdir(path.join(nativeDir, 'lib'), { recursive: true });
    await mkdir(path.join(nativeDir, 'bin'));
    for (const name of ['initdb', 'pg_ctl', 'postgres']) await writeFile(path.join(nativeDir, 'bin', name), '');
    const links = [
      { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so' },
      { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' },
    ];
    await writeFile(path.join(nativeDir, 'pg-symlinks.json'), JSON.stringify(links));
    await Promise.all([linkSharedLibraries(nativeDir), linkSharedLibraries(nativeDir)]);
    await linkSharedLibraries(nativeDir);
    for (const name of ['libpq.so', 'libpq.so.5']) {
      assert.equal(await readlink(path.join(nativeDir, 'lib', name)), 'libpq.so.5.18');
    }
  });

  it('starts a data directory again with what it held, and tells why it cannot start', async () => {
    const options = { dataDir: path.join(folder, 'data'), log: () => undefined, settings: { fsync: 'off' } };
    const first = await startEmbeddedPostgres({ ...options, port: await getPort() });
    await withClient(first.url('postgres'), (client) => client.query('create table kept ()'));
    await assert.rejects(startEmbeddedPostgres({ ...options, port: await getPort() }), /postmaster\.pid/);
    await first.stop();
    await first.stop();
    assert.throws(() => process.kill(first.pid, 0), { code: 'ESRCH' });

    const second = await startEmbeddedPostgres({ ...options, port: await getPort() });
    try {
      await withClient(second.url('postgres'), (client) => client.query('select from kept'));
    } finally {
      await second.stop();
    }
  });
});
