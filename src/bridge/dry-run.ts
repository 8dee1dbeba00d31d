/** Says what would become of the waiting messages, and gives them back. Starts nothing, acks nothing, sends no letter. */
import type { Logger } from 'pino';
import type { BridgeConfig } from '../config.ts';
import { parse } from '../contract/message.ts';
import { printable } from '../log.ts';
import type { Clock } from './clock.ts';
import type { Delivery } from './delivery.ts';
import { Leases } from './leases.ts';
import { subscriptionName } from './pubsub-names.ts';
import { pull, type SubscriberApi } from './pull.ts';
import type { ExitReason } from './exit.ts';
import type { Starter } from './start.ts';

/** All are held until the end: what went back at once would only be pulled again. */
const DEFAULT_LIMIT = 1_000;

export interface DryRunDeps {
  readonly config: BridgeConfig;
  readonly subscriber: SubscriberApi;
  readonly starter: Starter;
  readonly clock: Clock;
  readonly log: Logger;
  readonly print: (line: string) => void;
}

export async function dryRun(
  deps: DryRunDeps,
  signal: AbortSignal,
): Promise<{ reason: ExitReason; detail: string | null }> {
  const { config, subscriber, clock, log, print } = deps;
  const subscription = subscriptionName(config.project, config.subscription);
  const limit = config.maxMessages === 0 ? DEFAULT_LIMIT : config.maxMessages;
  const leases = new Leases(
    subscriber,
    { subscription, ackDeadlineSeconds: config.ackDeadlineSeconds, renewMs: config.leaseRenewMs },
    clock,
    log,
  );
  const ended = new AbortController();
  const renewal = leases.keepRenewing(ended.signal);
  const held: string[] = [];
  const stopped = (): boolean => signal.aborted;
  try {
    while (held.length < limit && !stopped()) {
      const answer = await pull(subscriber, subscription, limit - held.length, config.pullTimeoutMs, signal);
      // An aborted poll ends as an outage, its own doing.
      if (answer.kind === 'empty' || (answer.kind !== 'messages' && stopped())) break;
      if (answer.kind === 'outage') return { reason: 'pubsub_unavailable', detail: answer.error };
      if (answer.kind === 'misconfigured') return { reason: 'configuration', detail: answer.problem };
      for (const delivery of answer.deliveries) {
        leases.hold(delivery.ackId);
        held.push(delivery.ackId);
      }
      for (const delivery of answer.deliveries) {
        const verdict = await foresee(delivery, deps.starter);
        if (verdict.kind === 'stop') return verdict;
        print(printable(verdict.line));
      }
    }
    return { reason: 'drained', detail: null };
  } finally {
    await leases.giveBack(held);
    ended.abort();
    await renewal;
    print(`${String(held.length)} messages looked at and given back (each counts one delivery attempt)`);
  }
}

type Verdict =
  | { readonly kind: 'line'; readonly line: string }
  | { readonly kind: 'stop'; readonly reason: ExitReason; readonly detail: string };

/** Exported for its test: what a message says stands in its line. */
export async function foresee(delivery: Delivery, starter: Starter): Promise<Verdict> {
  const parsed = parse(delivery.data, delivery.attributes);
  const id = `${delivery.messageId}  `;
  if (parsed.kind === 'rejection') {
    const row = parsed.identity === null ? '' : ', and its row is told';
    return { kind: 'line', line: `${id}dead letter ${parsed.code}${row}: ${parsed.detail}` };
  }
  const { rowId, correlationId } = parsed.request;
  const look = await starter.look(rowId, parsed.contentHash, delivery.messageId);
  const ids = `row ${rowId}, correlation id ${correlationId}`;
  switch (look.kind) {
    case 'new':
      return { kind: 'line', line: `${id}start: ${ids}` };
    case 'duplicate':
      return { kind: 'line', line: `${id}duplicate: ${ids}` };
    case 'conflict':
      return { kind: 'line', line: `${id}dead letter conflicting_duplicate: ${ids}` };
    case 'undecided':
      return { kind: 'line', line: `${id}waits for the run of another message to decide: ${ids}` };
    case 'outage':
      return { kind: 'stop', reason: 'temporal_unavailable', detail: look.error };
    case 'misconfigured':
      return { kind: 'stop', reason: 'configuration', detail: look.problem };
    default:
      return look satisfies never;
  }
}
