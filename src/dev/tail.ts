/** What others publish while everything is up, a line for each change: by gcloud, by the API, by hand. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Views } from './views.ts';
import type { Watched } from './watch.ts';

const LOOK_EVERY_MS = 500;
/** Newest first; a flood shows its last ones only. */
const MOST_ROWS = 50;

/** Ends with the signal. */
export async function tail(
  views: Views,
  known: readonly Watched[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const rows = new Map(known.map((entry) => [entry.rowId, '']));
  const letters = new Set(known.map((entry) => entry.messageId));
  while (!signal.aborted) {
    const { rows: found } = await views.database.query<{ id: string; name: string; status: string; retries: number }>(
      `select id, correlation_id as name, status::text as status, retry_count as retries
       from content_requests
       where id <> all($1)
       order by created_at desc
       limit $2`,
      [known.flatMap((entry) => entry.rowId ?? []), MOST_ROWS],
    );
    for (const { id, name, status, retries } of found.reverse()) {
      const line = `${name}: row ${status}${retries === 0 ? '' : ` · retry_count ${String(retries)}`}`;
      if (rows.get(id) !== line) say(line);
      rows.set(id, line);
    }
    for (const messageId of views.deadMessages()) {
      if (letters.has(messageId)) continue;
      letters.add(messageId);
      say(`message ${messageId}: dead letter ${[...views.lettersOf(messageId).values()].join()}`);
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}
