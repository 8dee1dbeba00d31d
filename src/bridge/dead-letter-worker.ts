/** The small Temporal worker inside the bridge: one activity, no workflows. */
import { Worker, type NativeConnection } from '@temporalio/worker';
import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { NAMES } from '../contract/names.ts';
import type { BridgeActivities } from '../contract/workflow-io.ts';
import { within, type Clock } from './clock.ts';

export interface DeadLetterWorker {
  /** Rejects when the worker fails for good; resolves after stop(). */
  readonly ended: Promise<void>;
  /** Settles when it has ended, and at the latest STOP_LIMIT_MS after the first call. */
  stop(): Promise<void>;
}

/** A publish that is under way at a stop may end; what does not, Temporal gives to the next bridge. */
const GRACE_MS = 2_000;
const FORCE_MS = 4_000;
/** The native worker takes leave of the server, for 30 s where that does not answer: nobody can wait so long. */
const STOP_LIMIT_MS = FORCE_MS + 500;
/** Letters are rare: a burst of failures is published by these at once, and the rest waits. */
const SLOTS = 16;
const BACKLOG_DEADLINE_MS = 2_000;
const { TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;

export async function startDeadLetterWorker(
  connection: NativeConnection,
  namespace: string,
  activities: BridgeActivities,
  identity: string,
  clock: Clock,
): Promise<DeadLetterWorker> {
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: NAMES.deadLetterTaskQueue,
    activities,
    identity,
    maxConcurrentActivityTaskExecutions: SLOTS,
    shutdownGraceTime: GRACE_MS,
    shutdownForceTime: FORCE_MS,
  });
  const ended = worker.run();
  // Whoever awaits `ended` hears of it; without this an early rejection would end the process before.
  ended.catch(() => undefined);
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await within(clock, STOP_LIMIT_MS, "stop of the letters' worker", ended);
  };
  return { ended, stop: () => (stopping ??= stop()) };
}

/** Letters the server counts as waiting. It lags by seconds, and null means that it could not be asked. */
export async function letterBacklog(client: Client, clock: Clock): Promise<number | null> {
  const { namespace } = client.options;
  try {
    const queue = await within(
      clock,
      BACKLOG_DEADLINE_MS + 500,
      'describeTaskQueue',
      client.withDeadline(Date.now() + BACKLOG_DEADLINE_MS, () =>
        client.workflowService.describeTaskQueue({
          namespace,
          taskQueue: { name: NAMES.deadLetterTaskQueue },
          taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
          reportStats: true,
        }),
      ),
    );
    return Number(queue.stats?.approximateBacklogCount ?? 0);
  } catch {
    // Only a hint: without it the drain ends by its own counts.
    return null;
  }
}
