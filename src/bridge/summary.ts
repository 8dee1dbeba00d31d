/** One line per run: what came, what became of it, why it ended. */
import type { ExitReason } from './exit.ts';

export interface Summary {
  pulled: number;
  started: number;
  duplicate: number;
  /** By reason; letters of runs included. */
  deadLettered: Record<string, number>;
  givenBack: number;
  /** Letters refused as too large; their messages wait for the native policy. */
  leftToBackstop: number;
  acked: number;
  ackFailures: number;
  /** Age of the oldest message at its pull; null when none came. */
  oldestAgeSeconds: number | null;
  exitReason: ExitReason;
  exitCode: number;
  /** What went wrong, or null. */
  detail: string | null;
}

export type Counters = Pick<
  Summary,
  'pulled' | 'started' | 'duplicate' | 'deadLettered' | 'givenBack' | 'leftToBackstop' | 'oldestAgeSeconds'
>;

export function newCounters(): Counters {
  return {
    pulled: 0,
    started: 0,
    duplicate: 0,
    deadLettered: {},
    givenBack: 0,
    leftToBackstop: 0,
    oldestAgeSeconds: null,
  };
}

export function countLetter(counters: Counters, reason: string): void {
  counters.deadLettered[reason] = (counters.deadLettered[reason] ?? 0) + 1;
}

export function countAge(counters: Counters, publishTime: string, now: number): void {
  const ageSeconds = Math.max(0, Math.round((now - Date.parse(publishTime)) / 1000));
  counters.oldestAgeSeconds = Math.max(counters.oldestAgeSeconds ?? 0, ageSeconds);
}
