import type { Clock } from '../../src/bridge/clock.ts';

/** Time passes only when a test says so. */
export class HandClock implements Clock {
  time = 0;
  readonly #sleepers: { at: number; wake: () => void }[] = [];

  now(): number {
    return this.time;
  }

  date(): Date {
    return new Date(this.time);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake) => {
      this.#sleepers.push({ at: this.time + ms, wake });
      signal?.addEventListener('abort', () => wake(), { once: true });
    });
  }

  async pass(ms: number): Promise<void> {
    this.time += ms;
    for (const sleeper of this.#sleepers.splice(0)) {
      if (sleeper.at <= this.time) sleeper.wake();
      else this.#sleepers.push(sleeper);
    }
    // The woken ones run before the next line of the test.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
