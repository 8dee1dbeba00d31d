/** Topics and subscriptions as the product needs them, for an emulator or an empty project. Running it twice changes nothing. */
import { Duration, type CreateSubscriptionOptions, type PubSub } from '@google-cloud/pubsub';

export interface PubsubNames {
  readonly topic: string;
  readonly subscription: string;
  readonly deadLetterTopic: string;
  readonly deadLetterSubscription: string;
}

const ALREADY_EXISTS = 6;
const RETENTION = Duration.from({ hours: 31 * 24 });
/** The emulator takes at most seven days. */
const EMULATOR_RETENTION = Duration.from({ hours: 7 * 24 });

export async function createPubsubResources(pubsub: PubSub, names: PubsubNames): Promise<void> {
  const { projectId } = await pubsub.getClientConfig();
  const retention = pubsub.isEmulator ? EMULATOR_RETENTION : RETENTION;
  await Promise.all([names.topic, names.deadLetterTopic].map((topic) => unlessThere(pubsub.createTopic(topic))));
  const source: CreateSubscriptionOptions = {
    ackDeadlineSeconds: 30,
    messageRetentionDuration: retention,
    // Never: a policy without a ttl.
    expirationPolicy: {},
    // With one the emulator (0.8.20) hands no message out again after the third lease that ran out: 5 of 5 were gone for 80 s
    // and more, and came back every 10 s without.
    ...(pubsub.isEmulator
      ? {}
      : { retryPolicy: { minimumBackoff: { seconds: 10 }, maximumBackoff: { seconds: 600 } } }),
    // The backstop only: what is known to be dead leaves with a reason, at its first delivery.
    deadLetterPolicy: {
      deadLetterTopic: `projects/${projectId ?? pubsub.projectId}/topics/${names.deadLetterTopic}`,
      maxDeliveryAttempts: 100,
    },
  };
  await Promise.all([
    unlessThere(pubsub.createSubscription(names.topic, names.subscription, source)),
    unlessThere(
      pubsub.createSubscription(names.deadLetterTopic, names.deadLetterSubscription, {
        ackDeadlineSeconds: 30,
        messageRetentionDuration: retention,
        expirationPolicy: {},
      }),
    ),
  ]);
}

async function unlessThere(creating: Promise<unknown>): Promise<void> {
  try {
    await creating;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === ALREADY_EXISTS)) throw error;
  }
}
