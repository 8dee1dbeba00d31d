import type { ForwardDeadLetterInput } from '../contract/workflow-io.ts';
import { bridgeActivities } from './activities.ts';

/** A letter of a failed run, open until a bridge has published it. Returns the letter's Pub/Sub message id. */
export async function forwardDeadLetter(input: ForwardDeadLetterInput): Promise<string> {
  return bridgeActivities(`Publish the dead letter: ${input.letter.reason}`).publishDeadLetter(input);
}
