/** For scripts that others call: a fault of what they were given is a sentence on stderr and exit 2, never a stack. */
import { z } from 'zod';

export function orExplain(name: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    console.error(`${name}: ${error instanceof z.ZodError ? z.prettifyError(error) : String(error)}`);
    process.exit(2);
  }
}
