/** A message of the dead-letter topic as people ask for it: whose it is, and why it is there. Pure. */
import type { Delivery } from '../bridge/delivery.ts';
import { dlqIdIn, dlqIdOfMessage, isForwarded, isLetter } from '../contract/dead-letter.ts';
import { canonicalUuid, rowIdOf } from '../contract/identity.ts';
import { parse, type RejectedIdentity } from '../contract/message.ts';
import { workflowId } from '../contract/names.ts';

export interface Letter {
  /** dlq_id, which the copies of a letter share. A message that brings none has one by its own Pub/Sub id. */
  readonly id: string;
  /** False = neither the bridge nor Pub/Sub's own policy has sent it: somebody's test, or another subscription. */
  readonly isLetter: boolean;
  readonly reason: string;
  readonly rowId: string | null;
  readonly correlationId: string | null;
  /** Pub/Sub's id of the message that died. */
  readonly messageId: string | null;
  readonly orderingKey: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Given up by Pub/Sub itself, after its 100 deliveries: the bridge never came to a word about it. */
export const UNDELIVERED = 'undelivered';
const NO_LETTER = 'no_letter';

/** @param subscription Full name of the letters' subscription. */
export function toLetter(delivery: Delivery, subscription: string): Letter {
  const { attributes, data } = delivery;
  // Of a replayed request that Pub/Sub gave up later, the attributes tell the story of the letter before.
  const story = isForwarded(attributes) ? undefined : attributes;
  const ids = idsIn(data);
  return {
    id: dlqIdIn(story) ?? dlqIdOfMessage(subscription, delivery.messageId),
    isLetter: isLetter(attributes),
    reason: story?.['dlq_reason'] ?? (isForwarded(attributes) ? UNDELIVERED : NO_LETTER),
    rowId: rowOfRun(story?.['dlq_workflow_id']) ?? ids.rowId,
    correlationId: story?.['correlation_id'] ?? ids.correlationId,
    messageId: story?.['dlq_message_id'] ?? null,
    orderingKey: story?.['dlq_ordering_key'] ?? delivery.orderingKey,
    attributes,
    body: data,
  };
}

function rowOfRun(id: string | undefined): string | null {
  const prefix = workflowId.process('');
  return id?.startsWith(prefix) === true ? id.slice(prefix.length) : null;
}

function idsIn(body: Uint8Array): Pick<Letter, 'rowId' | 'correlationId'> {
  const parsed = parse(body, {});
  return parsed.kind === 'request' ? parsed.request : idsOf(parsed.identity);
}

function idsOf(identity: RejectedIdentity): Pick<Letter, 'rowId' | 'correlationId'> {
  if (identity === null) return { rowId: null, correlationId: null };
  if ('rowId' in identity) return { rowId: identity.rowId, correlationId: null };
  return { rowId: rowIdOf(identity.correlationId), correlationId: identity.correlationId };
}

const SHORTEST_PREFIX = 8;

/** As `show` prints it; the whole is 64 digits. */
export const shortId = (letter: Letter): string => letter.id.slice(0, SHORTEST_PREFIX);

/** The letter's id or its beginning, the row's, the correlation_id, or the id of the message that died. */
export function isNamed(letter: Letter, who: string): boolean {
  if (who.length >= SHORTEST_PREFIX && letter.id.startsWith(who.toLowerCase())) return true;
  if (who === letter.correlationId || who === letter.messageId) return true;
  return letter.rowId !== null && canonicalUuid(who) === letter.rowId;
}

export interface Choice {
  /** Empty = not asked for by name. */
  readonly who: readonly string[];
  readonly reason: string | null;
  /** How many at the most; copies are not counted. */
  readonly limit: number;
}

/** What is no letter is chosen by its name only. */
export function isChosen(letter: Letter, { who, reason }: Choice): boolean {
  if (reason !== null && reason !== letter.reason) return false;
  return who.length === 0 ? letter.isLetter : who.some((name) => isNamed(letter, name));
}
