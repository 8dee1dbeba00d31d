/**
 * When a drain may end. One empty answer is no proof (https://cloud.google.com/pubsub/docs/pull: "does not necessarily
 * indicate that there are no messages"), an error is none at all.
 */
export const MIN_EMPTY_ANSWERS = 3;

export class IdleWatch {
  readonly #windowMs: number;
  #empties = 0;
  #emptySince: number | null = null;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** A poll that was asked at `askedAt` found nothing. */
  empty(askedAt: number): void {
    this.#empties += 1;
    this.#emptySince ??= askedAt;
  }

  /** Messages came, or the answer was an error: the count starts again. */
  reset(): void {
    this.#empties = 0;
    this.#emptySince = null;
  }

  isIdle(now: number): boolean {
    return this.#empties >= MIN_EMPTY_ANSWERS && this.#emptySince !== null && now - this.#emptySince >= this.#windowMs;
  }
}
