/**
 * What a bridge sees of the runs that it starts, for alerts: whether somebody works on them, and whether some are open for
 * too long. Both are read where it is not billed, and a Temporal that does not answer here costs the bridge nothing.
 */
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import { ALERT } from '../contract/alert.ts';
import { WORKFLOW } from '../contract/names.ts';
import { untilAborted, within, type Clock } from './clock.ts';
import { describeError } from './grpc.ts';
import type { Warning } from './preflight.ts';

/** Nothing at the end of a drain may hold it up; visibility answers within milliseconds, or is not well. */
const DEADLINE_MS = 2_000;
const GUARD_MS = 500;
/** With --follow. The limit is hours, and the alert on pollers wants a line more often than every ten minutes. */
export const LOOK_EVERY_MS = 5 * 60_000;

export interface RunWatchDeps {
  /** How many runs match; visibility, so it lags by a second or so. */
  readonly count: (query: string) => Promise<number>;
  readonly findPollers: () => Promise<readonly Warning[]>;
  readonly openTooLongMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export function countRuns(client: Client): RunWatchDeps['count'] {
  return async (query) => {
    const { count } = await client.withDeadline(Date.now() + DEADLINE_MS, () => client.workflow.count(query));
    return count;
  };
}

/** Letters that wait for their publish, too: what keeps one for hours (a schema on the topic) is in no other alert. */
const TYPES = Object.values(WORKFLOW)
  .map((type) => `'${type}'`)
  .join(', ');

/** Never rejects. */
export async function tellRunsOpenTooLong(deps: RunWatchDeps, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { count, openTooLongMs, clock, log } = deps;
  const before = new Date(clock.date().getTime() - openTooLongMs).toISOString();
  const query = `WorkflowType IN (${TYPES}) AND ExecutionStatus = 'Running' AND StartTime < '${before}'`;
  try {
    const counting = within(clock, DEADLINE_MS + GUARD_MS, 'count of open runs', count(query));
    const open = await untilAborted(signal, counting);
    if (open === 'aborted' || open === 0) return;
    log.warn({ alert: ALERT.runsOpenTooLong, count: open, openTooLongMs, query }, 'runs are open for too long');
  } catch (error) {
    log.warn({ error: describeError(error) }, 'open runs cannot be counted now');
  }
}

/** A drain looks for pollers in its preflight and for open runs at its end; whoever never ends looks again and again. */
export async function keepWatch(deps: RunWatchDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await tellRunsOpenTooLong(deps, signal);
    await deps.clock.sleep(LOOK_EVERY_MS, signal);
    if (isAborted(signal)) return;
    const found = await untilAborted(signal, deps.findPollers());
    if (found !== 'aborted') for (const warning of found) tellWarning(deps.log, warning);
  }
}

export function tellWarning(log: Logger, { text, alert }: Warning): void {
  log.warn({ ...(alert === undefined ? {} : { alert }), warning: text }, 'preflight warning');
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;
