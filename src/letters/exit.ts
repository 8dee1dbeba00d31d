/** How a look at the dead letters ends. */
export const EXIT_CODE = {
  done: 0,
  unexpected: 1,
  /** Settings, command line, a resource that is not there, a permission. */
  configuration: 2,
  /** No letter is what was asked for. */
  nothing_matches: 3,
  pubsub_unavailable: 4,
  /** Some could not be replayed, or not be taken away: they are where they were. */
  some_stay: 5,
  /** By a signal; what was held has been given back. */
  stopped: 130,
} as const;
export type End = keyof typeof EXIT_CODE;
