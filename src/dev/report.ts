/** What `npm start` prints besides the table: where everything is, and what became of the messages. */
import path from 'node:path';
import type pg from 'pg';
import { NAMES } from '../contract/names.ts';
import type { Processes } from './processes.ts';
import type { Stack } from './stack.ts';
import type { Watched } from './watch.ts';

/** Letters of a file that are named; all are counted. */
const MOST_LETTERS = 20;

export const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

export function printAddresses(stack: Stack, processes: Processes, dataDir: string): void {
  const emulator = `CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://${stack.pubsubHost}/`;
  const body = '{"correlation_id": "my-first", "student_id": "me", "topic": "Volcanoes", "interest": "Basketball"}';
  const namespace = `--namespace ${stack.temporal.namespace}`;
  say('');
  if (stack.temporalUi !== null) say(`  Temporal UI    ${stack.temporalUi}/namespaces/${NAMES.namespace}/workflows`);
  say(`  psql           psql ${stack.psqlTarget}`);
  say(`  temporal       ${stack.temporalCli} workflow list --address ${stack.temporal.address} ${namespace}`);
  say(`  gcloud pubsub  ${emulator} \\`);
  say(`                   gcloud pubsub topics publish ${NAMES.topic} --project=${NAMES.project} \\`);
  say(`                   --message='${body}'`);
  const { PUBSUB_TOPIC: topic = '', GOOGLE_CLOUD_PROJECT: project = '' } = stack.env.bridge;
  say(`  smoke test     DATABASE_URL=${stack.psqlTarget} PUBSUB_EMULATOR_HOST=${stack.pubsubHost} \\`);
  say(
    `                   TEMPORAL_ADDRESS=${stack.temporal.address} GOOGLE_CLOUD_PROJECT=${project} PUBSUB_TOPIC=${topic} \\`,
  );
  say(`                   npm run smoke`);
  say(`  health         worker ${processes.workerHealth} · bridge ${processes.bridgeHealth}`);
  say(`  logs           ${path.join(dataDir, 'logs')}`);
  say('');
}

export function printLinks(stack: Stack, entries: readonly Watched[]): void {
  if (stack.temporalUi === null) return;
  for (const { message, workflowId } of entries) {
    if (workflowId === null) continue;
    say(
      `  ${message.title}: ${stack.temporalUi}/namespaces/${NAMES.namespace}/workflows/${encodeURIComponent(workflowId)}`,
    );
  }
}

/** A file's messages have no expected end: how many came to which, and the lines that ended as letters. */
export function printEnds(entries: readonly Watched[]): void {
  const counts = new Map<string, number>();
  for (const { row, letters } of entries) {
    const [letter] = letters.values();
    const end = letter === undefined ? `row ${row?.status ?? 'absent'}` : `dead letter ${letter}`;
    counts.set(end, (counts.get(end) ?? 0) + 1);
  }
  for (const [end, count] of counts) say(`  ${String(count).padStart(6)}  ${end}`);
  const dead = entries.filter(({ letters }) => letters.size > 0);
  for (const { message, letters } of dead.slice(0, MOST_LETTERS))
    say(`  ${message.title}: ${[...letters.values()].join()}`);
  if (dead.length > MOST_LETTERS) say(`  … and ${String(dead.length - MOST_LETTERS)} letters more`);
}

const PLANS_SELECT = `select id, correlation_id, status, created_at, retry_count
from content_requests
where correlation_id = 'test-001';`;

/** The plan's own check, step 6.3. */
export async function printPlansSelect(database: pg.Client): Promise<void> {
  const { rows } = await database.query<Record<string, unknown>>(PLANS_SELECT);
  say(`\n${PLANS_SELECT}\n`);
  for (const row of rows) {
    for (const [column, value] of Object.entries(row)) {
      say(`  ${column.padEnd(16)}${value instanceof Date ? value.toISOString() : String(value)}`);
    }
  }
  say('');
}
