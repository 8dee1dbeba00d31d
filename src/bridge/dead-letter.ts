/** Publishes dead letters: for the bridge itself, and as the activity that a failed request's letter waits for. */
import { ApplicationFailure } from '@temporalio/common';
import type { Logger } from 'pino';
import { deadLetterAttributes } from '../contract/dead-letter.ts';
import type { BridgeActivities, DeadLetter } from '../contract/workflow-io.ts';
import { faultPoint } from '../fault-points.ts';
import { within, type Clock } from './clock.ts';
import { classifyPubsub, CODE, codeOf, describeError, type Trouble } from './grpc.ts';

export type Published =
  | { readonly kind: 'published'; readonly letterId: string }
  /** Pub/Sub refuses the letter itself: too large, or against a schema of the topic. */
  | { readonly kind: 'unpublishable'; readonly error: string }
  | Trouble;

/** What is needed of a Pub/Sub topic. */
export interface TopicApi {
  publishMessage(message: { data: Buffer; attributes: Record<string, string> }): Promise<string>;
}

export interface LetterPublisher {
  /** Resolves after the service confirmed the letter. The body goes out byte for byte. */
  publish(letter: DeadLetter, body: Uint8Array): Promise<Published>;
}

/** The client's own deadline comes first. */
const GUARD_MS = 2_000;

export function createLetterPublisher(
  topic: TopicApi,
  topicName: string,
  deadlineMs: number,
  clock: Clock,
): LetterPublisher {
  return {
    async publish(letter, body) {
      const attributes = deadLetterAttributes(letter, body.length);
      try {
        const publishing = topic.publishMessage({ data: Buffer.from(body), attributes });
        return { kind: 'published', letterId: await within(clock, deadlineMs + GUARD_MS, 'publish', publishing) };
      } catch (error) {
        if (codeOf(error) === CODE.invalidArgument) return { kind: 'unpublishable', error: describeError(error) };
        return classifyPubsub(error, `dead-letter topic ${topicName}`);
      }
    },
  };
}

/** Counts for the drain: the bridge stays while letters come. */
export interface LetterTraffic {
  /** An activity began; call the answer when it ends. */
  begin(): () => void;
}

export function createBridgeActivities(
  publisher: LetterPublisher,
  traffic: LetterTraffic,
  onPublished: (reason: string) => void,
  log: Logger,
): BridgeActivities {
  return {
    async publishDeadLetter({ letter, body }) {
      const end = traffic.begin();
      try {
        const result = await publisher.publish(letter, Buffer.from(body, 'utf8'));
        const fields = { dlqId: letter.dlqId, reason: letter.reason, correlation_id: letter.correlationId };
        switch (result.kind) {
          case 'published':
            onPublished(letter.reason);
            log.info({ ...fields, letterId: result.letterId }, 'dead letter of a run published');
            await faultPoint('bridge.run-letter-published', letter.message.messageId);
            return result.letterId;
          case 'unpublishable':
            // Retryable: its message was acked long ago, so nothing else would keep it. Too large it cannot be (a body of
            // 512 KiB, attributes within their limits): it is the topic, such as a schema on it, and somebody mends that.
            log.error({ ...fields, error: result.error }, 'dead letter of a run refused; it waits in Temporal');
            throw ApplicationFailure.retryable(`Pub/Sub refuses the letter: ${result.error}`, 'letter_refused');
          case 'outage':
            throw ApplicationFailure.retryable(`Pub/Sub unavailable: ${result.error}`, 'pubsub_unavailable');
          case 'misconfigured':
            // Retryable: the letter waits in Temporal until somebody has mended the set-up.
            throw ApplicationFailure.retryable(result.problem, 'pubsub_misconfigured');
          default:
            return result satisfies never;
        }
      } finally {
        end();
      }
    },
  };
}
