/** Follows messages through the places where they can be, and says whether each ended as it should. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { workflowId } from '../contract/names.ts';
import { parse } from '../contract/message.ts';
import type { DemoMessage } from './demo.ts';
import type { Letters, Views } from './views.ts';

export interface Watched {
  readonly message: DemoMessage;
  readonly messageId: string;
  /** Null when the message has no identity of its own. */
  readonly rowId: string | null;
  readonly workflowId: string | null;
  /** The run's status in words; null = not looked at, or no run. */
  workflow: string | null;
  row: { status: string; retryCount: number } | null;
  readonly letters: Letters;
}

export function watched(message: DemoMessage, messageId: string, letters: Letters): Watched {
  const parsed = parse(Buffer.from(message.body), {});
  const rowId = parsed.kind === 'request' ? parsed.request.rowId : null;
  return {
    message,
    messageId,
    rowId,
    workflowId: rowId === null ? null : workflowId.process(rowId),
    workflow: null,
    row: null,
    letters,
  };
}

/** Brings every entry up to date. `withRuns`: a call per open run, so not for thousands. */
export async function look(entries: readonly Watched[], views: Views, withRuns: boolean): Promise<void> {
  const open = entries.filter((entry) => entry.rowId !== null && !hasEnded(entry));
  const { rows } = await views.database.query<{ id: string; status: string; retry_count: number }>(
    'select id, status::text as status, retry_count from content_requests where id = any($1)',
    [open.map((entry) => entry.rowId)],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const entry of open) {
    const found = byId.get(entry.rowId ?? '');
    entry.row = found === undefined ? null : { status: found.status, retryCount: found.retry_count };
    if (withRuns) entry.workflow = await workflowStatus(views.client, entry.workflowId);
  }
}

async function workflowStatus(client: Client, id: string | null): Promise<string | null> {
  if (id === null) return null;
  try {
    const { status } = await client.workflow.getHandle(id).describe();
    return status.name.charAt(0) + status.name.slice(1).toLowerCase();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** Whether the message has come to an end, good or bad. */
export function hasEnded(entry: Watched): boolean {
  if (entry.workflow === 'Running') return false;
  if (entry.row === null || entry.row.status === 'failed') return entry.letters.size > 0;
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
  if (expected.workflow !== entry.workflow) {
    faults.push(`workflow ${entry.workflow ?? 'absent'}, expected ${expected.workflow ?? 'none'}`);
  }
  if (expected.retryCount !== null && entry.row?.retryCount !== expected.retryCount) {
    faults.push(`retry_count ${String(entry.row?.retryCount)}, expected ${String(expected.retryCount)}`);
  }
  if ((reasons.join() || null) !== expected.letter || entry.letters.size > 1) {
    faults.push(`letters ${reasons.join() || 'none'}, expected ${expected.letter ?? 'none'}`);
  }
  return faults.length === 0 ? null : faults.join('; ');
}
