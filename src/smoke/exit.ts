/** How a smoke test ends. */
export const EXIT_CODE = {
  completed: 0,
  unexpected: 1,
  configuration: 2,
  /** The message was published, and nobody has brought it to its end in time; with a build, none has ended on that one. */
  timed_out: 3,
  /** It was processed, and did not end as completed. */
  failed: 4,
  /** Pub/Sub, PostgreSQL or Temporal does not answer, or refuses. */
  unavailable: 5,
} as const;
