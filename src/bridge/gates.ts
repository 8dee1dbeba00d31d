/** The three things a message may have to wait for, each behind a breaker of its own. */
import {
  admit,
  afterOutage,
  afterSuccess,
  CLOSED,
  troubledForMs,
  type Breaker,
  type BreakerPolicy,
} from './breaker.ts';
import { Bell, type Clock } from './clock.ts';

/**
 * Pulling and publishing are told apart: pulls that work must not hide a dead-letter topic that does not answer.
 */
export type Dependency = 'temporal' | 'pull' | 'publish';
export const DEPENDENCIES = ['temporal', 'pull', 'publish'] as const satisfies readonly Dependency[];

export class Gates {
  readonly #breakers: Record<Dependency, Breaker> = { temporal: CLOSED, pull: CLOSED, publish: CLOSED };
  readonly #answeredAt: Record<Dependency, number | null> = { temporal: null, pull: null, publish: null };
  readonly #bell: Bell;
  readonly #clock: Clock;
  readonly #policy: BreakerPolicy;
  readonly #random: () => number;
  readonly #onChange: (dependency: Dependency, state: Breaker['state'], error: string | null) => void;

  constructor(
    clock: Clock,
    policy: BreakerPolicy,
    random: () => number,
    onChange: (dependency: Dependency, state: Breaker['state'], error: string | null) => void,
  ) {
    this.#clock = clock;
    this.#bell = new Bell(clock);
    this.#policy = policy;
    this.#random = random;
    this.#onChange = onChange;
  }

  /** Waits until a call may be tried; false when the signal came first. Who got true must report. */
  async admit(dependency: Dependency, signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (this.tryAdmit(dependency)) return true;
      const breaker = this.#breakers[dependency];
      const waitMs = breaker.state === 'open' ? breaker.retryAt - this.#clock.now() : this.#policy.maxWaitMs;
      await this.#bell.wait(waitMs, signal);
    }
    return false;
  }

  tryAdmit(dependency: Dependency): boolean {
    const { go, next } = admit(this.#breakers[dependency], this.#clock.now());
    this.#set(dependency, next, null);
    return go;
  }

  success(dependency: Dependency): void {
    this.#answeredAt[dependency] = this.#clock.now();
    this.#set(dependency, afterSuccess(), null);
  }

  outage(dependency: Dependency, error: string): void {
    this.#set(
      dependency,
      afterOutage(this.#breakers[dependency], this.#clock.now(), this.#policy, this.#random),
      error,
    );
  }

  state(dependency: Dependency): Breaker['state'] {
    return this.#breakers[dependency].state;
  }

  troubledForMs(dependency: Dependency): number {
    return troubledForMs(this.#breakers[dependency], this.#clock.now());
  }

  answeredWithin(dependency: Dependency, ms: number): boolean {
    const at = this.#answeredAt[dependency];
    return at !== null && this.#clock.now() - at <= ms;
  }

  #set(dependency: Dependency, next: Breaker, error: string | null): void {
    const before = this.#breakers[dependency].state;
    this.#breakers[dependency] = next;
    if (before === next.state) return;
    this.#bell.ring();
    this.#onChange(dependency, next.state, error);
  }
}
