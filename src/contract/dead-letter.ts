/** The envelope of a dead letter: body untouched, the story in attributes. Pure, so that its limits are testable. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { DeadLetter } from './workflow-io.ts';

/** https://cloud.google.com/pubsub/quotas#resource_limits; the emulator enforces none of them. */
export const PUBSUB_LIMITS = { attributes: 100, keyBytes: 256, valueBytes: 1024, messageBytes: 10_000_000 } as const;

/** The limit is one of the whole publish request: room for protobuf's tags and lengths, and for the topic's name. */
const FRAMING_BYTES = { request: 512, attribute: 9 } as const;

/** Consumers deduplicate by it: a crash between publish and ack sends a letter twice. */
export function dlqIdOfMessage(subscription: string, messageId: string): string {
  return bytesToHex(sha256(utf8ToBytes(`${subscription}\n${messageId}`)));
}

/**
 * As dlqIdOfMessage, for a letter that a run sends: of the first execution's run id, which survives a reset, where the
 * run owned the row; of the message id where it was refused, since each redelivery of that makes a run of its own.
 */
export function dlqIdOfRun(workflowId: string, firstRunOrMessageId: string): string {
  return bytesToHex(sha256(utf8ToBytes(`${workflowId}\n${firstRunOrMessageId}`)));
}

/**
 * At most `maxBytes` of UTF-8, cut on a character boundary. Half a surrogate pair, as in an error's text that was cut
 * elsewhere, becomes U+FFFD: Pub/Sub refuses a string that is no UTF-8, and the letter would be poison itself.
 */
export function cutToBytes(text: string, maxBytes: number): string {
  const bytes = utf8ToBytes(text);
  let end = Math.min(bytes.length, maxBytes);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  // ignoreBOM keeps a leading U+FEFF, which is a character of the text here.
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(0, end));
}

/**
 * The attributes of a letter. Ours win over originals of the same name; originals give way first where there are
 * more than 100, or where they and the body together pass Pub/Sub's size; no key starts with goog.
 */
export function deadLetterAttributes(letter: DeadLetter, bodyBytes: number): Record<string, string> {
  const { message } = letter;
  const own: Record<string, string> = {
    dlq_id: letter.dlqId,
    dlq_reason: letter.reason,
    dlq_detail: letter.detail,
    dlq_source: letter.source,
    dlq_stage: letter.stage,
    dlq_attempts: String(letter.attempts),
    dlq_message_id: message.messageId,
    dlq_publish_time: message.publishTime,
    dlq_time: letter.time,
    dlq_replay_count: replayCount(message.attributes['dlq_replay_count']),
  };
  if (letter.workflowId !== null) own['dlq_workflow_id'] = letter.workflowId;
  if (letter.runId !== null) own['dlq_run_id'] = letter.runId;
  if (message.orderingKey !== null) own['dlq_ordering_key'] = message.orderingKey;
  if (letter.correlationId !== null) own['correlation_id'] = letter.correlationId;

  const attributes: Record<string, string> = Object.create(null) as Record<string, string>;
  let bytes = bodyBytes + FRAMING_BYTES.request;
  const add = (key: string, value: string): boolean => {
    const cut = cutToBytes(value, PUBSUB_LIMITS.valueBytes);
    const size = utf8ToBytes(key).length + utf8ToBytes(cut).length + FRAMING_BYTES.attribute;
    if (Object.keys(attributes).length >= PUBSUB_LIMITS.attributes) return false;
    attributes[key] = cut;
    bytes += size;
    return true;
  };
  for (const [key, value] of Object.entries(own)) add(key, value);
  for (const [key, value] of Object.entries(message.attributes)) {
    // A replayed letter comes back with its first story: the new one replaces it whole.
    if (key in attributes || key.startsWith('dlq_') || key.toLowerCase().startsWith('goog')) continue;
    // By these a letter is one of Pub/Sub's own.
    if (key.startsWith(FORWARDED)) continue;
    const keyBytes = utf8ToBytes(key).length;
    if (keyBytes === 0 || keyBytes > PUBSUB_LIMITS.keyBytes) continue;
    const room = PUBSUB_LIMITS.messageBytes - bytes - keyBytes - FRAMING_BYTES.attribute;
    if (room < Math.min(utf8ToBytes(value).length, PUBSUB_LIMITS.valueBytes)) continue;
    add(key, value);
  }
  return { ...attributes };
}

/** https://cloud.google.com/pubsub/docs/handling-failures: what Pub/Sub adds to a message that its own policy forwards. */
const FORWARDED = 'CloudPubSubDeadLetterSource';

/** Whether a message on the dead-letter topic is a letter: ours, or one that Pub/Sub's own policy has forwarded. */
export function isLetter(attributes: Readonly<Record<string, string>>): boolean {
  return dlqIdIn(attributes) !== undefined || isForwarded(attributes);
}

/** Undefined where it is none that is written here: messages that share another word are no copies of each other. */
export function dlqIdIn(attributes: Readonly<Record<string, string>> | undefined): string | undefined {
  const id = attributes?.['dlq_id'];
  return id !== undefined && /^[0-9a-f]{64}$/.test(id) ? id : undefined;
}

export function isForwarded(attributes: Readonly<Record<string, string>>): boolean {
  return Object.keys(attributes).some((key) => key.startsWith(FORWARDED));
}

/**
 * The attributes of a letter that is published again as a request. All of its own go along: by `dlq_id` a failed row
 * knows a replay whatever the clocks say, and the next letter replaces the rest.
 */
export function replayAttributes(attributes: Readonly<Record<string, string>>, dlqId: string): Record<string, string> {
  const count = Math.min(Number(replayCount(attributes['dlq_replay_count'])) + 1, MAX_REPLAY_COUNT);
  const own = { dlq_id: dlqId, dlq_replay_count: String(count) };
  const others = Object.entries(attributes).filter(([key]) => !(key in own) && !key.startsWith(FORWARDED));
  const room = PUBSUB_LIMITS.attributes - Object.keys(own).length;
  return { ...Object.fromEntries(others.slice(0, room)), ...own };
}

const MAX_REPLAY_COUNT = 999_999;

function replayCount(sent: string | undefined): string {
  return sent !== undefined && /^\d{1,6}$/.test(sent) ? String(Number(sent)) : '0';
}
