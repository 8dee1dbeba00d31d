/**
 * Unary long poll. Not StreamingPull: that one prefetches, nacks what it holds when it closes (each nack is a delivery
 * attempt) and overrides the subscription's ack deadline.
 */
import { toDelivery, type Delivery, type ReceivedMessage } from './delivery.ts';
import { classifyPubsub, CODE, codeOf, type Trouble } from './grpc.ts';

export interface CallLimits {
  readonly timeout: number;
  /**
   * gax would retry UNAVAILABLE inside the call until the deadline, and a dead endpoint would end as code 4: an
   * unreachable Pub/Sub would look like an empty queue. With null it is code 14 in 3 ms.
   */
  readonly retry: null;
}

/** The calls of v1.SubscriberClient that move messages; a fake stands in for what the emulator cannot do. */
export interface SubscriberApi {
  pull(
    request: { subscription: string; maxMessages: number },
    limits: CallLimits,
    /** Ends the poll at the server too: else it would still be handed messages that nobody waits for. */
    signal: AbortSignal,
  ): Promise<readonly [{ readonly receivedMessages?: readonly ReceivedMessage[] | null }, ...unknown[]]>;
  /** Only to see whether anybody answers. */
  getSubscription(request: { subscription: string }, limits: CallLimits): Promise<unknown>;
  acknowledge(request: { subscription: string; ackIds: string[] }, limits: CallLimits): Promise<unknown>;
  modifyAckDeadline(
    request: { subscription: string; ackIds: string[]; ackDeadlineSeconds: number },
    limits: CallLimits,
  ): Promise<unknown>;
}

export type Pulled =
  { readonly kind: 'messages'; readonly deliveries: readonly Delivery[] } | { readonly kind: 'empty' } | Trouble;

/** `subscription` is the full name. */
export async function pull(
  api: SubscriberApi,
  subscription: string,
  maxMessages: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Pulled> {
  try {
    const [response] = await api.pull({ subscription, maxMessages }, { timeout: timeoutMs, retry: null }, signal);
    const received = response.receivedMessages ?? [];
    return received.length === 0 ? { kind: 'empty' } : { kind: 'messages', deliveries: received.map(toDelivery) };
  } catch (error) {
    // The real service ends an empty long poll with DEADLINE_EXCEEDED as well; every other error is an error.
    if (codeOf(error) !== CODE.deadlineExceeded) return classifyPubsub(error, `subscription ${subscription}`);
    return signal.aborted ? { kind: 'empty' } : confirmed(api, subscription);
  }
}

const CONFIRM_TIMEOUT_MS = 5_000;

/**
 * A deadline may be our own, on a connection that swallows every byte: a silent Pub/Sub must not look like an empty
 * queue. Any answer to a quick call will do, a refusal for lack of rights too.
 */
async function confirmed(api: SubscriberApi, subscription: string): Promise<Pulled> {
  try {
    await api.getSubscription({ subscription }, { timeout: CONFIRM_TIMEOUT_MS, retry: null });
    return { kind: 'empty' };
  } catch (error) {
    if (codeOf(error) === CODE.permissionDenied) return { kind: 'empty' };
    return classifyPubsub(error, `subscription ${subscription}`);
  }
}
