/** Why a run ended, and the exit code that says so (README). */
export const EXIT_CODE = {
  drained: 0,
  max_runtime: 0,
  max_messages: 0,
  signal: 0,
  unexpected: 1,
  configuration: 2,
  temporal_unavailable: 3,
  pubsub_unavailable: 4,
  reject_alarm: 5,
} as const;
export type ExitReason = keyof typeof EXIT_CODE;

/** A clean end of a run whose rejections passed the alarm is still reported: exit 5. */
export function exitCodeOf(reason: ExitReason, alarmed: boolean): number {
  const code = EXIT_CODE[reason];
  return code === 0 && alarmed ? EXIT_CODE.reject_alarm : code;
}
