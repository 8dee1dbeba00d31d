/**
 * A letter's workflow that never began. Temporal creates a child first and gives it its first workflow task after the
 * parent has noted it (service/history/transfer_queue_active_task_executor.go, processStartChildExecution, server 1.32): a
 * run that somebody terminates or resets between the two leaves a child that is open and has nothing to do, for ever. A
 * signal, which no code reads, gives it the task. Found by `npm run chaos`: once in 50,000 messages.
 */
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import { WORKFLOW } from '../contract/names.ts';
import { within, type Clock } from './clock.ts';
import { describeError } from './grpc.ts';

/** Between the two steps lie milliseconds, seconds on a server under load. */
const AGE_MS = 60_000;
const DEADLINE_MS = 5_000;
/** Of letters that wait for Pub/Sub as they should; each costs a describe, which is not billed. */
const MOST_LOOKED_AT = 1_000;
/** With --follow; a drain looks once, and the next one comes within minutes. */
const LOOK_EVERY_MS = 5 * 60_000;
const SIGNAL = 'begin';

export interface WakeDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** A letter will come that nobody has announced. */
  readonly onWoken: () => void;
}

/** Looks at once, and with `follow` again and again until the signal aborts. A Temporal that is away here costs nothing. */
export async function keepWakingLetters(deps: WakeDeps, follow: boolean, signal: AbortSignal): Promise<void> {
  do {
    try {
      await wakeLetters(deps, signal);
    } catch (error) {
      deps.log.warn({ error: describeError(error) }, 'letters that never began cannot be looked for now');
    }
    if (follow) await deps.clock.sleep(LOOK_EVERY_MS, signal);
  } while (follow && !signal.aborted);
}

async function wakeLetters({ client, clock, log, onWoken }: WakeDeps, signal: AbortSignal): Promise<void> {
  const bounded = <T>(what: string, call: () => Promise<T>): Promise<T> =>
    within(clock, DEADLINE_MS + 500, what, client.withDeadline(Date.now() + DEADLINE_MS, call));

  const before = new Date(clock.date().getTime() - AGE_MS).toISOString();
  const { executions } = await bounded('listWorkflowExecutions', () =>
    client.workflowService.listWorkflowExecutions({
      namespace: client.options.namespace,
      query: `WorkflowType = '${WORKFLOW.deadLetter}' AND ExecutionStatus = 'Running' AND StartTime < '${before}'`,
      pageSize: MOST_LOOKED_AT,
    }),
  );
  for (const { execution } of executions) {
    if (signal.aborted) return;
    const handle = client.workflow.getHandle(execution?.workflowId ?? '', execution?.runId ?? undefined);
    const { historyLength, raw } = await bounded('describe', () => handle.describe());
    // The first event of all, and no task that could add another.
    if (historyLength > 1 || raw.pendingWorkflowTask) continue;
    await bounded('signal', () => handle.signal(SIGNAL));
    onWoken();
    log.warn({ workflowId: handle.workflowId }, 'a letter had not begun: its run was ended from outside; woken');
  }
}
