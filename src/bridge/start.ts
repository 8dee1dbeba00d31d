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
      readonly undecided: boolean;
      readonly contentHash: unknown;
      readonly messageId: unknown;
    };

type Described = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['describe']>>['raw'];

/**
 * A run speaks for other messages only while it owns the row and works on it. Before that it may turn out to be refused
 * (another student's), or a late redelivery that ends in silence; at its end its letter may be published again before its
 * row is failed. A message that was acked as a duplicate of such a run, or dead-lettered as its conflict, was lost or
 * wronged with it. Read off what is pending, which costs no billed action.
 */
function isUndecided(raw: Described): boolean {
  const pending = (raw.pendingActivities ?? []).map(({ activityType }) => activityType?.name);
  if (pending.some((name) => name === ACTIVITY.record || name === ACTIVITY.fail)) return true;
  if ((raw.pendingChildren ?? []).length > 0) return true;
  // Its next step is not known yet: it has just been started, or an activity or timer has just ended.
  return pending.length === 0 && Boolean(raw.pendingWorkflowTask);
}

function speaksFor(existing: Extract<Existing, { kind: 'holds' }>, messageId: string): boolean {
  // Whatever the run ends with, it is the end of its own message.
  return !existing.undecided || existing.messageId === messageId;
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
        undecided: run.status.name === 'RUNNING' && isUndecided(run.raw),
        contentHash: run.memo?.['contentHash'],
        messageId: run.memo?.['messageId'],
      };
    } catch (error) {
      // Retention took it since the start was refused, or an operator deleted it.
      if (error instanceof WorkflowNotFoundError) return { kind: 'none' };
      throw error;
    }
  }

  return {
    async start(input) {
      const options = processOptions(input, place);
      try {
        for (let round = 1; round <= MAX_ROUNDS; round += 1) {
          const runId = await tryStart(WORKFLOW.process, options);
          if (runId !== null) return { kind: 'started', runId };
          const existing = await describe(options.workflowId);
          if (existing.kind === 'none') continue;
          const { runId: holder, status } = existing;
          if (!speaksFor(existing, input.source.messageId)) return { kind: 'undecided', runId: holder };
          if (existing.contentHash !== input.contentHash) {
            const detail = `run ${holder} of ${options.workflowId} is ${status} with other content`;
            return { kind: 'conflict', runId: holder, detail };
          }
          return { kind: 'duplicate', runId: holder };
        }
        return { kind: 'outage', error: `${options.workflowId} is taken and free in turns` };
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
        if (!speaksFor(existing, messageId)) return { kind: 'undecided' };
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
