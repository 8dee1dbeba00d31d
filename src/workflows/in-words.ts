/** A wait as people read it in the UI: `0.2 s`, `20 s`, `10 min`. */
export function inWords(milliseconds: number): string {
  if (milliseconds < 10_000) return `${String(Math.round(milliseconds / 100) / 10)} s`;
  return milliseconds < 120_000
    ? `${String(Math.round(milliseconds / 1_000))} s`
    : `${String(Math.round(milliseconds / 60_000))} min`;
}
