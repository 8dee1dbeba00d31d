/** What an operator orders of one run. An order that did nothing leaves no touch: it must not excuse anything. */
import { WorkflowNotFoundError, type WorkflowHandle } from '@temporalio/client';
import type { Log, Touch } from './history.ts';

/** A handle of that very run, not of whichever holds its id by now. */
export type RunHandle = Pick<WorkflowHandle, 'workflowId' | 'describe' | 'fetchHistory' | 'cancel' | 'terminate'>;

type EventId = NonNullable<NonNullable<Awaited<ReturnType<RunHandle['fetchHistory']>>['events']>[number]['eventId']>;

export interface Order {
  readonly what: Extract<Touch['what'], 'cancelled' | 'terminated' | 'reset'>;
  readonly give: () => Promise<unknown>;
  /** Found out where the answer does not say it. */
  readonly wasDone: () => Promise<boolean>;
}

/**
 * A run that is not there to be ordered had ended before; or it ended by this very order, whose answer was lost and which
 * gRPC has sent again. With Temporal away nobody knows, and the touch stays.
 */
export async function giveOrder(log: Log, rowId: string, runId: string, order: Order): Promise<void> {
  const touch = log.touch(rowId, order.what, runId);
  try {
    await order.give();
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    if (!(await wasDone(order))) log.undo(touch);
  }
}

async function wasDone(order: Order): Promise<boolean> {
  try {
    return await order.wasDone();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

export const cancelling = (run: RunHandle): Order => ({
  what: 'cancelled',
  give: () => run.cancel(),
  wasDone: async () => {
    const { events } = await run.fetchHistory();
    return (events ?? []).some((event) => Boolean(event.workflowExecutionCancelRequestedEventAttributes));
  },
});

export const terminating = (run: RunHandle): Order => ({
  what: 'terminated',
  give: () => run.terminate('chaos'),
  wasDone: async () => (await run.describe()).status.name === 'TERMINATED',
});

/**
 * To the point before its last workflow task that has ended, as the UI does it.
 * @param current Of whichever run holds the id: a reset goes on in a run of its own, of the same chain.
 * @return Null = there is nothing to go back to.
 */
export async function resetting(
  run: RunHandle,
  current: Pick<WorkflowHandle, 'describe'>,
  reset: (workflowTaskFinishEventId: EventId) => Promise<unknown>,
): Promise<Order | null> {
  const [before, history] = await Promise.all([run.describe(), run.fetchHistory()]);
  const completed = (history.events ?? []).filter((event) => Boolean(event.workflowTaskCompletedEventAttributes));
  const last = completed.at(-1)?.eventId;
  if (last === undefined || last === null) return null;
  return {
    what: 'reset',
    give: async () => {
      try {
        await reset(last);
      } catch (error) {
        if (!/cannot be reset|pending child|not.found/i.test(String(error))) throw error;
        throw new WorkflowNotFoundError(String(error), run.workflowId, before.runId);
      }
    },
    wasDone: async () => {
      const after = await current.describe();
      const first = (one: typeof after): unknown => one.raw.workflowExecutionInfo?.firstRunId;
      return after.runId !== before.runId && first(after) === first(before);
    },
  };
}
