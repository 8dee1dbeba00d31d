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

  constructor(policy: RejectAlarmPolicy) {
    this.#policy = policy;
  }

  get raised(): boolean {
    return this.#raised;
  }

  /** True exactly once: when this message raised the alarm. */
  record(rejected: boolean): boolean {
    this.#last.push(rejected);
    if (this.#last.length > ALARM_WINDOW) this.#last.shift();
    if (this.#raised) return false;
    const rejections = this.#last.filter(Boolean).length;
    this.#raised = rejections >= this.#policy.count && rejections / this.#last.length > this.#policy.ratio;
    return this.#raised;
  }
}
