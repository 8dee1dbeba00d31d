/** Looks at the letters; each goes back to where it was. */
import { isChosen, toLetter, type Choice, type Letter } from './letter.ts';
import { walk, type WalkDeps, type Walked } from './walk.ts';

export interface Shown {
  readonly letter: Letter;
  /** How often it is there: a crash between publish and ack sends a letter twice. */
  readonly copies: number;
}

const NO_BODY = new Uint8Array();

/** A choice without names and reason is everything, what is no letter included. Oldest first. */
export async function show(
  deps: WalkDeps,
  choice: Choice,
  { bodies }: { readonly bodies: boolean },
  signal: AbortSignal,
): Promise<{ readonly walked: Walked; readonly shown: readonly Shown[] }> {
  const everything = choice.who.length === 0 && choice.reason === null;
  // By Pub/Sub's own id of the letter: a lease that runs out meanwhile makes no copy.
  const found = new Map<string, { letter: Letter; at: string; messages: Set<string> }>();
  const walked = await walk(
    deps,
    (deliveries) => {
      for (const delivery of deliveries) {
        const letter = toLetter(delivery, deps.subscription);
        if (!everything && !isChosen(letter, choice)) continue;
        const known = found.get(letter.id);
        if (known !== undefined) known.messages.add(delivery.messageId);
        else if (found.size >= choice.limit) return Promise.resolve('enough');
        else {
          const kept = bodies ? letter : { ...letter, body: NO_BODY };
          found.set(letter.id, { letter: kept, at: delivery.publishTime, messages: new Set([delivery.messageId]) });
        }
      }
      return Promise.resolve('more');
    },
    signal,
  );
  const shown = [...found.values()]
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .map(({ letter, messages }) => ({ letter, copies: messages.size }));
  return { walked, shown };
}
