/** Pub/Sub's clients, as all who move messages by hand use them. */
import { PubSub, v1 } from '@google-cloud/pubsub';
import { systemClock, within } from './clock.ts';
import type { CallLimits, SubscriberApi } from './pull.ts';

export interface PubsubClients {
  readonly pubsub: PubSub;
  readonly subscriber: v1.SubscriberClient;
  readonly publisher: v1.PublisherClient;
  /** What moves messages; its pull can be ended. */
  readonly messages: SubscriberApi;
  readonly close: () => Promise<void>;
}

/**
 * As Temporal's clients have it. Without it a connection that is half-open (a failover of the network) is used until TCP
 * gives up, some 15 minutes: every call ended at its own deadline, and the next one took the same way.
 */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 15_000 } as const;

/** Neither asks a server, so neither should last; yet on a machine without a free core a look at the letters did not end. */
const OPEN_LIMIT_MS = 15_000;
/** The process ends after it, and with it what cannot be closed now. */
const CLOSE_LIMIT_MS = 3_000;

/** @throws An error of code DEADLINE_EXCEEDED after 15 s. */
export async function openPubsub(
  project: string,
  pubsub = new PubSub({ projectId: project, ...KEEPALIVE }),
): Promise<PubsubClients> {
  // Knows of PUBSUB_EMULATOR_HOST, which the v1 clients by themselves do not.
  // The cast: its optional fields are declared without `undefined` on one side and with it on the other.
  const clientConfig = (await pubsub.getClientConfig()) as ConstructorParameters<typeof v1.SubscriberClient>[0];
  const subscriber = new v1.SubscriberClient(clientConfig);
  const publisher = new v1.PublisherClient(clientConfig);
  await within(systemClock, OPEN_LIMIT_MS, 'open', subscriber.initialize());
  return {
    pubsub,
    subscriber,
    publisher,
    messages: {
      pull: (request, limits, signal) => cancellablePull(subscriber, request, limits, signal),
      getSubscription: (request, limits) => subscriber.getSubscription(request, limits),
      acknowledge: (request, limits) => subscriber.acknowledge(request, limits),
      modifyAckDeadline: (request, limits) => subscriber.modifyAckDeadline(request, limits),
    },
    close: async () => {
      const closing = Promise.allSettled([subscriber.close(), publisher.close(), pubsub.close()]);
      await within(systemClock, CLOSE_LIMIT_MS, 'close', closing).catch(() => undefined);
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
