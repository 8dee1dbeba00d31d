/** Activity options, each with its reason. Summaries are what the UI shows on an event. */
import { proxyActivities, type ActivityInterfaceFor } from '@temporalio/workflow';
import { NAMES } from '../contract/names.ts';
import type { BridgeActivities, WorkerActivities } from '../contract/workflow-io.ts';

/** Row writes are retried without end, at most 30 s apart: an outage of PostgreSQL costs time, never a request. */
const WITHOUT_END = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds' } as const;

export function rowActivities(summary: string): ActivityInterfaceFor<WorkerActivities> {
  return proxyActivities<WorkerActivities>({
    startToCloseTimeout: '30 seconds',
    retry: WITHOUT_END,
    summary,
  });
}

/** After so many lost workers in one attempt the request itself is suspect, and the attempt counts as failed. */
export const MAX_INFRASTRUCTURE_TRIES = 10;

export function generationActivity(summary: string): ActivityInterfaceFor<Pick<WorkerActivities, 'generateContent'>> {
  return proxyActivities<Pick<WorkerActivities, 'generateContent'>>({
    // The activity has a shorter limit of its own (GENERATOR_TIMEOUT_MS, at most 30 min); this one is for a stuck worker.
    startToCloseTimeout: '31 minutes',
    // A lost worker is noticed within 30 s; a generation shorter than 24 s sends one heartbeat or none.
    heartbeatTimeout: '30 seconds',
    retry: { ...WITHOUT_END, maximumAttempts: MAX_INFRASTRUCTURE_TRIES },
    summary,
  });
}

/** No limit on the wait for a bridge: a letter stays visible as an open run until one has published it. */
export function bridgeActivities(summary: string): ActivityInterfaceFor<BridgeActivities> {
  return proxyActivities<BridgeActivities>({
    taskQueue: NAMES.deadLetterTaskQueue,
    startToCloseTimeout: '60 seconds',
    retry: WITHOUT_END,
    summary,
  });
}
