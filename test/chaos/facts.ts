/** What is there at the end, as the parts themselves tell it. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { protos } from '@google-cloud/pubsub';
import type { Exit } from './supervised.ts';
import type { World } from './world.ts';

export interface RowFact {
  readonly id: string;
  readonly status: string;
  readonly retryCount: number;
  readonly ownerToken: string | null;
  readonly topic: string;
  readonly scriptText: string | null;
}

export interface EventFact {
  readonly rowId: string;
  readonly from: string | null;
  readonly to: string;
  readonly owner: string | null;
  readonly at: number;
}

export interface LateWrite {
  readonly rowId: string;
  readonly from: string;
  readonly to: string;
  readonly oldOwner: string | null;
  readonly newOwner: string | null;
}

export interface LetterFact {
  /** Of the message it is about, by its attribute; null where it has none. */
  readonly index: number | null;
  /** Pub/Sub's id of that message, as the letter says; null where it does not. */
  readonly about: string | null;
  readonly dlqId: string;
  readonly reason: string;
  readonly body: Buffer;
  readonly at: number;
}

export interface DeliveryFact {
  /** Highest delivery attempt that a bridge has seen. */
  readonly times: number;
  /** When a bridge had it last. */
  readonly lastAt: number;
  /** Deliveries that ended with it given back, for another's run had to decide first. */
  readonly givenBack: number;
}

export interface Facts {
  readonly rows: ReadonlyMap<string, RowFact>;
  readonly events: readonly EventFact[];
  readonly lateWrites: readonly LateWrite[];
  readonly letters: readonly LetterFact[];
  /** Ids of workflows that are open. */
  readonly openWorkflows: readonly string[];
  /** Ids of messages that nobody has acked. */
  readonly unacked: readonly string[];
  /** Letters that nobody has taken from the dead-letter subscription. */
  readonly lettersLeft: number;
  /** By message id. */
  readonly deliveries: ReadonlyMap<string, DeliveryFact>;
  readonly calls: readonly {
    readonly rowId: string;
    readonly stage: string;
    readonly worker: number;
    /** By which the provider knows work that it has been asked for already. */
    readonly key: string;
    readonly startedAt: number;
    readonly endedAt: number | null;
    readonly status: number | null;
  }[];
  readonly exits: readonly Exit[];
}

export async function rowFacts(world: World): Promise<Map<string, RowFact>> {
  const rows = await world.query(
    `select id, status::text as status, retry_count, owner_token, topic, script_text from content_requests`,
  );
  return new Map(
    rows.map((row) => [
      String(row['id']),
      {
        id: String(row['id']),
        status: String(row['status']),
        retryCount: Number(row['retry_count']),
        ownerToken: row['owner_token'] as string | null,
        topic: String(row['topic']),
        scriptText: row['script_text'] as string | null,
      },
    ]),
  );
}

export async function eventFacts(world: World): Promise<EventFact[]> {
  const rows = await world.query(
    `select request_id, event_data, created_at from request_events where event_type = 'status_change' order by created_at`,
  );
  return rows.map((row) => {
    const data = row['event_data'] as { old_status: string | null; new_status: string; owner_token: string | null };
    return {
      rowId: String(row['request_id']),
      from: data.old_status,
      to: data.new_status,
      owner: data.owner_token,
      at: (row['created_at'] as Date).getTime(),
    };
  });
}

export async function lateWrites(world: World): Promise<LateWrite[]> {
  const rows = await world.query('select * from chaos_late_writes order by at');
  return rows.map((row) => ({
    rowId: String(row['request_id']),
    from: String(row['old_status']),
    to: String(row['new_status']),
    oldOwner: row['old_owner'] as string | null,
    newOwner: row['new_owner'] as string | null,
  }));
}

export async function openWorkflows(world: World): Promise<string[]> {
  const open: string[] = [];
  for await (const run of world.temporal.workflow.list({ query: "ExecutionStatus = 'Running'", pageSize: 500 })) {
    open.push(run.workflowId);
  }
  return open;
}

/** Takes them: only when no bridge runs. */
export async function unackedMessages(world: World): Promise<string[]> {
  const [{ receivedMessages }] = await world.subscriber.pull(
    {
      subscription: `projects/${world.project}/subscriptions/${world.names.subscription}`,
      maxMessages: 1_000,
    },
    { timeout: 4_000, retry: null },
  );
  return (receivedMessages ?? []).map(({ message }) => message?.messageId ?? '');
}

type PulledMessage = protos.google.pubsub.v1.IPubsubMessage;

/** Takes what is left in the dead-letter subscription: only when nobody else takes letters. */
export async function leftLetters({
  subscriber,
  project,
  names,
}: Pick<World, 'subscriber' | 'project' | 'names'>): Promise<PulledMessage[]> {
  const subscription = `projects/${project}/subscriptions/${names.deadLetterSubscription}`;
  const left: PulledMessage[] = [];
  for (;;) {
    const [{ receivedMessages }] = await subscriber.pull(
      { subscription, maxMessages: 1_000 },
      { timeout: 4_000, retry: null },
    );
    const received = receivedMessages ?? [];
    if (received.length === 0) return left;
    left.push(...received.flatMap(({ message }) => (message ? [message] : [])));
    await subscriber.acknowledge({ subscription, ackIds: received.map(({ ackId }) => ackId ?? '') });
  }
}

/** The last try of a message beside a run that has not decided; it is given back after that one. */
const LAST_TRY = 5;

interface BridgeLine {
  readonly time: string;
  readonly message: string;
  readonly messageId: string;
  readonly deliveryAttempt: number;
  readonly outcome?: string;
  readonly attempt?: number;
}

/** From the bridges' own lines. */
export async function deliveries(logFiles: readonly string[]): Promise<Map<string, DeliveryFact>> {
  const pulls = new Map<string, { times: number; lastAt: number }>();
  const givenBack = new Map<string, Set<number>>();
  for (const file of logFiles) {
    for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      if (!/"message (pulled|settled|kept)/.test(text)) continue;
      const line = JSON.parse(text) as BridgeLine;
      const { messageId, deliveryAttempt } = line;
      if (line.message === 'message pulled') {
        const before = pulls.get(messageId) ?? { times: 0, lastAt: 0 };
        pulls.set(messageId, {
          times: Math.max(before.times, deliveryAttempt),
          lastAt: Math.max(before.lastAt, Date.parse(line.time)),
        });
      } else if (wasGivenBack(line)) {
        givenBack.set(messageId, (givenBack.get(messageId) ?? new Set()).add(deliveryAttempt));
      }
    }
  }
  return new Map([...pulls].map(([id, pull]) => [id, { ...pull, givenBack: givenBack.get(id)?.size ?? 0 }]));
}

function wasGivenBack({ message, outcome, attempt }: BridgeLine): boolean {
  if (outcome !== 'run-is-undecided' && outcome !== 'run-is-failing') return false;
  return message === 'message settled' || attempt === LAST_TRY;
}
