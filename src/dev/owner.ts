/**
 * Whose a data folder is: one `npm start` at a time. A lock names the process, a list its parts, so that what a killed
 * start leaves running is found and stopped by the next one.
 */
import { appendFileSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeFolder, removeEmpty } from './folders.ts';
import { isAlive, markOf, signalIfAlive, type ProcessMark } from './process-start.ts';
import { codeOf, inWords, StartError } from './start-error.ts';
import { endLeftParts, type Part } from './left-parts.ts';

const LOCK = 'npm-start.lock';
const PARTS = 'npm-start.parts';
const TRIES = 10;

export interface Owner {
  /** Written down at once: from here on it is found, whatever happens to us. */
  readonly addPart: (name: Part['name'], pid: number) => void;
  /** Asks all parts to end, in no order, and waits: for a start that is given up before they are ready. */
  readonly endParts: () => Promise<void>;
  /** SIGKILL for every part, without waiting. */
  readonly killParts: () => void;
  readonly release: () => void;
}

/** Throws a StartError when another process has the folder. Takes and changes nothing. */
export function checkNotOwned(dataDir: string): void {
  const owner = readOwner(path.join(dataDir, LOCK));
  if (owner !== null && isAlive(owner)) throw inUse(dataDir, owner);
}

export async function own(dataDir: string, say: (line: string) => void): Promise<Owner> {
  const made = makeFolder(dataDir);
  const lock = path.join(dataDir, LOCK);
  const list = path.join(dataDir, PARTS);
  try {
    take(dataDir, lock);
  } catch (error) {
    removeEmpty(made);
    if (error instanceof StartError) throw error;
    throw new StartError(`${dataDir} cannot be taken for this start (${inWords(error)}): give another --data.`, {
      cause: error,
    });
  }
  await endLeftParts(readParts(list), say);
  rmSync(list, { force: true });
  const parts: Part[] = [];
  return {
    addPart: (name, pid) => {
      const mark = markOf(pid);
      // It has ended already.
      if (mark === null) return;
      parts.push({ name, ...mark });
      appendFileSync(list, `${JSON.stringify({ name, ...mark })}\n`);
    },
    endParts: () => endLeftParts(parts, () => undefined),
    killParts: () => {
      for (const part of parts) signalIfAlive(part, 'SIGKILL');
    },
    release: () => {
      // While a part lives, the next start must find it.
      if (!parts.some(isAlive)) rmSync(list, { force: true });
      rmSync(lock, { force: true });
      removeEmpty(made);
    },
  };
}

/** Data of starts without --data that were killed; what they left running is stopped first. */
export async function removeLeftovers(dataRoot: string, say: (line: string) => void): Promise<void> {
  for (const name of namesIn(dataRoot)) {
    const pid = Number(/^run-(\d+)$/.exec(name)?.[1] ?? NaN);
    if (!Number.isInteger(pid)) continue;
    const folder = path.join(dataRoot, name);
    const owner = readOwner(path.join(folder, LOCK));
    // A folder is made a moment before its lock: without one, the process of its name decides. Ours has none yet.
    const used = owner === null ? pid !== process.pid && markOf(pid) !== null : isAlive(owner);
    if (used) continue;
    await endLeftParts(readParts(path.join(folder, PARTS)), say);
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // Another start removes it at the same time, or it is another user's: it is in nobody's way.
    }
  }
}

function take(dataDir: string, lock: string): void {
  const own = markOf(process.pid);
  if (own === null) throw new Error('the system does not say when this process began');
  const mine = `${lock}.${String(own.pid)}`;
  writeFileSync(mine, JSON.stringify(own));
  try {
    for (let attempt = 1; attempt <= TRIES; attempt += 1) {
      try {
        // A link is made or it is not, and what it names is whole: nobody reads half a lock.
        linkSync(mine, lock);
        return;
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
      }
      const seen = readText(lock);
      const owner = parseOwner(seen);
      if (owner !== null && isAlive(owner)) throw inUse(dataDir, owner);
      moveStaleAway(lock, `${mine}.stale`, seen);
    }
    throw new StartError(
      `${dataDir} is being taken by several npm start at once: start again, or give another --data.`,
    );
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Two may find the same stale lock: what was moved is looked at again, and put back when it is the other's new one. */
function moveStaleAway(lock: string, aside: string, seen: string): void {
  try {
    renameSync(lock, aside);
    if (readText(aside) !== seen) linkSync(aside, lock);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

function inUse(dataDir: string, { pid }: ProcessMark): StartError {
  return new StartError(
    `${dataDir} is in use by another npm start, process ${String(pid)}: ` +
      'stop that one with Ctrl-C in its terminal, or give this one another --data.',
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

const readOwner = (lock: string): ProcessMark | null => parseOwner(readText(lock));

/** Null = none, or what a power cut left of it. */
function parseOwner(text: string): ProcessMark | null {
  try {
    const { pid, start } = JSON.parse(text) as Partial<ProcessMark>;
    return typeof pid === 'number' && typeof start === 'string' ? { pid, start } : null;
  } catch {
    return null;
  }
}

function readParts(list: string): Part[] {
  return readText(list)
    .split('\n')
    .flatMap((line) => {
      const mark = parseOwner(line);
      return mark === null ? [] : [{ ...mark, name: (JSON.parse(line) as Part).name }];
    });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
