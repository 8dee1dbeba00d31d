/** Ctrl-C and its kin: the first asks to stop, the second insists. */

/** npm hands a terminal's Ctrl-C on to a process that has got it already: so soon after the first it is no second one. */
const SAME_KEYSTROKE_MS = 300;

export function stopSignal(insist: () => never): AbortSignal {
  const stop = new AbortController();
  let firstAt = Infinity;
  const first = (): void => {
    firstAt = Math.min(firstAt, performance.now());
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (performance.now() - firstAt > SAME_KEYSTROKE_MS) insist();
      first();
    });
  }
  // The terminal was closed; the parts are in groups of their own and would live on.
  process.on('SIGHUP', first);
  // A closed terminal fails every write to it; that must not end us before the parts are stopped.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', first);
  return stop.signal;
}
