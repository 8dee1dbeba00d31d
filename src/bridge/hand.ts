/** The messages in hand: each is leased, handled and settled here; nothing is forgotten at the end. */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Acks } from './acks.ts';
import { BACKOFF } from './breaker.ts';
import { Bell, within, type Clock } from './clock.ts';
import { SUSPECT_ATTEMPT, type Delivery } from './delivery.ts';
import type { End } from './handle.ts';
import type { Leases } from './leases.ts';
import { countAge, type Counters } from './summary.ts';

/** Of the time to stop, kept for the last calls. */
const LAST_CALLS_MS = 1_500;

/**
 * A message that kills the process takes along whatever stands behind it, and Pub/Sub may deliver in the same order
 * every time: twenty good ones around one such message, and the ten behind it reached the subscription's dead-letter
 * policy unhandled. So every second attempt goes through the same order backwards: with one killer nobody is behind it
 * twice. And every pair of attempts has an order of its own: with several, nobody stays between two of them.
 */
export function inTurn(suspects: readonly Delivery[]): Delivery[] {
  const attempt = Math.max(...suspects.map(({ deliveryAttempt }) => deliveryAttempt));
  const pair = Math.floor(attempt / 2);
  const places = new Map(suspects.map((delivery) => [delivery, placeOf(delivery.messageId, pair)]));
  const order = [...suspects].sort((a, b) => ((places.get(a) ?? '') < (places.get(b) ?? '') ? -1 : 1));
  return attempt % 2 === 0 ? order : order.reverse();
}

/** As good as chance, and the same in the process that comes after this one. */
function placeOf(messageId: string, pair: number): string {
  return createHash('sha256')
    .update(`${String(pair)} ${messageId}`)
    .digest('hex');
}

export interface HandDeps {
  readonly leases: Leases;
  readonly acks: Acks;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Logger;
  readonly handle: (delivery: Delivery, signal: AbortSignal) => Promise<End>;
  readonly onMisconfigured: (problem: string) => void;
  readonly onBug: (error: unknown) => void;
}

export class Hand {
  /** Rings whenever a slot is free again. */
  readonly bell: Bell;
  readonly #deps: HandDeps;
  readonly #held = new Set<string>();
  readonly #stop: AbortSignal;
  #suspects = 0;

  constructor(deps: HandDeps, stop: AbortSignal) {
    this.#deps = deps;
    this.#stop = stop;
    this.bell = new Bell(deps.clock);
  }

  get size(): number {
    return this.#held.size;
  }

  /** Messages that are handled alone, one after another; nothing may be pulled beside them. */
  get suspects(): number {
    return this.#suspects;
  }

  take(deliveries: readonly Delivery[]): void {
    const { counters, clock, leases } = this.#deps;
    counters.pulled += deliveries.length;
    for (const { ackId, publishTime } of deliveries) {
      countAge(counters, publishTime, clock.date().getTime());
      this.#held.add(ackId);
      leases.hold(ackId);
    }
    const suspects = deliveries.filter((delivery) => delivery.deliveryAttempt >= SUSPECT_ATTEMPT);
    this.#suspects += suspects.length;
    for (const delivery of deliveries) {
      if (delivery.deliveryAttempt < SUSPECT_ATTEMPT) this.#inBackground(this.#process(delivery));
    }
    if (suspects.length > 0) this.#inBackground(this.#processAlone(suspects));
  }

  async giveBack(ackIds: readonly string[]): Promise<void> {
    if (ackIds.length === 0) return;
    this.#deps.counters.givenBack += ackIds.length;
    await this.#deps.leases.giveBack(ackIds);
  }

  /** Calls under way may end until `patienceMs` is over or `hurry` aborts; what is left goes back. */
  async empty(patienceMs: number, hurry: AbortSignal): Promise<void> {
    const { clock, acks, log } = this.#deps;
    const deadline = clock.now() + Math.max(0, patienceMs - LAST_CALLS_MS);
    while (this.#held.size > 0 && clock.now() < deadline && !hurry.aborted) {
      await this.bell.wait(deadline - clock.now(), hurry);
    }
    const left = [...this.#held];
    this.#held.clear();
    try {
      await within(clock, LAST_CALLS_MS, 'last acks', Promise.all([this.giveBack(left), acks.flush()]));
    } catch (error) {
      // Leases run out by themselves; what was not acked comes back and is a duplicate.
      log.warn({ error: error instanceof Error ? error.message : String(error) }, 'last acks not confirmed');
    }
  }

  /** Both catch what they run; what still gets here ends the run as a bug. */
  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => this.#deps.onBug(error));
  }

  async #processAlone(suspects: readonly Delivery[]): Promise<void> {
    while (this.#held.size > this.#suspects && !this.#stop.aborted) await this.bell.wait(BACKOFF.maxWaitMs);
    for (const delivery of inTurn(suspects)) {
      // What is done is acked first: else a process that is killed now would have it delivered once more.
      await this.#deps.acks.flush();
      await this.#process(delivery);
      this.#suspects -= 1;
      this.bell.ring();
    }
  }

  async #process(delivery: Delivery): Promise<void> {
    const { ackId } = delivery;
    try {
      const end = await this.#deps.handle(delivery, this.#stop);
      // It went back already, because the time to stop was over.
      if (this.#held.has(ackId)) await this.#end(ackId, end);
    } catch (error) {
      // A bug: nothing is known of this message, so it goes back and the run ends.
      this.#deps.onBug(error);
      await this.giveBack([ackId]);
    } finally {
      this.#held.delete(ackId);
      this.bell.ring();
    }
  }

  async #end(ackId: string, end: End): Promise<void> {
    switch (end.kind) {
      case 'ack': {
        this.#deps.acks.add(ackId);
        return;
      }
      case 'leave': {
        this.#deps.leases.release(ackId);
        return;
      }
      case 'misconfigured':
        this.#deps.onMisconfigured(end.problem);
        return this.giveBack([ackId]);
      case 'give-back':
        return this.giveBack([ackId]);
      default:
        return end satisfies never;
    }
  }
}
