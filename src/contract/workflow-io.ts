/**
 * What crosses between bridge, workflows and activities. Every type is plain JSON and is kept in histories: fields
 * are added as optional, never renamed or removed, or the runs that are open at a deploy break.
 */
import type { DeadLetterReason, FailureCode, RejectionCode } from './failure.ts';
import type { ContentRequest, Modality } from './request.ts';
import type { RetryPolicy } from './retry-policy.ts';
import type { SourceMessage } from './source-message.ts';
import type { Stage } from './status.ts';

/** Input of processContentRequest. */
export interface ProcessInput {
  readonly request: ContentRequest;
  /** Lower-case hex SHA-256 of the request in canonical form. */
  readonly contentHash: string;
  readonly source: SourceMessage;
  readonly retry: RetryPolicy;
}

/** The memo of a processContentRequest run: what a duplicate is compared with without asking the database. */
export interface ProcessMemo {
  readonly contentHash: string;
  readonly messageId: string;
  /** No other run of this row was in the namespace's retention: nothing that failed before can be redelivered late. */
  readonly first?: true;
}

export type ProcessResult =
  | { readonly outcome: 'completed'; readonly rowId: string; readonly retryCount: number }
  | { readonly outcome: 'duplicate'; readonly rowId: string };

/** The answer of the query `progress`. */
export interface Progress {
  readonly stage: Stage | 'done';
  /** Counted failures so far. */
  readonly failures: number;
  readonly maxAttempts: number;
  /** Why the last attempt failed, or null. */
  readonly lastFailure: string | null;
  /** In words, as the UI's current details. */
  readonly text: string;
}

/** Input of rejectContentRequest: an invalid message whose identity could be read. */
export interface RejectInput {
  /** The row is found by rowId when the message had a request_id, else by correlationId. */
  readonly lookup: { readonly rowId: string } | { readonly correlationId: string };
  readonly code: RejectionCode;
  /** All faults, named; no field values. */
  readonly detail: string;
  readonly messageId: string;
}

export interface RejectResult {
  readonly outcome: 'failed' | 'untouched';
}

/** A dead letter before it is an envelope of attributes. */
export interface DeadLetter {
  readonly dlqId: string;
  readonly reason: DeadLetterReason;
  readonly detail: string;
  readonly source: 'bridge' | 'workflow';
  readonly stage: Stage;
  /** Counted attempts of the generation; 0 when it was never tried. */
  readonly attempts: number;
  readonly workflowId: string | null;
  readonly runId: string | null;
  readonly correlationId: string | null;
  /** When it was found to be dead; RFC 3339, UTC. */
  readonly time: string;
  readonly message: Omit<SourceMessage, 'body'>;
}

/** Input of forwardDeadLetter and of its activity. */
export interface ForwardDeadLetterInput {
  readonly letter: DeadLetter;
  readonly body: string;
}

// --- activities on the task queue content-generation (hosted by the worker) ---

/** Fences every write: the row is this run's only while it carries the token. */
export interface Ownership {
  readonly rowId: string;
  /** The run's first execution run id. */
  readonly ownerToken: string;
}

export interface RecordRequestInput extends Ownership {
  readonly request: ContentRequest;
  readonly contentHash: string;
  readonly messageId: string;
  readonly publishTime: string;
  /** A dead letter that was published again: it says so. Absent in runs that were started before it was looked at. */
  readonly replayed?: boolean;
}

export type RecordDecision =
  /** The row is ours; generate. */
  | { readonly kind: 'owned' }
  /** The row is completed or cancelled with the same content. */
  | { readonly kind: 'duplicate' }
  /** The row is failed and this message was published before it failed. */
  | { readonly kind: 'late-redelivery' }
  /** The row belongs to somebody else; it was not touched. */
  | { readonly kind: 'conflict'; readonly code: FailureCode; readonly detail: string }
  /** A reset of a run whose row had ended already. */
  | { readonly kind: 'row-already-terminal'; readonly status: string };

export interface GenerateInput extends Ownership {
  readonly request: ContentRequest;
  /** From 1; the counted attempt, not Temporal's. */
  readonly attempt: number;
  /** Counted failures before this attempt. */
  readonly failures: number;
}

export interface MediaReferences {
  readonly videoUrl: string | null;
  readonly thumbnailUrl: string | null;
  /** The table has no column for it: it stands in request_metadata. */
  readonly audioUrl?: string | null;
}

/** What stages of their own can make after the script. */
export const MEDIA = ['audio', 'video'] as const satisfies readonly Modality[];
export type Medium = (typeof MEDIA)[number];

/** One finished medium. */
export interface MadeMedium {
  /** https or gs. */
  readonly url: string;
  /** Of a video. */
  readonly thumbnailUrl: string | null;
  readonly usage: Usage | null;
}

