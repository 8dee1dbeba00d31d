/** Starts the run of a request, or recognises why it need not or cannot be started. */
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowExecutionStatusName,
} from '@temporalio/client';
import { ACTIVITY, WORKFLOW, workflowId } from '../contract/names.ts';
import type { ProcessInput, RejectInput } from '../contract/workflow-io.ts';
import { within, type Clock } from './clock.ts';
import { classifyTemporal, type Trouble } from './grpc.ts';
import { processOptions, rejectOptions, type RunOptions, type RunPlace } from './start-options.ts';

export type StartOutcome =
  | { readonly kind: 'started'; readonly runId: string }
  | { readonly kind: 'duplicate'; readonly runId: string }
  | { readonly kind: 'conflict'; readonly runId: string; readonly detail: string }
  /** A run that another message started has not recorded its row yet, or is ending: it cannot speak for this message. */
  | { readonly kind: 'undecided'; readonly runId: string }
  | Trouble;

export type RejectOutcome = { readonly kind: 'started' } | { readonly kind: 'duplicate' } | Trouble;

export type Look = { readonly kind: 'new' | 'duplicate' | 'conflict' | 'undecided' } | Trouble;

export interface Starter {
  start(input: ProcessInput): Promise<StartOutcome>;
  reject(input: RejectInput, correlationId: string | null): Promise<RejectOutcome>;
  /** What start would find; starts nothing. */
  look(rowId: string, contentHash: string, messageId: string): Promise<Look>;
  /** Whether Temporal answers. */
  ping(): Promise<Trouble | null>;
}

/** A run that ends between start and describe may be followed by another; more than this is no coincidence. */
const MAX_ROUNDS = 3;
/** The client's own deadline comes first. */
const GUARD_MS = 1_000;

type Existing =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'holds';
      readonly runId: string;
      readonly status: WorkflowExecutionStatusName;
      readonly phase: Phase;
      readonly contentHash: unknown;
      readonly messageId: unknown;
      /** See ProcessMemo. */
      readonly first: boolean;
    };

/** What a run is at: taking the row, working on it, about to end; or it has ended. */
type Phase = 'recording' | 'working' | 'ending' | 'ended';

type Described = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['describe']>>['raw'];

/**
 * A run speaks for other messages only while it owns the row and works on it. Before that it may turn out to be refused
 * (another student's), or a late redelivery that ends in silence; at its end its letter may be published again before its
 * row is failed. A message that was acked as a duplicate of such a run, or dead-lettered as its conflict, was lost or
 * wronged with it. Read off what is pending, which costs no billed action.
 */
function phaseOf(raw: Described, historyLength: number): Phase {
  const pending = (raw.pendingActivities ?? []).map(({ activityType }) => activityType?.name);
  if (pending.includes(ACTIVITY.record)) return 'recording';
  if (pending.includes(ACTIVITY.fail) || (raw.pendingChildren ?? []).length > 0) return 'ending';
  if (pending.length > 0 || !raw.pendingWorkflowTask) return 'working';
  // Its next step is not known: it has just been started, or an activity or timer has just ended, maybe its last.
  return historyLength < LETTER_EVENTS ? 'recording' : 'ending';
}

/**
 * The earliest event of a letter: start (1), first workflow task (2 to 4), recordRequest (5 to 7), second workflow task
 * (8 to 10), child. Whatever else a history holds comes on top.
 */
const LETTER_EVENTS = 11;

function speaksFor(existing: Extract<Existing, { kind: 'holds' }>, messageId: string, contentHash: string): boolean {
  // Whatever the run ends with, it is the end of its own message.
  if (existing.phase === 'working' || existing.phase === 'ended' || existing.messageId === messageId) return true;
  // The first run of a row redelivers nothing late, so that it cannot end in silence; what it is refused for, the same
  // content would be refused for. Most duplicates are of this kind: none waits for a worker that lags behind.
  return existing.phase === 'recording' && existing.first && existing.contentHash === contentHash;
}

