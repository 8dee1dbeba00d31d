/**
 * The promise, as a question to facts: once a request has ended, is its row terminal, did it end once, did exactly one
 * letter go out where one is due, was it paid for once, is nothing open. Asked after every fault, by every test of them.
 */
import type { Deployment } from './deployment.ts';
import type { Call, MediaProvider } from './media-provider.ts';

export interface Facts {
  /** Null = no row. */
  readonly status: string | null;
  /** Every status that the row has had, as the table's trigger logged them. */
  readonly statuses: readonly string[];
  /** All that were received, copies too. */
  readonly letters: readonly { readonly dlqId: string; readonly reason: string }[];
  /** Every POST to the provider. */
  readonly calls: readonly Call[];
}

export interface Due {
  readonly status: 'completed' | 'failed' | 'cancelled' | null;
  /** Of the row, in their order, where a run before has ended it, too; the status alone unless given. */
  readonly ends?: readonly string[];
  /** Null = none is due. */
  readonly letter: string | null;
  /** Of the letter, at the most: a crash between publish and ack sends it again, with the same dlq_id. */
  readonly copies?: number;
  /** Calls of the provider by idempotency key. */
  readonly calls: Readonly<Record<string, number>>;
}

const ENDS = ['completed', 'failed', 'cancelled'];

/** In words, everything that is not as it is due; empty = the promise is kept. */
export function brokenPromises(facts: Facts, due: Due): string[] {
  const broken: string[] = [];
  const expect = (what: string, found: unknown, wanted: unknown): void => {
    const [is, should] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (is !== should) broken.push(`${what}: ${is}, due is ${should}`);
  };
  expect('row', facts.status, due.status);
  expect(
    'ends of the row',
    facts.statuses.filter((status) => ENDS.includes(status)),
    due.ends ?? (due.status === null ? [] : [due.status]),
  );
  expect(
    'reasons of letters',
    distinct(facts.letters.map(({ reason }) => reason)),
    due.letter === null ? [] : [due.letter],
  );
  const ids = distinct(facts.letters.map(({ dlqId }) => dlqId));
  if (ids.length > 1) broken.push(`${String(ids.length)} different letters`);
  const copies = due.letter === null ? 0 : (due.copies ?? 1);
  if (facts.letters.length > copies) {
    broken.push(`${String(facts.letters.length)} copies of letters, at most ${String(copies)} are due`);
  }
  const keys = distinct(facts.calls.map(({ key }) => key));
  const counted = Object.fromEntries(keys.map((key) => [key, facts.calls.filter((call) => call.key === key).length]));
  expect('paid calls', sorted(counted), sorted(due.calls));
  for (const key of keys) {
    const asked = facts.calls.filter((call) => call.key === key);
    const bodies = distinct(asked.map(({ body }) => body));
    // Key and content name what is asked for: another content is another question.
    const contents = distinct(asked.map(({ body }) => contentOf(body)));
    if (bodies.length > contents.length)
      broken.push(`${key} was asked for with ${String(bodies.length)} different bodies`);
  }
  return broken;
}

function contentOf(body: string): string {
  return String((JSON.parse(body) as { content_sha256?: unknown }).content_sha256);
}

/** What can be seen of a request from outside. `messageIds`: of every message that was published for it. */
export async function factsOf(
  deployment: Deployment,
  provider: MediaProvider,
  rowId: string,
  messageIds: readonly string[],
): Promise<Facts> {
  const row = await deployment.row(rowId);
  const events = await deployment.query(
    `select event_data ->> 'new_status' as status from request_events where request_id = $1 order by created_at`,
    [rowId],
  );
  return {
    status: row?.status ?? null,
    statuses: events.map(({ status }) => String(status)),
    letters: messageIds.flatMap((messageId) =>
      deployment.letters(messageId).map(({ attributes }) => ({
        dlqId: attributes['dlq_id'] ?? '',
        reason: attributes['dlq_reason'] ?? '',
      })),
    ),
    calls: provider.calls({ request: { rowId } }),
  };
}

/** Ids of the workflows that are open; visibility lags, so ask until it says what is waited for. */
export async function openRuns(deployment: Deployment): Promise<string[]> {
  const open: string[] = [];
  for await (const { workflowId } of deployment.temporal.client.workflow.list({
    query: `ExecutionStatus = 'Running'`,
  })) {
    open.push(workflowId);
  }
  return open.sort();
}

const distinct = (texts: readonly string[]): string[] => [...new Set(texts)].sort();

function sorted(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
}
