/** Where the embedded stack keeps what it installs and what it stores. */
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

/** Downloads, shared by all checkouts of a user: XDG_CACHE_HOME, else ~/.cache. */
export function cacheDir(env: Readonly<Record<string, string | undefined>>, home: string): string {
  const base = env['XDG_CACHE_HOME']?.trim();
  return path.join(base === undefined || base === '' ? path.join(home, '.cache') : base, 'content-processor');
}

/** Data of `npm start`, git-ignored. */
export const dataRoot = path.join(projectRoot, '.data');

/** A user without a home, as containers have them, still has a folder of temporary files. */
export function homeFolder(): string {
  try {
    return os.homedir();
  } catch {
    return os.tmpdir();
  }
}
