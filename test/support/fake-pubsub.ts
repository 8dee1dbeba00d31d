/** Pub/Sub in memory, for what the emulator cannot do: errors on demand, deadlines as the real service answers them. */
import { Bell, systemClock } from '../../src/bridge/clock.ts';
import type { TopicApi } from '../../src/bridge/dead-letter.ts';
import type { ReceivedMessage } from '../../src/bridge/delivery.ts';
import type { CallLimits, SubscriberApi } from '../../src/bridge/pull.ts';

export type Call = 'getSubscription' | 'pull' | 'acknowledge' | 'modifyAckDeadline' | 'publish';

export interface Letter {
  readonly data: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
}

interface Stored {
  readonly messageId: string;
  readonly data: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
  attempts: number;
}

export class GrpcError extends Error {
  readonly code: number;
  constructor(code: number, message = `code ${String(code)}`) {
    super(message);
    this.code = code;
  }
}

export class FakePubsub implements SubscriberApi, TopicApi {
  /** Every call in its order, with ids. */
  readonly journal: string[] = [];
  readonly letters: Letter[] = [];
  readonly deliveries = new Map<string, number>();
  /** Largest number of messages a single answer holds: a response may hold fewer than asked for. */
  batchLimit = Infinity;
  /** How an empty long poll ends: with an empty list, or DEADLINE_EXCEEDED as the real service may. */
  emptyAs: 'list' | 'deadline' = 'list';
  readonly #queue: Stored[] = [];
  readonly #out = new Map<string, Stored>();
  readonly #faults: { call: Call; code: number; left: number }[] = [];
  readonly #bell = new Bell(systemClock);
  #ids = 0;

  /** The next `times` calls of this kind fail with this gRPC code. */
  fail(call: Call, code: number, times = Infinity): void {
    this.#faults.push({ call, code, left: times });
  }

  heal(): void {
    this.#faults.length = 0;
  }

  send(data: Buffer, attributes: Record<string, string> = {}): string {
    this.#ids += 1;
    const messageId = String(this.#ids);
    this.#queue.push({ messageId, data, attributes, attempts: 0 });
    this.#bell.ring();
    return messageId;
  }

  /** Message ids that nobody has acked. */
  waiting(): string[] {
    return [...this.#queue, ...this.#out.values()].map((message) => message.messageId).sort();
  }

  /** Message ids that are leased now. */
  leased(): string[] {
    return [...this.#out.values()].map((message) => message.messageId).sort();
  }

  async pull(
    request: { maxMessages: number },
    limits: CallLimits,
    signal: AbortSignal,
  ): Promise<readonly [{ receivedMessages: ReceivedMessage[] }]> {
    this.#fault('pull', String(request.maxMessages));
    if (this.#queue.length === 0) await this.#bell.wait(limits.timeout, signal);
    if (signal.aborted) throw new GrpcError(1, 'CANCELLED');
    if (this.#queue.length === 0 && this.emptyAs === 'deadline') throw new GrpcError(4, 'DEADLINE_EXCEEDED');
    const messages = this.#queue.splice(0, Math.min(request.maxMessages, this.batchLimit));
    return [
      {
        receivedMessages: messages.map((message) => {
          message.attempts += 1;
          this.deliveries.set(message.messageId, message.attempts);
          const ackId = `ack-${message.messageId}-${String(message.attempts)}`;
          this.#out.set(ackId, message);
          const { messageId, data, attributes } = message;
          const publishTime = { seconds: Math.floor(Date.now() / 1000), nanos: 123_456_000 };
          return { ackId, deliveryAttempt: message.attempts, message: { messageId, data, attributes, publishTime } };
        }),
      },
    ];
  }

  getSubscription(): Promise<void> {
    return this.#answer('getSubscription', '', () => undefined);
  }

  acknowledge(request: { ackIds: string[] }): Promise<void> {
    return this.#answer('acknowledge', request.ackIds.join(','), () => {
      for (const ackId of request.ackIds) this.#out.delete(ackId);
    });
  }

  modifyAckDeadline(request: { ackIds: string[]; ackDeadlineSeconds: number }): Promise<void> {
    return this.#answer(
      'modifyAckDeadline',
      `${String(request.ackDeadlineSeconds)} ${request.ackIds.join(',')}`,
      () => {
        if (request.ackDeadlineSeconds > 0) return;
        for (const ackId of request.ackIds) {
          const message = this.#out.get(ackId);
          if (message === undefined) continue;
          this.#out.delete(ackId);
          this.#queue.push(message);
          this.#bell.ring();
        }
      },
    );
  }

  publishMessage(message: { data: Buffer; attributes: Record<string, string> }): Promise<string> {
    return this.#answer('publish', message.attributes['dlq_message_id'] ?? '', () => {
      this.letters.push(message);
      return `letter-${String(this.letters.length)}`;
    });
  }

  #answer<T>(call: Call, what: string, then: () => T): Promise<T> {
    try {
      this.#fault(call, what);
      return Promise.resolve(then());
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fault(call: Call, what: string): void {
    const fault = this.#faults.find((one) => one.call === call && one.left > 0);
    this.journal.push(`${call} ${what}${fault === undefined ? '' : ` failed ${String(fault.code)}`}`);
    if (fault === undefined) return;
    fault.left -= 1;
    throw new GrpcError(fault.code);
  }
}
