/** A message as it lies in our hand: what was delivered, and the ticket to settle it with. */
import type { SourceMessage } from '../contract/source-message.ts';

export interface Delivery {
  readonly ackId: string;
  readonly messageId: string;
  /** RFC 3339, UTC. */
  readonly publishTime: string;
  readonly orderingKey: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
  /** 1-based with a dead-letter policy on the subscription, 0 without; approximate. */
  readonly deliveryAttempt: number;
}

/** From here on a message is handled alone: if it kills the process, it takes no neighbour along. */
export const SUSPECT_ATTEMPT = 4;

/** The part of google.pubsub.v1.ReceivedMessage that is read here. */
export interface ReceivedMessage {
  readonly ackId?: string | null;
  readonly deliveryAttempt?: number | null;
  readonly message?: {
    readonly data?: Uint8Array | string | null;
    readonly attributes?: Readonly<Record<string, string>> | null;
    readonly messageId?: string | null;
    readonly publishTime?: { readonly seconds?: unknown; readonly nanos?: number | null } | null;
    readonly orderingKey?: string | null;
  } | null;
}

export function toDelivery(received: ReceivedMessage): Delivery {
  const { message } = received;
  const data = message?.data ?? new Uint8Array();
  const orderingKey = message?.orderingKey ?? '';
  return {
    ackId: received.ackId ?? '',
    messageId: message?.messageId ?? '',
    publishTime: toRfc3339(message?.publishTime?.seconds, message?.publishTime?.nanos ?? 0),
    orderingKey: orderingKey === '' ? null : orderingKey,
    attributes: { ...message?.attributes },
    data: typeof data === 'string' ? Buffer.from(data, 'base64') : data,
    deliveryAttempt: received.deliveryAttempt ?? 0,
  };
}

/** The source message without its body, as letters carry it. */
export function sourceOf(delivery: Delivery): Omit<SourceMessage, 'body'> {
  const { messageId, publishTime, orderingKey, attributes } = delivery;
  return { messageId, publishTime, orderingKey, attributes };
}

/** Microseconds, as PostgreSQL keeps them: publish times are compared with failed_at. */
function toRfc3339(seconds: unknown, nanos: number): string {
  const whole = new Date(Number(seconds ?? 0) * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
}
