/** The one owner of SIGTERM and SIGINT: the first drains, the second leaves. */
import type { Logger } from 'pino';

export interface Signals {
  /** Aborted by the first. */
  readonly first: AbortSignal;
  onFirst(then: () => void): void;
  onSecond(then: () => void): void;
}

export function ownSignals(log: Logger): Signals {
  const first = new AbortController();
  const second = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (!first.signal.aborted) {
      log.info({ signal }, 'draining');
      first.abort();
    } else {
      log.warn({ signal }, 'second signal: giving back and leaving');
      second.abort();
    }
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const on = (signal: AbortSignal, then: () => void): void => {
    if (signal.aborted) then();
    else signal.addEventListener('abort', then, { once: true });
  };
  return {
    first: first.signal,
    onFirst: (then) => on(first.signal, then),
    onSecond: (then) => on(second.signal, then),
  };
}
