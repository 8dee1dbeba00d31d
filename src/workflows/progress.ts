/** Where a run stands: the query, the UI's current details and the log, in step. */
import { defineQuery, log, setCurrentDetails, setHandler } from '@temporalio/workflow';
import { traceparentOf } from '../contract/source-message.ts';
import type { ProcessInput, Progress } from '../contract/workflow-io.ts';

/** Answered by any worker, also for closed runs. */
export const progressQuery = defineQuery<Progress>('progress');

export type ProgressTracker = ReturnType<typeof trackProgress>;

export function trackProgress(input: ProcessInput) {
  let current: Progress = {
    stage: 'request_received',
    failures: 0,
    maxAttempts: input.retry.maxAttempts,
    lastFailure: null,
    text: 'Recording the request',
  };
  const ids = {
    correlation_id: input.request.correlationId,
    rowId: input.request.rowId,
    traceparent: traceparentOf(input.source.attributes),
  };
  const set = (change: Partial<Progress>): void => {
    current = { ...current, ...change };
    if (change.text === undefined) return;
    setCurrentDetails(current.text);
    // Not said again in a replay. The text holds no word of the student's.
    log.info('request progress', { ...ids, stage: current.stage, failures: current.failures, progress: current.text });
  };
  set({ text: current.text });
  setHandler(progressQuery, () => current);
  return {
    says: (text: string) => {
      set({ text });
    },
    failed: (failures: number, lastFailure: string) => {
      set({ failures, lastFailure });
    },
    stage: (stage: Progress['stage'], text?: string) => {
      set({ stage, ...(text === undefined ? {} : { text }) });
    },
  };
}
