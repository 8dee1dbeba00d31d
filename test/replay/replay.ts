/** The replay gate: histories against the bundle that production would load. No server, no network. */
import { createHash } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkflowBundleOption } from '@temporalio/worker';
import '../support/quiet-runtime.ts';

export interface NamedHistory {
  readonly name: string;
  readonly workflowId: string;
  /** As historyToJSON writes it, or as a server gives it. */
  readonly history: unknown;
}

/** A line per fixture, as sha256sum writes it: a fixture that was edited, lost or slipped in is noticed. */
export const sumsFile = new URL('./SHA256SUMS', import.meta.url);

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * Adds a fixture and its sum. One that is there already stays as it is: it is a promise to the runs that are open in
 * production. Throws where the file cannot be written.
 */
export function addFixture(name: string, json: string, folder = historiesFolder, sums = sumsFile): 'recorded' | 'kept' {
  try {
    writeFileSync(new URL(name, folder), json, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return 'kept';
    throw error;
  }
  appendFileSync(sums, `${sha256(json)}  ${name}\n`);
  return 'recorded';
}

export const historiesFolder = new URL('./histories/', import.meta.url);

export async function fixtures(): Promise<NamedHistory[]> {
  const files = (await readdir(fileURLToPath(historiesFolder))).filter((file) => file.endsWith('.json')).sort();
  return Promise.all(
    files.map(async (name) => {
      const history: unknown = JSON.parse(await readFile(new URL(name, historiesFolder), 'utf8'));
      return { name, workflowId: startedId(history), history };
    }),
  );
}

/** Workflow code may read its own id, so a replay must be given the one that was recorded. */
function startedId(history: unknown): string {
  const { events } = history as {
    events: { workflowExecutionStartedEventAttributes?: { workflowId?: string } }[];
  };
  const id = events[0]?.workflowExecutionStartedEventAttributes?.workflowId;
  if (id === undefined) throw new Error('a history without workflowId in its first event');
  return id;
}

/** Names and errors of those that could not be replayed. */
export async function replayAll(
  workflowBundle: WorkflowBundleOption,
  histories: Iterable<NamedHistory> | AsyncIterable<NamedHistory>,
): Promise<Map<string, Error>> {
  const faults = new Map<string, Error>();
  for await (const { name, workflowId, history } of histories) {
    try {
      await Worker.runReplayHistory({ workflowBundle }, history, workflowId);
    } catch (error) {
      faults.set(name, error as Error);
    }
  }
  return faults;
}
