/** Whether letters of runs still come: the second of the two things that must be idle before a drain ends. */
import type { Clock } from './clock.ts';
import type { LetterTraffic } from './dead-letter.ts';

export class LetterWatch implements LetterTraffic {
  readonly #clock: Clock;
  #inFlight = 0;
  #quietSince: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#quietSince = clock.now();
  }

  begin(): () => void {
    this.#inFlight += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#inFlight -= 1;
      this.#quietSince = this.#clock.now();
    };
  }

  /** Somebody knows of letters that have not come yet. */
  expect(): void {
    this.#quietSince = this.#clock.now();
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  idleFor(ms: number): boolean {
    return this.#inFlight === 0 && this.#clock.now() - this.#quietSince >= ms;
  }
}