export function createStarter(client: Client, place: RunPlace, deadlineMs: number, clock: Clock): Starter {
  const { namespace } = client.options;

  const bounded = <T>(what: string, call: () => Promise<T>): Promise<T> =>
    within(clock, deadlineMs + GUARD_MS, what, client.withDeadline(Date.now() + deadlineMs, call));

  /** The run id, or null when the id is taken. */
  async function tryStart(type: string, options: RunOptions<unknown>): Promise<string | null> {
    try {
      const handle = await bounded('start', () => client.workflow.start(type, options));
      return handle.firstExecutionRunId;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
      throw error;
    }
  }

  /** Strongly consistent, unlike visibility. */
  async function describe(id: string): Promise<Existing> {
    try {
      const run = await bounded('describe', () => client.workflow.getHandle(id).describe());
      if (mayBeFollowed(run.status.name)) return { kind: 'none' };
      return {
        kind: 'holds',
        runId: run.runId,
        status: run.status.name,
        phase: run.status.name === 'RUNNING' ? phaseOf(run.raw, run.historyLength) : 'ended',
        contentHash: run.memo?.['contentHash'],
        messageId: run.memo?.['messageId'],
        first: run.memo?.['first'] === true,
      };
    } catch (error) {
      // Retention took it since the start was refused, or an operator deleted it.
      if (error instanceof WorkflowNotFoundError) return { kind: 'none' };
      throw error;
    }
  }

  return {
    async start(input) {
      const first = processOptions(input, place, 'first');
      const next = processOptions(input, place, 'next');
      try {
        for (let round = 1; round <= MAX_ROUNDS; round += 1) {
          // A start that is refused is not billed.
          const runId = (await tryStart(WORKFLOW.process, first)) ?? (await tryStart(WORKFLOW.process, next));
          if (runId !== null) return { kind: 'started', runId };
          const existing = await describe(first.workflowId);
          if (existing.kind === 'none') continue;
          const { runId: holder, status } = existing;
          if (!speaksFor(existing, input.source.messageId, input.contentHash))
            return { kind: 'undecided', runId: holder };
          if (existing.contentHash !== input.contentHash) {
            const detail = `run ${holder} of ${first.workflowId} is ${status} with other content`;
            return { kind: 'conflict', runId: holder, detail };
          }
          return { kind: 'duplicate', runId: holder };
        }
        return { kind: 'outage', error: `${first.workflowId} is taken and free in turns` };
      } catch (error) {
        return classifyTemporal(error, namespace);
      }
    },

    async reject(input, correlationId) {
      try {
        const runId = await tryStart(WORKFLOW.reject, rejectOptions(input, correlationId, place));
        return { kind: runId === null ? 'duplicate' : 'started' };
      } catch (error) {
        return classifyTemporal(error, namespace);
      }
    },

    async look(rowId, contentHash, messageId) {
      try {
        const existing = await describe(workflowId.process(rowId));
        if (existing.kind === 'none') return { kind: 'new' };
        if (!speaksFor(existing, messageId, contentHash)) return { kind: 'undecided' };
        return { kind: existing.contentHash === contentHash ? 'duplicate' : 'conflict' };
      } catch (error) {
        return classifyTemporal(error, namespace);
      }
    },

    async ping() {
      try {
        await bounded('describeNamespace', () => client.workflowService.describeNamespace({ namespace }));
        return null;
      } catch (error) {
        return classifyTemporal(error, namespace);
      }
    },
  };
}

/** Closed runs that ALLOW_DUPLICATE_FAILED_ONLY lets a new run follow. */
function mayBeFollowed(status: WorkflowExecutionStatusName): boolean {
  return status === 'FAILED' || status === 'TERMINATED' || status === 'TIMED_OUT' || status === 'CANCELLED';
}
