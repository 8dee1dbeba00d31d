/** Whether the provider works with this worker's settings, as its answers say; what readiness tells. */
import { classify, type Failure } from '../activities/classify.ts';
import { abortable } from '../generators/abortable.ts';
import { GeneratorError, type Generator } from '../generators/generator.ts';
import type { Logger } from '../log.ts';

export type ProviderWord = 'ok' | 'not asked yet' | 'unavailable' | 'misconfigured';

/** What is not well is looked at again so often, when somebody asks: readiness must come back without a request. */
const LOOK_AGAIN_MS = 30_000;
export const PROVIDER_CHECK_MS = 12_000;

export class ProviderState {
  readonly #generator: Generator;
  readonly #log: Logger;
  readonly #now: () => number;
  #word: ProviderWord = 'not asked yet';
  #lookedAt = -Infinity;
  /** Reports and begun looks so far, and which of them the word is from. */
  #asked = 0;
  #wordFrom = 0;

  constructor(generator: Generator, log: Logger, now: () => number = Date.now) {
    this.#generator = generator;
    this.#log = log;
    this.#now = now;
  }

  /** An outage passes by itself and taking this worker away mends nothing: only a misconfiguration is not ready. */
  get ready(): boolean {
    return this.#word !== 'misconfigured';
  }

  get word(): ProviderWord {
    return this.#word;
  }

  /** After each call of the provider; null = it was answered. */
  report(failure: Failure | null): void {
    // A refusal of one request, or a failure of one attempt, says nothing about the settings.
    if (failure === null || failure.kind === 'permanent') this.#hear('ok');
    else if (failure.kind === 'configuration') this.#hear('misconfigured');
    else if (failure.kind === 'unavailable') this.#hear('unavailable');
  }

  /** Asks the provider, and says in the log what is wrong. Never throws: a worker starts, and its requests wait. */
  async look(): Promise<void> {
    this.#lookedAt = this.#now();
    const asked = this.#next();
    try {
      const found = await checkWithin(this.#generator, PROVIDER_CHECK_MS);
      this.#hear('ok', asked);
      this.#log.info({ generator: this.#generator.name, found }, 'provider checked');
    } catch (error) {
      const failure = classify(error);
      // The check sends nothing of a request's, so a refusal of it is one of the settings; and a check that failed in
      // any other way leaves open whether a request would.
      const refused = failure.kind === 'permanent' || failure.kind === 'configuration';
      this.#hear(refused ? 'misconfigured' : 'unavailable', asked);
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error({ generator: this.#generator.name, code: failure.code, reason }, 'provider check failed');
    }
  }

  #next(): number {
    this.#asked += 1;
    return this.#asked;
  }

  /** A look may end seconds after a request that began later has told something: the newer word stands. */
  #hear(word: ProviderWord, asked = this.#next()): void {
    if (asked < this.#wordFrom) return;
    this.#word = word;
    this.#wordFrom = asked;
  }

  /** For whoever asks whether the worker is ready: starts another look where one is due, and does not wait for it. */
  lookAgainIfDue(): void {
    if (this.#word !== 'ok' && this.#now() - this.#lookedAt >= LOOK_AGAIN_MS) {
      // Never rejects.
      this.look().catch(() => undefined);
    }
  }
}

/** Ends in time, whatever the provider or its library does. */
export async function checkWithin(generator: Generator, limitMs: number): Promise<string> {
  const signal = AbortSignal.timeout(limitMs);
  try {
    return await abortable(generator.check(signal), signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new GeneratorError('unavailable', 'no_answer', `no answer within ${String(limitMs / 1_000)} s`);
  }
}
