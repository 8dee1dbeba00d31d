/** Subscription, dead-letter topic and its subscription: there, attached to each other, and with sane policies. */
import type { BridgeConfig } from '../config.ts';
import { classifyPubsub, CODE, codeOf, describeError } from './grpc.ts';
import { problem, warning, type Checked, type Finding } from './preflight.ts';
import { shortName, subscriptionName, topicName } from './pubsub-names.ts';
import type { CallLimits } from './pull.ts';

interface DurationLike {
  readonly seconds?: unknown;
}

/** The part of google.pubsub.v1.Subscription that is looked at. */
export interface SubscriptionState {
  readonly topic?: string | null;
  readonly ackDeadlineSeconds?: number | null;
  readonly enableMessageOrdering?: boolean | null;
  readonly enableExactlyOnceDelivery?: boolean | null;
  readonly filter?: string | null;
  readonly detached?: boolean | null;
  readonly pushConfig?: { readonly pushEndpoint?: string | null } | null;
  readonly expirationPolicy?: { readonly ttl?: DurationLike | null } | null;
  readonly deadLetterPolicy?: {
    readonly deadLetterTopic?: string | null;
    readonly maxDeliveryAttempts?: number | null;
  } | null;
}

type Iam = (request: {
  resource: string;
  permissions: string[];
}) => Promise<readonly [{ readonly permissions?: readonly string[] | null }, ...unknown[]]>;

export interface PubsubAdmin {
  getSubscription(
    request: { subscription: string },
    limits: CallLimits,
  ): Promise<readonly [SubscriptionState, ...unknown[]]>;
  getTopic(request: { topic: string }, limits: CallLimits): Promise<unknown>;
  testSubscriptionPermissions: Iam;
  testTopicPermissions: Iam;
}

type Got<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'missing' }
  | { readonly kind: 'hidden' }
  | { readonly kind: 'outage'; readonly error: string }
  | { readonly kind: 'misconfigured'; readonly problem: string };

const LIMITS: CallLimits = { timeout: 10_000, retry: null };
const MIN_ATTEMPTS = 20;

export async function checkPubsub(admin: PubsubAdmin, config: BridgeConfig): Promise<Checked> {
  const { project } = config;
  const topic = topicName(project, config.topic);
  const subscription = subscriptionName(project, config.subscription);
  const letterTopic = topicName(project, config.deadLetterTopic);
  const letterSubscription = subscriptionName(project, config.deadLetterSubscription);
  const get = (name: string): Promise<Got<SubscriptionState>> =>
    look(name, async () => (await admin.getSubscription({ subscription: name }, LIMITS))[0]);

  const [source, letters, letterTopicState, mayPull, mayPublish] = await Promise.all([
    get(subscription),
    get(letterSubscription),
    look(letterTopic, () => admin.getTopic({ topic: letterTopic }, LIMITS)),
    allowed(admin.testSubscriptionPermissions, subscription, 'pubsub.subscriptions.consume'),
    allowed(admin.testTopicPermissions, letterTopic, 'pubsub.topics.publish'),
  ]);
  for (const got of [source, letters, letterTopicState]) {
    if (got.kind === 'outage') return { kind: 'outage', error: got.error };
  }

  const findings: Finding[] = [];
  const inProject = `--project ${project}`;
  report(findings, source, `subscription ${subscription}`, {
    create: `gcloud pubsub subscriptions create ${shortName(subscription)} --topic ${shortName(topic)} --ack-deadline 30 --expiration-period never ${inProject}`,
  });
  report(findings, letterTopicState, `dead-letter topic ${letterTopic}`, {
    create: `gcloud pubsub topics create ${shortName(letterTopic)} ${inProject}`,
  });
  report(findings, letters, `dead-letter subscription ${letterSubscription}`, {
    create: `gcloud pubsub subscriptions create ${shortName(letterSubscription)} --topic ${shortName(letterTopic)} --expiration-period never ${inProject}`,
  });
  if (source.kind === 'found') {
    findings.push(...attached(source.value, subscription, topic, inProject), ...policies(source.value, subscription));
  }
  if (letters.kind === 'found') {
    findings.push(...attached(letters.value, letterSubscription, letterTopic, inProject));
    findings.push(...expiry(letters.value, letterSubscription));
  }
  if (source.kind !== 'missing' && mayPull === false) {
    findings.push(
      problem(
        `no right to pull from ${subscription}. ${grant('subscriptions', subscription, 'subscriber', inProject)}`,
      ),
    );
  }
  if (letterTopicState.kind !== 'missing' && mayPublish === false) {
    findings.push(
      problem(`no right to publish to ${letterTopic}. ${grant('topics', letterTopic, 'publisher', inProject)}`),
    );
  }
  return findings;
}

