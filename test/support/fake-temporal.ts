/** Temporal as the bridge sees it, in memory: what a start answers is set by the test. */
import type { RejectInput, ProcessInput } from '../../src/contract/workflow-io.ts';
import type { Look, RejectOutcome, StartOutcome, Starter } from '../../src/bridge/start.ts';
import type { Trouble } from '../../src/bridge/grpc.ts';

export class FakeTemporal implements Starter {
  readonly runs = new Map<string, ProcessInput>();
  readonly rejections: RejectInput[] = [];
  readonly journal: string[] = [];
  /** Row ids whose run has not decided yet. */
  readonly undecided = new Set<string>();
  /** Set: every call fails so. */
  trouble: Trouble | null = null;
  inFlight = 0;
  mostInFlight = 0;
  /** Set: a start waits for it. */
  hold: Promise<void> | null = null;

  async start(input: ProcessInput): Promise<StartOutcome> {
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      await this.hold;
      this.journal.push(`start ${input.source.messageId}`);
      if (this.trouble !== null) return this.trouble;
      const existing = this.runs.get(input.request.rowId);
      if (existing === undefined) {
        this.runs.set(input.request.rowId, input);
        return { kind: 'started', runId: `run-${input.request.rowId}` };
      }
      const runId = `run-${input.request.rowId}`;
      if (this.undecided.has(input.request.rowId)) return { kind: 'undecided', runId };
      return existing.contentHash === input.contentHash
        ? { kind: 'duplicate', runId }
        : { kind: 'conflict', runId, detail: `run ${runId} holds other content` };
    } finally {
      this.inFlight -= 1;
    }
  }

  reject(input: RejectInput): Promise<RejectOutcome> {
    this.journal.push(`reject ${input.messageId}`);
    if (this.trouble !== null) return Promise.resolve(this.trouble);
    this.rejections.push(input);
    return Promise.resolve({ kind: 'started' });
  }

  look(rowId: string, contentHash: string): Promise<Look> {
    if (this.trouble !== null) return Promise.resolve(this.trouble);
    const existing = this.runs.get(rowId);
    if (existing === undefined) return Promise.resolve({ kind: 'new' });
    return Promise.resolve({ kind: existing.contentHash === contentHash ? 'duplicate' : 'conflict' });
  }

  ping(): Promise<Trouble | null> {
    return Promise.resolve(this.trouble);
  }
}