/** What one generation used; recorded in request_metadata. */
export interface Usage {
  readonly provider: string;
  readonly model: string | null;
  readonly inputTokens: number | null;
  /** Billed output, what a model thinks included. */
  readonly outputTokens: number | null;
  /** In US dollars, where the provider says it or prices are configured. */
  readonly costUsd?: number | null;
  /** Which prompt it was, such as `lesson-script/1`. */
  readonly promptVersion?: string | null;
}

/** The sum over failed attempts whose usage the provider told. */
export interface SpentUsage {
  readonly attempts: number;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly costUsd: number | null;
}

export interface GenerationResult {
  readonly scriptText: string;
  readonly media: MediaReferences;
  readonly usage: Usage;
  /** Requested modalities that were delivered. */
  readonly delivered: readonly string[];
  /** Media that the provider makes when it is asked for them one by one. */
  readonly offers?: readonly Medium[];
  /** Of the stages after the script. */
  readonly mediaUsage?: Readonly<Partial<Record<Medium, Usage>>>;
}

export interface StoreScriptInput extends Ownership {
  readonly scriptText: string;
  readonly failures: number;
  readonly usage?: Usage;
}

export interface StartMediumInput extends Ownership {
  readonly request: ContentRequest;
  readonly medium: Medium;
  /** Counted failures of the run before this attempt. */
  readonly failures: number;
}

export type StartedMedium =
  | { readonly kind: 'made'; readonly made: MadeMedium }
  /** The provider has taken it and says where to ask. */
  | {
      readonly kind: 'pending';
      readonly statusUrl: string;
      /** When to ask first. */
      readonly retryAfterMs: number;
      /** How long the provider may take in all, from the first look on; from the worker's configuration. */
      readonly limitMs: number;
    };

export interface AwaitMediumInput extends Ownership {
  readonly medium: Medium;
  readonly statusUrl: string;
  readonly failures: number;
  /** Of StartedMedium. Absent in runs of before: there the activity's schedule-to-close timeout is the limit. */
  readonly limitMs?: number;
}

export interface CompleteInput extends Ownership {
  readonly result: GenerationResult;
  readonly requestedModalities: readonly string[];
  readonly failures: number;
  /** Absent when nothing was spent in vain. */
  readonly spent?: SpentUsage;
}

export interface FailInput extends Ownership {
  readonly code: FailureCode;
  readonly stage: Stage;
  readonly message: string;
  readonly failures: number;
  readonly workflowId: string;
  readonly runId: string;
  /**
   * When the failure was decided, before its letter was sent; RFC 3339, UTC. A message that was published after it is
   * another try, however long the row could not be written. Absent in runs of before: the time of the write.
   */
  readonly failedAt?: string;
  /** Absent when nothing was spent in vain. */
  readonly spent?: SpentUsage;
  /** The run never came to own the row: meant is one that an API made, is pending, and that no run has ever owned. */
  readonly neverOwned?: true;
}

/** Zero rows written is a case with a name. */
export type FencedResult =
  /** `again`: by an earlier try of this very write, whose answer was lost. */
  | { readonly kind: 'written'; readonly again?: true }
  | { readonly kind: 'row-already-terminal'; readonly status: string }
  | { readonly kind: 'row-lost' };

export interface WorkerActivities {
  recordRequest(input: RecordRequestInput): Promise<RecordDecision>;
  generateContent(input: GenerateInput): Promise<GenerationResult>;
  /** The script is paid for: it is in the row before the media are asked for. */
  storeScript(input: StoreScriptInput): Promise<FencedResult>;
  startMedium(input: StartMediumInput): Promise<StartedMedium>;
  /**
   * Asks once; while the provider is not done it fails retryably, and Temporal asks again. Holds no slot in between. An
   * answer that comes after the limit is the last one: without a medium it fails for good.
   */
  awaitMedium(input: AwaitMediumInput): Promise<MadeMedium>;
  completeRequest(input: CompleteInput): Promise<FencedResult>;
  failRequest(input: FailInput): Promise<FencedResult>;
  cancelRequest(input: Ownership): Promise<FencedResult>;
  rejectRequest(input: RejectInput): Promise<RejectResult>;
}

// --- activity on the task queue content-dead-letter (hosted by the bridge) ---

/** One try of the activity; then Temporal gives it to the next bridge, and a publish that still ends makes a second letter. */
export const PUBLISH_LETTER_LIMIT_MS = 60_000;

export interface BridgeActivities {
  /** Returns the Pub/Sub message id of the letter. */
  publishDeadLetter(input: ForwardDeadLetterInput): Promise<string>;
}
