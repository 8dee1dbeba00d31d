/** Folders that `npm start` writes to: looked at before anything is made in them, then made level by level. */
import { chmodSync, existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { lstat, mkdtemp, rmdir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, inWords, StartError } from './start-error.ts';

export interface WantedFolder {
  /** As the sentence calls it. */
  readonly what: string;
  readonly path: string;
  /** What to do when it cannot be had. */
  readonly mend: string;
  readonly needsMb: number;
}

const MB = 2 ** 20;

/** Throws a StartError unless the folder is there, or can be made, and can be written to. Leaves nothing behind. */
export async function checkFolder(wanted: WantedFolder): Promise<void> {
  const fault = (why: string, then = ': '): StartError => new StartError(`${wanted.what} ${why}${then}${wanted.mend}.`);
  const there = await deepestThatExists(wanted.path).catch((error: unknown) => {
    throw fault(`${wanted.path} cannot be used (${codeOf(error) ?? inWords(error)})`);
  });
  const which = there === wanted.path ? there : `${wanted.path} cannot be made, because ${there}`;
  if (!(await stat(there)).isDirectory()) throw fault(`${which} is not a folder`);
  try {
    // Trying is the only sure answer: permission bits say nothing to root, nor on a read-only or a kernel's file system.
    await rmdir(await mkdtemp(path.join(there, '.can-write-')));
  } catch (error) {
    throw fault(`${which} cannot be written to (${codeOf(error) ?? inWords(error)})`);
  }
  const { bavail, bsize, blocks } = await statfs(there);
  // No blocks at all: a file system that does not say.
  if (blocks > 0 && bavail * bsize < wanted.needsMb * MB) {
    const free = `${String(Math.floor((bavail * bsize) / MB))} MB`;
    throw fault(
      `${wanted.path} has only ${free} of free space, and about ${String(wanted.needsMb)} MB are needed: make room there, or`,
      ' ',
    );
  }
}

async function deepestThatExists(folder: string): Promise<string> {
  try {
    await stat(folder);
    return folder;
  } catch (error) {
    const code = codeOf(error);
    if ((code !== 'ENOENT' && code !== 'ENOTDIR') || path.dirname(folder) === folder) throw error;
    if (await lstat(folder).catch(() => null)) throw new Error('it is a link to nothing', { cause: error });
    return deepestThatExists(path.dirname(folder));
  }
}

/**
 * Level by level: Node's `recursive` never returns where the system answers ENOENT to mkdir, as /proc does.
 * Returns the levels it made, deepest first.
 */
export function makeFolder(folder: string): string[] {
  if (existsSync(folder)) return [];
  const above = makeFolder(path.dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return above;
    throw new StartError(`${folder} cannot be made (${inWords(error)}).`, { cause: error });
  }
  // As root, PostgreSQL runs as another user, who must get through whatever the umask is.
  if (process.getuid?.() === 0) chmodSync(folder, 0o755);
  return [folder, ...above];
}

/** Takes back what makeFolder made, as far as it is empty. */
export function removeEmpty(folders: readonly string[]): void {
  try {
    for (const folder of folders) rmdirSync(folder);
  } catch {
    // Something is in it, so it is wanted.
  }
}
