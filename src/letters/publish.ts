/** A letter becomes a request again: body and ordering key as they were, attributes as a replay must have them. */
import { within, type Clock } from '../bridge/clock.ts';
import { classifyPubsub, CODE, codeOf, describeError } from '../bridge/grpc.ts';
import { replayAttributes } from '../contract/dead-letter.ts';
import type { Letter } from './letter.ts';
import type { Acted } from './settle.ts';

interface Outgoing {
  readonly data: Uint8Array;
  readonly attributes: Record<string, string>;
  readonly orderingKey: string;
}

/** The part of v1.PublisherClient that is used: unlike a topic of the client library it takes a key without an order. */
export interface PublisherApi {
  publish(
    request: { topic: string; messages: Outgoing[] },
    /** Calls that are made side by side become one otherwise, and each is answered with the ids of all. */
    limits: { timeout: number; isBundling: false },
  ): Promise<readonly [{ readonly messageIds?: readonly string[] | null }, ...unknown[]]>;
}

const TIMEOUT_MS = 15_000;
/** The client tries again by itself. */
const GUARD_MS = 5_000;

/** @param topic Full name. */
export async function replay(publisher: PublisherApi, topic: string, letter: Letter, clock: Clock): Promise<Acted> {
  const message = {
    data: letter.body,
    attributes: replayAttributes(letter.attributes, letter.id),
    orderingKey: letter.orderingKey ?? '',
  };
  try {
    const publishing = publisher.publish({ topic, messages: [message] }, { timeout: TIMEOUT_MS, isBundling: false });
    const [{ messageIds }] = await within(clock, TIMEOUT_MS + GUARD_MS, 'publish', publishing);
    const messageId = messageIds?.[0];
    // Without the service's word for it, it is not published.
    return messageId === undefined
      ? { kind: 'refused', error: 'Pub/Sub answers without an id' }
      : { kind: 'done', messageId };
  } catch (error) {
    if (codeOf(error) === CODE.invalidArgument) return { kind: 'refused', error: describeError(error) };
    return classifyPubsub(error, `topic ${topic}`);
  }
}
