/** How a rollout ends. Pipelines read the code, people the sentence. */
export const EXIT_CODE = {
  done: 0,
  unexpected: 1,
  configuration: 2,
  temporal_unavailable: 3,
  /** `drained`: the build still has runs, or gets new ones. A change: not every task queue has heard of it. Ask again. */
  not_yet: 4,
  /** Nobody polls with this build, or the previous build's pool is gone: deploy its pool first. */
  no_pollers: 5,
  /** Temporal has never seen this deployment, or this build of it. */
  unknown_build: 6,
  /** Runs would have no worker, no build was current before, or somebody else changed the deployment meanwhile. */
  refused: 7,
} as const;

export type ExitReason = keyof typeof EXIT_CODE;

/** The sentence for people; the reason for the exit code. */
export interface Ended {
  readonly reason: ExitReason;
  readonly text: string;
}

export const ended = (reason: ExitReason, text: string): Ended => ({ reason, text });
