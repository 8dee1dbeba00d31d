/** Acks in batches, each awaited: an ack that failed is known, counted, and tried again while the lease lasts. */
import type { Logger } from 'pino';
import { faultPoint } from '../fault-points.ts';
import { backoffMs } from './breaker.ts';
import type { Clock } from './clock.ts';
import { CODE, codeOf, describeError } from './grpc.ts';
import { chunks, MAX_IDS_PER_CALL, type Leases } from './leases.ts';
import type { SubscriberApi } from './pull.ts';

export const FLUSH_AT = 100;
export const FLUSH_MS = 200;
const CALL_TIMEOUT_MS = 5_000;
/** 250 ms doubling: the last try starts about 4 s after the first, well within a lease of 30 s. */
const TRIES = 5;

export class Acks {
  readonly #api: SubscriberApi;
  readonly #subscription: string;
  readonly #leases: Leases;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: () => number;
  #waiting: string[] = [];
  #early = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #timer: Promise<void> | null = null;
  acked = 0;
  failed = 0;

  constructor(
    api: SubscriberApi,
    subscription: string,
    leases: Leases,
    clock: Clock,
    log: Logger,
    random: () => number,
  ) {
    this.#api = api;
    this.#subscription = subscription;
    this.#leases = leases;
    this.#clock = clock;
    this.#log = log;
    this.#random = random;
  }

  add(ackId: string): void {
    this.#waiting.push(ackId);
    if (this.#waiting.length >= FLUSH_AT) this.#early.abort();
    this.#timer ??= this.#clock.sleep(FLUSH_MS, this.#early.signal).then(() => this.#send());
  }

  /** Everything that waits is sent, and every call has ended. */
  async flush(): Promise<void> {
    this.#early.abort();
    if (this.#timer !== null) await this.#timer;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #send(): void {
    const ids = this.#waiting;
    this.#waiting = [];
    this.#timer = null;
    this.#early = new AbortController();
    for (const part of chunks(ids, MAX_IDS_PER_CALL)) {
      const run = this.#acknowledge(part).finally(() => this.#running.delete(run));
      this.#running.add(run);
    }
  }

  async #acknowledge(ackIds: string[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await faultPoint('bridge.acking');
        await this.#api.acknowledge(
          { subscription: this.#subscription, ackIds },
          { timeout: CALL_TIMEOUT_MS, retry: null },
        );
        this.acked += ackIds.length;
        for (const ackId of ackIds) this.#leases.release(ackId);
        return;
      } catch (error) {
        if (codeOf(error) === CODE.invalidArgument && ackIds.length > 1) {
          // One bad id fails the whole call: the others must not suffer for it.
          const half = Math.ceil(ackIds.length / 2);
          await Promise.all([this.#acknowledge(ackIds.slice(0, half)), this.#acknowledge(ackIds.slice(half))]);
          return;
        }
        if (codeOf(error) === CODE.invalidArgument || attempt >= TRIES) {
          // A redelivery is harmless: the workflow id makes it a duplicate, the dlq_id a known letter.
          this.failed += ackIds.length;
          for (const ackId of ackIds) this.#leases.release(ackId);
          this.#log.warn({ messages: ackIds.length, error: describeError(error) }, 'ack failed; expect redelivery');
          return;
        }
        await this.#clock.sleep(backoffMs(attempt, this.#random));
      }
    }
  }
}
