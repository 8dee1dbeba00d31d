/** One step of the start that needs Temporal: an outage between the preflight and it is an outage like any other. */
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { classifyTemporal, type Trouble } from './grpc.ts';

export interface Patience {
  readonly namespace: string;
  /** Infinity for --follow. */
  readonly limitMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Tries again until Temporal answers, `limitMs` is over or the signal comes; everything else is for good. */
export async function untilTemporalAnswers<T>(
  step: () => Promise<T>,
  { namespace, limitMs, clock, log }: Patience,
  signal: AbortSignal,
): Promise<{ readonly kind: 'done'; readonly value: T } | Trouble> {
  const startedAt = clock.now();
  for (let waitMs = 250; ; waitMs = Math.min(5_000, waitMs * 2)) {
    try {
      return { kind: 'done', value: await step() };
    } catch (error) {
      const trouble = classifyTemporal(error, namespace);
      const over = signal.aborted || clock.now() - startedAt + waitMs > limitMs;
      if (trouble.kind !== 'outage' || over) return trouble;
      log.warn({ of: 'temporal', error: trouble.error }, 'not reachable at the start; will try again');
      await clock.sleep(waitMs, signal);
    }
  }
}
