/** Tries again until it works or the signal comes; what is no outage ends it at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { abortable } from '../generators/abortable.ts';

export type Server = 'database' | 'Temporal';

/** Somebody does not answer; the message is a sentence about whom. Everything else that an attempt throws is no outage. */
export class Away extends Error {
  override readonly name = 'Away';
  readonly servers: readonly Server[];

  constructor(message: string, servers: readonly Server[]) {
    super(message);
    this.servers = servers;
  }
}

export interface Wait {
  /** Who does not answer. */
  readonly reason: string;
  readonly away: readonly Server[];
  /** From 1. */
  readonly tries: number;
  readonly waitMs: number;
}

/** 250 ms: a server that restarts is back within seconds. 5 s: by then a try costs nobody anything, and nobody waits longer. */
const FIRST_WAIT_MS = 250;
const MAX_WAIT_MS = 5_000;

export function waitAfter(tries: number): number {
  return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1));
}

/** Null = the signal came first; an attempt that is under way is left to itself. */
export async function untilAnswered<T>(
  attempt: () => Promise<T>,
  stop: AbortSignal,
  onWait: (wait: Wait) => void,
): Promise<T | null> {
  for (let tries = 1; !stop.aborted; tries += 1) {
    try {
      return await abortable(attempt(), stop);
    } catch (error) {
      // `aborted` may have changed while it waited.
      if (isAborted(stop)) return null;
      if (!(error instanceof Away)) throw error;
      const waitMs = waitAfter(tries);
      onWait({ reason: error.message, away: error.servers, tries, waitMs });
      await sleep(waitMs, undefined, { signal: stop }).catch(() => undefined);
    }
  }
  return null;
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;
