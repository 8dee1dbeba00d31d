/** Time as a dependency: tests pass a clock of their own and never wait. */
export interface Clock {
  /** Milliseconds from some moment on; never set back, as the wall clock may be: for waits and limits. */
  now(): number;
  /** What the calendar says. */
  date(): Date;
  /** Resolves after `ms`, or as soon as the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, ms));
      signal?.addEventListener('abort', done, { once: true });
    }),
};

/** Somebody waits until something changes, for a while at most. */
export class Bell {
  #controller = new AbortController();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    const rung = this.#controller;
    this.#controller = new AbortController();
    rung.abort();
  }

  async wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return;
    const wake = new AbortController();
    const rung = this.#controller.signal;
    const onAbort = (): void => wake.abort();
    rung.addEventListener('abort', onAbort, { once: true });
    signal?.addEventListener('abort', onAbort, { once: true });
    await this.#clock.sleep(ms, wake.signal);
    rung.removeEventListener('abort', onAbort);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** The promise's answer, or 'aborted' when the signal comes first. Leaves no listener behind: signals live long. */
export async function untilAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | 'aborted'> {
  if (signal.aborted) {
    // As below, where race() hears a failure that comes too late: unheard it would end the process.
    promise.catch(() => undefined);
    return 'aborted';
  }
  let onAbort = (): void => undefined;
  const aborted = new Promise<'aborted'>((resolve) => {
    onAbort = () => resolve('aborted');
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** `promise`, but an error of code DEADLINE_EXCEEDED after `ms`: the last guard behind a client's own deadline. */
export async function within<T>(clock: Clock, ms: number, what: string, promise: Promise<T>): Promise<T> {
  const done = new AbortController();
  const late = clock.sleep(ms, done.signal).then(() => {
    throw Object.assign(new Error(`${what}: no answer within ${ms} ms`), { code: 4 });
  });
  // When the promise wins, the abort below makes `late` reject unheard: that rejection is not an event.
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    done.abort();
  }
}
