/** Looks at the four places where a message can be, and says what changed. */
import type { Client } from '@temporalio/client';
import type { Message, PubSub } from '@google-cloud/pubsub';
import type pg from 'pg';
import { NAMES, workflowId } from '../contract/names.ts';
import { parse } from '../contract/message.ts';
import type { DemoMessage } from './demo.ts';

export interface Watched {
  readonly message: DemoMessage;
  readonly messageId: string;
  /** Null when the message has no identity of its own. */
  readonly rowId: string | null;
  readonly workflowId: string | null;
  workflow: string | null;
  row: { status: string; retryCount: number; stage: string | null } | null;
  letters: Map<string, string>;
}

export function watched(message: DemoMessage, messageId: string): Watched {
  const parsed = parse(Buffer.from(message.body), {});
  const rowId = parsed.kind === 'request' ? parsed.request.rowId : null;
  return {
    message,
    messageId,
    rowId,
    workflowId: rowId === null ? null : workflowId.process(rowId),
    workflow: null,
    row: null,
    letters: new Map(),
  };
}

/** A subscription of our own on the dead-letter topic: what we read stays in the product's. */
export async function watchLetters(pubsub: PubSub, onLetter: (letter: Message) => void): Promise<() => Promise<void>> {
  const [subscription] = await pubsub
    .topic(NAMES.deadLetterTopic)
    .createSubscription(`${NAMES.deadLetterSubscription}-watch-${String(process.pid)}`);
  subscription.on('message', (letter: Message) => {
    letter.ack();
    onLetter(letter);
  });
  return async () => {
    await subscription.close();
    await subscription.delete();
  };
}

/** Brings every entry up to date; true when one changed. */
export async function look(entries: readonly Watched[], client: Client, database: pg.Client): Promise<boolean> {
  const ids = entries.flatMap((entry) => entry.rowId ?? []);
  const { rows } = await database.query<{
    id: string;
    status: string;
    retry_count: number;
    current_stage: string | null;
  }>('select id, status::text as status, retry_count, current_stage from content_requests where id = any($1)', [ids]);
  let changed = false;
  for (const entry of entries) {
    const found = rows.find((row) => row.id === entry.rowId);
    const row = found ? { status: found.status, retryCount: found.retry_count, stage: found.current_stage } : null;
    // A run that has ended stays as it is: asking again would cost a call per message and look.
    const workflow = isOpen(entry) ? await workflowStatus(client, entry.workflowId) : entry.workflow;
    if (JSON.stringify(row) !== JSON.stringify(entry.row) || workflow !== entry.workflow) changed = true;
    entry.row = row;
    entry.workflow = workflow;
  }
  return changed;
}

const isOpen = (entry: Watched): boolean => entry.workflow === null || entry.workflow === 'Running';

async function workflowStatus(client: Client, id: string | null): Promise<string | null> {
  if (id === null) return null;
  try {
    const { status } = await client.workflow.getHandle(id).describe();
    return status.name.charAt(0) + status.name.slice(1).toLowerCase();
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null;
    throw error;
  }
}

/** Whether the message has come to an end, good or bad. */
export function hasEnded(entry: Watched): boolean {
  if (entry.rowId === null) return entry.letters.size > 0;
  if (isOpen(entry)) return false;
  if (entry.row === null) return entry.letters.size > 0;
  if (entry.row.status === 'failed') return entry.letters.size > 0;
  return entry.row.status === 'completed' || entry.row.status === 'cancelled';
}

/** What differs from what was expected; null when it ended as it should. */
export function verdict(entry: Watched): string | null {
  const { expected } = entry.message;
  const reasons = [...new Set(entry.letters.values())];
  if (expected === null) return hasEnded(entry) ? null : 'not ended';
  const faults: string[] = [];
  if ((entry.row?.status ?? null) !== expected.status) {
    faults.push(`row ${entry.row?.status ?? 'absent'}, expected ${expected.status ?? 'none'}`);
  }
  if (expected.retryCount !== null && entry.row?.retryCount !== expected.retryCount) {
    faults.push(`retry_count ${String(entry.row?.retryCount)}, expected ${String(expected.retryCount)}`);
  }
  if ((reasons.join() || null) !== expected.letter || entry.letters.size > 1) {
    faults.push(`letters ${reasons.join() || 'none'}, expected ${expected.letter ?? 'none'}`);
  }
  return faults.length === 0 ? null : faults.join('; ');
}
