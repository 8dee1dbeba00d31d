/** Opens Pub/Sub and Temporal for one process. */
import { PubSub, v1 } from '@google-cloud/pubsub';
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type { BridgeConfig } from '../config.ts';
import type { TopicApi } from './dead-letter.ts';
import type { PubsubAdmin } from './preflight-pubsub.ts';
import { subscriptionName, topicName } from './pubsub-names.ts';
import type { CallLimits, SubscriberApi } from './pull.ts';

export interface PubsubConnection {
  readonly subscriber: SubscriberApi;
  readonly admin: PubsubAdmin;
  readonly letterTopic: TopicApi;
  close(): Promise<void>;
}

/**
 * As Temporal's clients have it. Without it a connection that is half-open (a failover of the network) is used until TCP
 * gives up, some 15 minutes: every call ended at its own deadline, and the next one took the same way.
 */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 15_000 } as const;

export async function connectPubsub(
  config: BridgeConfig,
  pubsub = new PubSub({ projectId: config.project, ...KEEPALIVE }),
): Promise<PubsubConnection> {
  // Knows of PUBSUB_EMULATOR_HOST, which the v1 clients by themselves do not.
  // The cast: its optional fields are declared without `undefined` on one side and with it on the other.
  const clientConfig = (await pubsub.getClientConfig()) as ConstructorParameters<typeof v1.SubscriberClient>[0];
  const subscriber = new v1.SubscriberClient(clientConfig);
  const publisher = new v1.PublisherClient(clientConfig);
  const letterTopic = pubsub.topic(topicName(config.project, config.deadLetterTopic), {
    // A letter is confirmed before its message is acked: waiting for company only costs time.
    batching: { maxMessages: 1 },
    gaxOpts: { timeout: config.publishDeadlineMs },
  });
  const subscription = subscriptionName(config.project, config.subscription);
  await subscriber.initialize();
  return {
    subscriber: {
      pull: (request, limits, signal) => cancellablePull(subscriber, request, limits, signal),
      getSubscription: (request, limits) => subscriber.getSubscription(request, limits),
      acknowledge: (request, limits) => subscriber.acknowledge(request, limits),
      modifyAckDeadline: (request, limits) => subscriber.modifyAckDeadline(request, limits),
    },
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
    async close() {
      await Promise.allSettled([subscriber.close(), publisher.close(), pubsub.close()]);
    },
  };
}

type PullAnswer = Awaited<ReturnType<SubscriberApi['pull']>>;

/** subscriber.pull() drops the cancel() of the promise that it wraps, so the call beneath it is used. */
async function cancellablePull(
  subscriber: v1.SubscriberClient,
  request: { subscription: string; maxMessages: number },
  limits: CallLimits,
  signal: AbortSignal,
): Promise<PullAnswer> {
  const headers = { 'x-goog-request-params': `subscription=${encodeURIComponent(request.subscription)}` };
  const call = subscriber.innerApiCalls['pull']?.(request, { ...limits, otherArgs: { headers } }) as
    (Promise<PullAnswer> & { cancel?(): void }) | undefined;
  if (call === undefined) return subscriber.pull(request, limits);
  const cancel = (): void => call.cancel?.();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await call;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
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