async function look<T>(name: string, call: () => Promise<T>): Promise<Got<T>> {
  try {
    return { kind: 'found', value: await call() };
  } catch (error) {
    // Pulling and publishing need no right to look: without one the check is skipped, not failed.
    if (codeOf(error) === CODE.notFound) return { kind: 'missing' };
    if (codeOf(error) === CODE.permissionDenied) return { kind: 'hidden' };
    return classifyPubsub(error, name);
  }
}

/** Null where it cannot be known: the emulator has no IAM. */
async function allowed(test: Iam, resource: string, permission: string): Promise<boolean | null> {
  try {
    const [answer] = await test({ resource, permissions: [permission] });
    return answer.permissions?.includes(permission) ?? false;
  } catch (error) {
    // The look at the resource itself reports what is wrong; this check only adds what it could not see.
    void describeError(error);
    return null;
  }
}

function report(findings: Finding[], got: Got<unknown>, what: string, fix: { readonly create: string }): void {
  if (got.kind === 'missing') findings.push(problem(`${what} does not exist. Run: ${fix.create}`));
  if (got.kind === 'misconfigured') findings.push(problem(got.problem));
  if (got.kind === 'hidden') findings.push(warning(`${what} cannot be checked: grant roles/pubsub.viewer to see it.`));
}

function attached(state: SubscriptionState, subscription: string, topic: string, inProject: string): Finding[] {
  const findings: Finding[] = [];
  if (state.topic !== topic || state.detached === true) {
    // No command that deletes: the messages of a subscription go with it.
    findings.push(
      problem(
        `subscription ${subscription} is attached to ${state.topic ?? 'nothing'}, not to ${topic}. Correct the names in PUBSUB_*; or, where the names are right, make another subscription: gcloud pubsub subscriptions create <name> --topic ${shortName(topic)} --ack-deadline 30 --expiration-period never ${inProject}`,
      ),
    );
  }
  if ((state.pushConfig?.pushEndpoint ?? '') !== '') {
    findings.push(
      problem(
        `subscription ${subscription} pushes; it must be pulled. Run: gcloud pubsub subscriptions modify-push-config ${shortName(subscription)} --push-endpoint="" ${inProject}`,
      ),
    );
  }
  return findings;
}

function policies(state: SubscriptionState, subscription: string): Finding[] {
  const update = `gcloud pubsub subscriptions update ${shortName(subscription)}`;
  const findings = expiry(state, subscription);
  const deadline = state.ackDeadlineSeconds ?? 0;
  if (deadline < 30) {
    findings.push(warning(`${subscription}: ack deadline ${deadline} s is short. Run: ${update} --ack-deadline 30`));
  }
  const attempts = state.deadLetterPolicy?.maxDeliveryAttempts ?? 0;
  if ((state.deadLetterPolicy?.deadLetterTopic ?? '') === '') {
    findings.push(
      warning(
        `${subscription} has no dead-letter policy as a backstop. Run: ${update} --max-delivery-attempts 100 --dead-letter-topic <topic>`,
      ),
    );
  } else if (attempts < MIN_ATTEMPTS) {
    findings.push(
      warning(
        `${subscription}: ${attempts} delivery attempts let an outage dead-letter healthy messages. Run: ${update} --max-delivery-attempts 100`,
      ),
    );
  }
  if (state.enableExactlyOnceDelivery === true) {
    findings.push(
      warning(
        `${subscription}: exactly-once delivery is on and buys nothing here. Run: ${update} --no-enable-exactly-once-delivery`,
      ),
    );
  }
  if (state.enableMessageOrdering === true) {
    findings.push(warning(`${subscription}: ordering is on: one message that is given back holds up all of its key.`));
  }
  if ((state.filter ?? '') !== '') {
    findings.push(warning(`${subscription} has a filter (${state.filter}): messages outside it are dropped unseen.`));
  }
  return findings;
}

function expiry(state: SubscriptionState, subscription: string): Finding[] {
  if (state.expirationPolicy === null || state.expirationPolicy === undefined) return [];
  // Never = a policy without a ttl. https://cloud.google.com/pubsub/docs/subscription-properties#expiration_period
  if (Number(state.expirationPolicy.ttl?.seconds ?? 0) === 0) return [];
  return [
    warning(
      `${subscription} expires when unused, and its messages with it. Run: gcloud pubsub subscriptions update ${shortName(subscription)} --expiration-period never`,
    ),
  ];
}

function grant(kind: 'subscriptions' | 'topics', name: string, role: string, inProject: string): string {
  return `Run: gcloud pubsub ${kind} add-iam-policy-binding ${shortName(name)} --member serviceAccount:<bridge> --role roles/pubsub.${role} ${inProject}`;
}
