/** Ends parts that are not, or no longer, children of this process: by pid, and only while the pid is still theirs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, signalIfAlive, type ProcessMark } from './process-start.ts';

export interface Part extends ProcessMark {
  readonly name: 'postgres' | 'temporal' | 'emulator' | 'worker' | 'bridge';
}

const PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 25;

/** Nobody waits for what worker and bridge do: it is done again. PostgreSQL's SIGINT is its fast shutdown. */
const ENDS_WITH: Readonly<Record<Part['name'], NodeJS.Signals>> = {
  postgres: 'SIGINT',
  temporal: 'SIGTERM',
  emulator: 'SIGTERM',
  worker: 'SIGKILL',
  bridge: 'SIGKILL',
};

export async function endLeftParts(parts: readonly Part[], say: (line: string) => void): Promise<void> {
  const left = parts.filter(isAlive);
  if (left.length === 0) return;
  const names = left.map(({ name, pid }) => `${name} ${String(pid)}`).join(', ');
  say(`stopping what a killed npm start left running: ${names}`);
  // First what uses the others.
  for (const isUser of [true, false]) {
    const some = left.filter(({ name }) => (ENDS_WITH[name] === 'SIGKILL') === isUser);
    for (const part of some) signalIfAlive(part, ENDS_WITH[part.name]);
    await allGone(some);
  }
}

async function allGone(parts: readonly Part[]): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  while (parts.some(isAlive)) {
    if (performance.now() > until) for (const part of parts) signalIfAlive(part, 'SIGKILL');
    if (performance.now() > until + PATIENCE_MS) return;
    await sleep(LOOK_EVERY_MS);
  }
}
