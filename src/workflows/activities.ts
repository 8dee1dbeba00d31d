/** Activity options, each with its reason. Summaries are what the UI shows on an event. */
import { proxyActivities, type ActivityInterfaceFor } from '@temporalio/workflow';
import { NAMES } from '../contract/names.ts';
import { PUBLISH_LETTER_LIMIT_MS, type BridgeActivities, type WorkerActivities } from '../contract/workflow-io.ts';

/** Row writes are retried without end, at most 30 s apart: an outage of PostgreSQL costs time, never a request. */
const WITHOUT_END = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds' } as const;

export function rowActivities(summary: string): ActivityInterfaceFor<WorkerActivities> {
  return proxyActivities<WorkerActivities>({
    // A worker that is lost in it is noticed after so long; the database's own limits (5 s, 12 s) come before.
    startToCloseTimeout: '25 seconds',
    retry: WITHOUT_END,
    summary,
  });
}

/** After so many lost workers in one attempt the request itself is suspect, and the attempt counts as failed. */
export const MAX_INFRASTRUCTURE_TRIES = 10;

type ProviderActivities = Pick<WorkerActivities, 'generateContent' | 'startMedium'>;

/** The calls that may take as long as a generation: a provider may answer a request for a medium with the medium itself. */
export function providerActivity(summary: string): ActivityInterfaceFor<ProviderActivities> {
  return proxyActivities<ProviderActivities>({
    // The activity has a shorter limit of its own (GENERATOR_TIMEOUT_MS, at most 30 min); this one is for a stuck worker.
    startToCloseTimeout: '31 minutes',
    // A lost worker is noticed within 25 s, and its request goes on elsewhere within 30 (docs/decisions.md, Heartbeats).
    heartbeatTimeout: '25 seconds',
    retry: { ...WITHOUT_END, maximumAttempts: MAX_INFRASTRUCTURE_TRIES },
    summary,
  });
}

/**
 * Each look at the provider is a try of one activity, so that the wait between is Temporal's own: no slot is held, no
 * history grows (3 events for any number of looks) and a look is 1 billed action, where timer and activity were 2.
 *
 * The looks know their limit themselves. A schedule-to-close timeout of that length counts the wait for a worker as
 * the provider's: of 20,000 messages at once 77 lost an attempt to it (docs/decisions.md, The limit of a medium).
 */
export function awaitActivity(
  summary: string,
  limitMs: number,
  maxAgeMs: number,
): ActivityInterfaceFor<Pick<WorkerActivities, 'awaitMedium'>> {
  return proxyActivities<Pick<WorkerActivities, 'awaitMedium'>>({
    startToCloseTimeout: '60 seconds',
    // For looks that never come to an answer, each with its worker lost.
    scheduleToCloseTimeout: limitMs + maxAgeMs,
    // Where the provider does not say when to ask again.
    retry: { initialInterval: '5 seconds', backoffCoefficient: 1.5, maximumInterval: '30 seconds' },
    summary,
  });
}

/** No limit on the wait for a bridge: a letter stays visible as an open run until one has published it. */
export function bridgeActivities(summary: string): ActivityInterfaceFor<BridgeActivities> {
  return proxyActivities<BridgeActivities>({
    taskQueue: NAMES.deadLetterTaskQueue,
    startToCloseTimeout: PUBLISH_LETTER_LIMIT_MS,
    retry: WITHOUT_END,
    summary,
  });
}
