/** The real emulator, one per test file; topics and subscriptions of their own for each test. */
import { randomUUID } from 'node:crypto';
import { v1, type PubSub } from '@google-cloud/pubsub';
import { startPubsubEmulator, emulatorClient, type PubsubEmulator } from '../../src/dev/pubsub-emulator.ts';
import { createPubsubResources, type PubsubNames } from '../../src/dev/pubsub-resources.ts';
import { onFreePort } from './free-port.ts';

/** Pub/Sub's shortest. */
export const LEASE_SECONDS = 10;

export interface TestPubsub {
  readonly emulator: PubsubEmulator;
  readonly client: PubSub;
  readonly project: string;
  readonly subscriber: v1.SubscriberClient;
  resources(): Promise<PubsubNames>;
  stop(): Promise<void>;
}

export async function startTestPubsub(): Promise<TestPubsub> {
  const emulator = await onFreePort((port) => startPubsubEmulator({ port, host: '127.0.0.1', log: () => undefined }));
  const project = 'test-project';
  const client = emulatorClient(emulator.host, project);
  const config = (await client.getClientConfig()) as ConstructorParameters<typeof v1.SubscriberClient>[0];
  const subscriber = new v1.SubscriberClient(config);
  return {
    emulator,
    client,
    project,
    subscriber,
    async resources() {
      const id = randomUUID();
      const names = {
        topic: `requests-${id}`,
        subscription: `sub-${id}`,
        deadLetterTopic: `dlq-${id}`,
        deadLetterSubscription: `dlq-sub-${id}`,
      };
      await createPubsubResources(client, names);
      // The emulator hands messages to a poll that was cancelled, until the poll's own deadline: what a bridge gives back
      // as it ends then comes back only after a lease, and 10 s of it are enough to wait for.
      await client.subscription(names.subscription).setMetadata({ ackDeadlineSeconds: LEASE_SECONDS });
      return names;
    },
    async stop() {
      await subscriber.close();
      await client.close();
      await emulator.stop();
    },
  };
}
