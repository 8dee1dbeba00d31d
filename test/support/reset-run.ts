/** A reset as an operator asks for it in the Temporal UI: the run goes on, under another run id, from what it had done. */
import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';

/** `start` = its first workflow task is done anew; `last` = its latest one is. Returns the new run's id. */
export async function resetRun(client: Client, workflowId: string, to: 'start' | 'last'): Promise<string> {
  const { runId } = await client.workflow.getHandle(workflowId).describe();
  const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const tasks = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes);
  const task = to === 'start' ? tasks.at(0) : tasks.at(-1);
  if (task?.eventId === undefined || task.eventId === null) throw new Error(`${workflowId} has done nothing yet`);
  const next = await client.workflowService.resetWorkflowExecution({
    namespace: client.options.namespace,
    workflowExecution: { workflowId, runId },
    workflowTaskFinishEventId: task.eventId,
    reason: 'as an operator would',
    requestId: randomUUID(),
  });
  return next.runId;
}
