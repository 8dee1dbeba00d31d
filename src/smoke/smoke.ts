/** One message through the whole deployment: published, and followed to its end. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Row, Watch } from './watch.ts';

/** Publishes a body and answers with Pub/Sub's id of it. */
export type Publish = (body: string) => Promise<string>;

export interface Outcome {
  readonly reason: 'completed' | 'failed' | 'timed_out';
  readonly row: Row | null;
  /** In a sentence. */
  readonly verdict: string;
}

export const LOOK_EVERY_MS = 500;
export const NOBODY_TOOK_IT = 'nobody has taken the message: does the bridge run?';

/** The plan's message under a name of its own: a fixed one would be a duplicate from the second time on, and pass. */
export function smokeMessage(): { readonly correlationId: string; readonly body: string } {
  const correlationId = `smoke-${randomUUID()}`;
  const body = JSON.stringify({
    correlation_id: correlationId,
    student_id: 'test-student',
    topic: 'Python Basics',
    grade_level: '9th Grade',
  });
  return { correlationId, body };
}

/** @param watch Is open already: what cannot be watched is not published. */
export async function smoke(
  publish: Publish,
  watch: Watch,
  waitMs: number,
  say: (line: string) => void,
): Promise<Outcome> {
  const { correlationId, body } = smokeMessage();
  const messageId = await publish(body);
  say(`published message ${messageId}: ${body}`);
  const until = Date.now() + waitMs;
  let said = '';
  for (;;) {
    const { row, end } = await watch.look(correlationId);
    const now = row?.['status'] ?? 'nothing yet';
    if (now !== said) say(now);
    said = now;
    if (end === 'completed') return { reason: 'completed', row, verdict: 'passed' };
    if (end !== null) return { reason: 'failed', row, verdict: 'FAILED: it did not end as completed' };
    if (Date.now() >= until) {
      const late = row === null ? NOBODY_TOOK_IT : 'does a worker of the current build poll?';
      return { reason: 'timed_out', row, verdict: `TIMED OUT after ${String(waitMs / 1_000)} s: ${late}` };
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** As psql prints it. */
export function tableOf(row: Row | null): string {
  if (row === null) return '(0 rows)';
  const columns = Object.entries(row).map(([name, value]) => ({
    name,
    value,
    width: Math.max(name.length, value.length),
  }));
  return [
    columns.map(({ name, width }) => ` ${name.padEnd(width)} `).join('|'),
    columns.map(({ width }) => '-'.repeat(width + 2)).join('+'),
    columns.map(({ value, width }) => ` ${value.padEnd(width)} `).join('|'),
    '(1 row)',
  ].join('\n');
}
