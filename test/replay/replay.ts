/** The replay gate: histories against the bundle that production would load. No server, no network. */
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkflowBundleOption } from '@temporalio/worker';

export interface NamedHistory {
  readonly name: string;
  readonly workflowId: string;
  /** As historyToJSON writes it, or as a server gives it. */
  readonly history: unknown;
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
  histories: readonly NamedHistory[],
): Promise<Map<string, Error>> {
  const faults = new Map<string, Error>();
  for (const { name, workflowId, history } of histories) {
    try {
      await Worker.runReplayHistory({ workflowBundle }, history, workflowId);
    } catch (error) {
      faults.set(name, error as Error);
    }
  }
  return faults;
}
