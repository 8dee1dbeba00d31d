/** What a violated line leaves behind: the row, its events, its calls, its histories, the faults, and all logs. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { workflowId } from '../../src/contract/names.ts';
import type { Facts } from './facts.ts';
import type { Log } from './history.ts';
import type { Violation } from './ledger.ts';
import type { PlannedRequest } from './mix.ts';
import type { World } from './world.ts';

export interface Evidence {
  readonly violations: readonly Violation[];
  readonly facts: Facts;
  readonly log: Log;
  readonly requests: readonly PlannedRequest[];
}

/** Histories of more would take longer than the run. */
const MOST_HISTORIES = 50;

export async function keepEvidence(world: World, { violations, facts, log, requests }: Evidence): Promise<void> {
  const folder = path.join(world.folder, 'evidence');
  await mkdir(folder, { recursive: true });
  const write = (name: string, value: unknown): Promise<void> =>
    writeFile(path.join(folder, `${name}.json`), JSON.stringify(value, null, 2));
  await write('violations', violations);
  await write('faults', log.faults);
  await write('exits', facts.exits);
  const rowIds = [...new Set(violations.flatMap(({ rowId }) => (rowId === null ? [] : [rowId])))];
  for (const rowId of rowIds.slice(0, MOST_HISTORIES)) {
    const request = requests.find((one) => one.rowId === rowId);
    const indexes = request?.messages.map(({ index }) => index) ?? [];
    await write(rowId, {
      violations: violations.filter((one) => one.rowId === rowId),
      request: { ...request, messages: request?.messages.map(({ index, body }) => ({ index, body: String(body) })) },
      row: await world.query('select * from content_requests where id = $1', [rowId]),
      events: await world.query('select * from request_events where request_id = $1 order by created_at', [rowId]),
      lateWrites: facts.lateWrites.filter((one) => one.rowId === rowId),
      calls: facts.calls.filter((one) => one.rowId === rowId),
      letters: facts.letters
        .filter(({ index }) => index !== null && indexes.includes(index))
        .map((letter) => ({ ...letter, body: String(letter.body) })),
      touches: log.touches.filter((one) => one.rowId === rowId),
      histories: await histories(world, rowId),
    });
  }
}

/** Of every run of the request, newest first. */
async function histories(world: World, rowId: string): Promise<unknown[]> {
  const found: unknown[] = [];
  const query = `WorkflowId = '${workflowId.process(rowId)}'`;
  for await (const { runId, workflowId: id, status } of world.temporal.workflow.list({ query })) {
    const history = await world.temporal.workflow.getHandle(id, runId).fetchHistory();
    found.push({ runId, status: status.name, history: JSON.parse(JSON.stringify(historyToJSON(history))) as unknown });
  }
  return found;
}
