/** What is in hand stays ours: leases are renewed until a message is acked, given back or left. */
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { describeError } from './grpc.ts';
import type { SubscriberApi } from './pull.ts';

/** An ack request may hold 512 KiB; 1000 ids of 200 bytes stay well below. */
export const MAX_IDS_PER_CALL = 1_000;
/** Moving a lease is one quick call; the next renewal comes anyway. */
const CALL_TIMEOUT_MS = 5_000;

export function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

export interface LeaseOptions {
  readonly subscription: string;
  readonly ackDeadlineSeconds: number;
  readonly renewMs: number;
}

export class Leases {
  readonly #api: SubscriberApi;
  readonly #options: LeaseOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #held = new Set<string>();

  constructor(api: SubscriberApi, options: LeaseOptions, clock: Clock, log: Logger) {
    this.#api = api;
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
  }

  hold(ackId: string): void {
    this.#held.add(ackId);
  }

  /** No more renewals: acked, or left for the lease to run out. */
  release(ackId: string): void {
    this.#held.delete(ackId);
  }

  holds(ackId: string): boolean {
    return this.#held.has(ackId);
  }

  /** Renews until the signal aborts. Not counted as a delivery attempt. */
  async keepRenewing(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#clock.sleep(this.#options.renewMs, signal);
      if (signal.aborted) return;
      // Not waited for: one that hangs would put off the next, and two in a row may lose the lease. Never rejects.
      this.renew().catch(() => undefined);
    }
  }

  async renew(): Promise<void> {
    await this.#modify([...this.#held], this.#options.ackDeadlineSeconds, 'lease not renewed');
  }

  /** Back to the queue, now. Counts as a delivery attempt, as letting the lease run out would. */
  async giveBack(ackIds: readonly string[]): Promise<void> {
    for (const ackId of ackIds) this.#held.delete(ackId);
    await this.#modify(ackIds, 0, 'message not given back');
  }

  async #modify(ackIds: readonly string[], ackDeadlineSeconds: number, failure: string): Promise<void> {
    const { subscription } = this.#options;
    for (const ids of chunks(ackIds, MAX_IDS_PER_CALL)) {
      try {
        await this.#api.modifyAckDeadline(
          { subscription, ackIds: ids, ackDeadlineSeconds },
          { timeout: CALL_TIMEOUT_MS, retry: null },
        );
      } catch (error) {
        // Harmless: a lease that runs out brings the message back, and a second start of it is a duplicate.
        this.#log.warn({ messages: ids.length, error: describeError(error) }, failure);
      }
    }
  }
}
