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
  /** Exit codes with which a bridge may answer it. */
  readonly exits?: readonly number[];
}

/** What somebody outside did to one request. */
export interface Touch {
  readonly rowId: string;
  readonly what: 'cancelled' | 'terminated' | 'reset' | 'published again' | 'letter replayed';
  readonly at: number;
}

export class Log {
  readonly faults: FaultWindow[] = [];
  readonly touches: Touch[] = [];

  begin(fault: Omit<FaultWindow, 'from' | 'to'>): FaultWindow {
    const window: FaultWindow = { ...fault, from: Date.now(), to: null };
    this.faults.push(window);
    return window;
  }

  touch(rowId: string, what: Touch['what']): void {
    this.touches.push({ rowId, what, at: Date.now() });
  }
}
