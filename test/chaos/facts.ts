/** What is there at the end, as the parts themselves tell it. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
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
}

export interface LateWrite {
  readonly rowId: string;
  readonly from: string;
  readonly to: string;
  readonly oldOwner: string | null;
  readonly newOwner: string | null;
}

export interface LetterFact {
  /** Of the message it is about; null where it cannot be told. */
  readonly index: number | null;
  readonly dlqId: string;
  readonly reason: string;
  readonly body: Buffer;
  readonly at: number;
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
  /** Message id -> highest delivery attempt that a bridge has seen. */
  readonly deliveries: ReadonlyMap<string, number>;
  readonly calls: readonly {
    readonly rowId: string;
    readonly stage: string;
    readonly worker: number;
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
    `select request_id, event_data from request_events where event_type = 'status_change' order by created_at`,
  );
  return rows.map((row) => {
    const data = row['event_data'] as { old_status: string | null; new_status: string; owner_token: string | null };
    return { rowId: String(row['request_id']), from: data.old_status, to: data.new_status, owner: data.owner_token };
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

/** From the bridges' own lines. */
export async function deliveries(logFiles: readonly string[]): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const file of logFiles) {
    for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      if (!line.includes('"message pulled"')) continue;
      const { messageId, deliveryAttempt } = JSON.parse(line) as { messageId: string; deliveryAttempt: number };
      found.set(messageId, Math.max(found.get(messageId) ?? 0, deliveryAttempt));
    }
  }
  return found;
}
