/** Many rejections at once are more likely a changed schema than bad messages (the original's second incident). */
export const ALARM_WINDOW = 100;

export interface RejectAlarmPolicy {
  readonly count: number;
  /** 0..1 of the window. */
  readonly ratio: number;
}

export class RejectAlarm {
  readonly #policy: RejectAlarmPolicy;
  readonly #last: boolean[] = [];
  #raised = false;
  #sinceTold = 0;

  constructor(policy: RejectAlarmPolicy) {
    this.#policy = policy;
  }

  get raised(): boolean {
    return this.#raised;
  }

  /**
   * True when this message raises the alarm, and then with every hundredth for as long as it holds: a bridge that follows
   * lives for months, and one line at the first drift would say nothing of the second.
   */
  record(rejected: boolean): boolean {
    this.#last.push(rejected);
    if (this.#last.length > ALARM_WINDOW) this.#last.shift();
    this.#sinceTold += 1;
    const rejections = this.#last.filter(Boolean).length;
    const holds = rejections >= this.#policy.count && rejections / this.#last.length > this.#policy.ratio;
    if (!holds || (this.#raised && this.#sinceTold < ALARM_WINDOW)) return false;
    this.#raised = true;
    this.#sinceTold = 0;
    return true;
  }
}
