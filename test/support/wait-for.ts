/** Waits for a fact, never for time: asks until the answer is there, and says what was missing when it never comes. */
export async function waitFor<T>(
  what: string,
  ask: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  limitMs = 30_000,
): Promise<T> {
  const until = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (Date.now() > until) throw new Error(`never came true within ${String(limitMs)} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
