/**
 * Arms the fault points of this process from DEV_FAULTS, a JSON list of orders. What it does is written to stdout as a
 * JSON line, so that a test can wait for the fact.
 */
import { armFaultPoints, FAULT_POINTS, type FaultPoint } from '../fault-points.ts';

export interface FaultOrder {
  readonly point: FaultPoint;
  /** Only for the message or row of this key; absent = whichever comes. */
  readonly key?: string;
  /** kill = SIGKILL on the spot; hold = stay there until SIGUSR2; throw = an error that nobody expects. */
  readonly action: 'kill' | 'hold' | 'throw';
  /** How often; 1 unless given. */
  readonly times?: number;
  /** How often the point is passed before; 0 unless given. */
  readonly passes?: number;
}

export function faultsAsEnv(orders: readonly FaultOrder[]): Record<string, string> {
  return { DEV_FAULTS: JSON.stringify(orders) };
}

export function armFromEnv(text: string | undefined): void {
  if (text === undefined) return;
  const orders = (JSON.parse(text) as FaultOrder[]).map((order) => ({
    ...order,
    left: order.times ?? 1,
    toPass: order.passes ?? 0,
  }));
  for (const { point } of orders) {
    if (!FAULT_POINTS.includes(point)) throw new Error(`DEV_FAULTS: there is no fault point ${point as string}`);
  }
  const held = new Set<() => void>();
  process.on('SIGUSR2', () => {
    for (const release of held) release();
    held.clear();
  });
  armFaultPoints(async (point, keys) => {
    const matches = ({ left, key, ...order }: (typeof orders)[number]): boolean =>
      left > 0 && order.point === point && (key === undefined || keys.includes(key));
    const order = orders.find(matches);
    if (order === undefined) return;
    if (order.toPass > 0) {
      order.toPass -= 1;
      return;
    }
    order.left -= 1;
    const say = (message: string): void => {
      process.stdout.write(`${JSON.stringify({ message, point, keys, action: order.action })}\n`);
    };
    say('fault point');
    switch (order.action) {
      case 'kill':
        process.kill(process.pid, 'SIGKILL');
        // The signal is on its way; nothing may happen before it arrives.
        await new Promise(() => undefined);
        return;
      case 'hold':
        await new Promise<void>((resolve) => held.add(resolve));
        say('fault point released');
        return;
      case 'throw':
        throw new Error(`armed at ${point}`);
      default:
        order.action satisfies never;
    }
  });
}
