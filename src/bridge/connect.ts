/** Opens Pub/Sub and Temporal for one process. */
import type { PubSub } from '@google-cloud/pubsub';
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type { BridgeConfig } from '../config.ts';
import type { TopicApi } from './dead-letter.ts';
import type { PubsubAdmin } from './preflight-pubsub.ts';
import { openPubsub } from './pubsub-clients.ts';
import { subscriptionName, topicName } from './pubsub-names.ts';
import type { SubscriberApi } from './pull.ts';

export interface PubsubConnection {
  readonly subscriber: SubscriberApi;
  readonly admin: PubsubAdmin;
  readonly letterTopic: TopicApi;
  close(): Promise<void>;
}

export async function connectPubsub(config: BridgeConfig, own?: PubSub): Promise<PubsubConnection> {
  const { pubsub, subscriber, publisher, messages, close } = await openPubsub(config.project, own);
  const letterTopic = pubsub.topic(topicName(config.project, config.deadLetterTopic), {
    // A letter is confirmed before its message is acked: waiting for company only costs time.
    batching: { maxMessages: 1 },
    gaxOpts: { timeout: config.publishDeadlineMs },
  });
  const subscription = subscriptionName(config.project, config.subscription);
  return {
    subscriber: messages,
    letterTopic,
    admin: {
      getSubscription: (request, limits) => subscriber.getSubscription(request, limits),
      getTopic: (request, limits) => publisher.getTopic(request, limits),
      testSubscriptionPermissions: async ({ permissions }) => [
        { permissions: granted(await pubsub.subscription(subscription).iam.testPermissions(permissions)) },
      ],
      testTopicPermissions: async ({ permissions }) => [
        { permissions: granted(await letterTopic.iam.testPermissions(permissions)) },
      ],
    },
    close,
  };
}

function granted(answer: readonly [Readonly<Record<string, boolean>>, ...unknown[]]): string[] {
  return Object.entries(answer[0])
    .filter(([, allowed]) => allowed)
    .map(([permission]) => permission);
}

export interface TemporalConnection {
  readonly connection: NativeConnection;
  readonly client: Client;
  close(): Promise<void>;
}

/** One native connection for the client and the letters' worker: 59 ms from start to ready. */
export async function connectTemporal(config: BridgeConfig): Promise<TemporalConnection> {
  const { temporal } = config;
  const connection = await NativeConnection.connect(temporal.connection);
  return {
    connection,
    client: new Client({ connection, namespace: temporal.namespace }),
    close: () => connection.close(),
  };
}
