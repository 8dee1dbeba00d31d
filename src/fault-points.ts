/**
 * The gaps between two commits, by name: where a process that dies leaves one thing done and the next not. Each costs
 * one comparison unless armed, and only src/dev arms them (a test of the structure says so): nothing that is deployed
 * can be told to fail.
 */
export const FAULT_POINTS = [
  /** The message is leased; nobody has looked at it. Keys: message id, values of its attributes. */
  'bridge.pulled',
  /** The run is started; the message is not acked. Keys, as for all of the bridge's: message id. */
  'bridge.started',
  /** The bridge's own letter is out; neither rejection nor ack. */
  'bridge.letter-published',
  /** Letter out, rejection started; no ack. */
  'bridge.rejection-started',
  /** A batch is about to be acked. No keys. */
  'bridge.acking',
  /** A run's letter is out; Temporal does not know. Keys: the source's message id. */
  'bridge.run-letter-published',
  /** About to take the row: a worker that is held here is a zombie, too. Keys, as for all of the worker's: row id. */
  'worker.recording',
  /** The row is the run's; Temporal does not know. */
  'worker.recorded',
  /** The row says that it is generated; the provider is not asked. */
  'worker.generating',
  /** The script is paid for; Temporal does not know. */
  'worker.generated',
  'worker.script-stored',
  /** The provider has taken a medium, or made it; neither row nor Temporal know. */
  'worker.medium-answered',
  /** About to write `completed`: a worker that is held here is a zombie when its run is gone. */
  'worker.completing',
  'worker.completed',
  /** About to write `failed`. */
  'worker.failing',
  'worker.failed',
  'worker.cancelled',
  /** Key: message id. */
  'worker.rejected',
] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];

/** What to do at a point; may never return. */
export type FaultHook = (point: FaultPoint, keys: readonly string[]) => Promise<void>;

let hook: FaultHook | null = null;

export function armFaultPoints(next: FaultHook): void {
  hook = next;
}

export async function faultPoint(point: FaultPoint, ...keys: readonly string[]): Promise<void> {
  if (hook !== null) await hook(point, keys);
}
