/** Starts the run of a request, or recognises why it need not or cannot be started. */
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowExecutionStatusName,
} from '@temporalio/client';
import { dlqIdOfRun } from '../contract/dead-letter.ts';
import { WORKFLOW, workflowId } from '../contract/names.ts';
import type { ProcessInput, RejectInput } from '../contract/workflow-io.ts';
import { within, type Clock } from './clock.ts';
import { classifyTemporal, type Trouble } from './grpc.ts';
import { processOptions, rejectOptions, type RunOptions, type RunPlace } from './start-options.ts';

export type StartOutcome =
  | { readonly kind: 'started'; readonly runId: string }
  | { readonly kind: 'duplicate'; readonly runId: string }
  | { readonly kind: 'conflict'; readonly runId: string; readonly detail: string }
  /** The run of the same content has sent its letter and is about to end as failed. */
  | { readonly kind: 'failing'; readonly runId: string }
  | Trouble;

export type RejectOutcome = { readonly kind: 'started' } | { readonly kind: 'duplicate' } | Trouble;

export type Look = { readonly kind: 'new' | 'duplicate' | 'conflict' } | Trouble;

export interface Starter {
  start(input: ProcessInput): Promise<StartOutcome>;
  reject(input: RejectInput, correlationId: string | null): Promise<RejectOutcome>;
  /** What start would find; starts nothing. */
  look(rowId: string, contentHash: string): Promise<Look>;
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
      readonly firstRunId: string;
      readonly status: WorkflowExecutionStatusName;
      readonly contentHash: unknown;
      readonly messageId: unknown;
    };

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
        firstRunId: run.raw.workflowExecutionInfo?.firstRunId ?? run.runId,
        status: run.status.name,
        contentHash: run.memo?.['contentHash'],
        messageId: run.memo?.['messageId'],
      };
    } catch (error) {
      // Retention took it since the start was refused, or an operator deleted it.
      if (error instanceof WorkflowNotFoundError) return { kind: 'none' };
      throw error;
    }
  }

  /**
   * A letter may be published again while its run still writes the failed row, for as long as PostgreSQL is away. As a
   * duplicate of that run it would be acked, and lost with it: seen by the truth ledger, 4 of 17 such letters.
   */
  async function hasSentLetter(id: string, firstRunId: string): Promise<boolean> {
    try {
      const letter = workflowId.deadLetter(dlqIdOfRun(id, firstRunId));
      await bounded('describe', () => client.workflow.getHandle(letter).describe());
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
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
          if (existing.contentHash !== input.contentHash) {
            const detail = `run ${holder} of ${options.workflowId} is ${status} with other content`;
            return { kind: 'conflict', runId: holder, detail };
          }
          const again = existing.messageId !== input.source.messageId;
          if (again && status === 'RUNNING' && (await hasSentLetter(options.workflowId, existing.firstRunId))) {
            return { kind: 'failing', runId: holder };
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

    async look(rowId, contentHash) {
      try {
        const existing = await describe(workflowId.process(rowId));
        if (existing.kind === 'none') return { kind: 'new' };
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
