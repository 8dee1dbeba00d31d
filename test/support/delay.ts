/** A server that takes its time is a fact of the test, never something that a test waits for. */
import { setTimeout as sleep } from 'node:timers/promises';

export function delay(milliseconds: number): Promise<void> {
  return sleep(milliseconds);
}
