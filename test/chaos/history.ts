/** What was done to a run of the harness, and what was done to single requests: the ledger excuses nothing else. */

/** One fault, from when it was injected to when it was mended. */
export interface FaultWindow {
  readonly name: string;
  readonly from: number;
  to: number | null;
  /** Workers whose calls it may have cut; absent = it cuts none. */
  readonly workers?: readonly number[];
  /** Those wake up when it ends, and go on with what is long since somebody else's. */
  readonly wakes?: boolean;
  /** A message may be delivered once more for it. */
  readonly redelivers: boolean;
  /** What bridges cannot reach: one that is started again and again may end for it. */
  readonly outage?: 'temporal' | 'pubsub';
  /** Exit codes with which a bridge may answer it. */
  readonly exits?: readonly number[];
}

/** A message that was really published, each time anew. The emulator counts from 1 again when it was killed. */
export interface Publication {
  readonly messageId: string;
  /** Of the planned message. */
  readonly index: number;
  /** Just before. */
  readonly at: number;
}

/** What somebody outside did to one request. */
export interface Touch {
  readonly rowId: string;
  readonly what: 'cancelled' | 'terminated' | 'reset' | 'published again' | 'letter replayed';
  readonly at: number;
  /** Of the run that an order was given to. */
  readonly runId?: string;
}

export class Log {
  readonly faults: FaultWindow[] = [];
  readonly touches: Touch[] = [];

  begin(fault: Omit<FaultWindow, 'from' | 'to'>): FaultWindow {
    const window: FaultWindow = { ...fault, from: Date.now(), to: null };
    this.faults.push(window);
    return window;
  }

  touch(rowId: string, what: Touch['what'], runId?: string): Touch {
    const touch: Touch = { rowId, what, at: Date.now(), ...(runId === undefined ? {} : { runId }) };
    this.touches.push(touch);
    return touch;
  }

  /** It has done nothing. */
  undo(touch: Touch): void {
    const index = this.touches.indexOf(touch);
    if (index !== -1) this.touches.splice(index, 1);
  }
}
