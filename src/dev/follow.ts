/** Publishes messages, shows what happens to them as it happens, and says whether each ended as it should. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SingleBar } from 'cli-progress';
import { NAMES } from '../contract/names.ts';
import type { DemoMessage } from './demo.ts';
import { StatusTable } from './table.ts';
import type { Views } from './views.ts';
import { hasEnded, look, verdict, watched, type Watched } from './watch.ts';

/** More do not fit on a screen: those are counted, not drawn. */
const LARGEST_TABLE = 40;
const LOOK_EVERY_MS = 100;
/** Faults that are printed; the count says how many there are. */
const MOST_FAULTS = 20;

export interface Followed {
  readonly entries: readonly Watched[];
  readonly faults: readonly string[];
}

/** Ends when every message has ended, or after `limitMs`. */
export async function follow(
  views: Views,
  messages: readonly DemoMessage[],
  limitMs: number,
  say: (line: string) => void,
): Promise<Followed> {
  const many = messages.length > LARGEST_TABLE;
  const entries = await publish(views, messages, many);
  if (many) await count(views, entries, limitMs);
  else await draw(views, entries, limitMs);
  const faults = entries.flatMap((entry) => {
    const fault = verdict(entry);
    return fault === null ? [] : [`${entry.message.title}: ${fault}`];
  });
  for (const fault of faults.slice(0, MOST_FAULTS)) say(`✗ ${fault}`);
  if (faults.length > MOST_FAULTS) say(`✗ … and ${String(faults.length - MOST_FAULTS)} more`);
  return { entries, faults };
}

function progressBar(what: string, total: number): SingleBar {
  const bar = new SingleBar({ format: `${what.padEnd(10)}{bar} {value}/{total}`, noTTYOutput: false });
  bar.start(total, 0);
  return bar;
}

async function publish(views: Views, messages: readonly DemoMessage[], withBar: boolean): Promise<Watched[]> {
  const topic = views.pubsub.topic(NAMES.topic);
  const bar = withBar ? progressBar('published', messages.length) : null;
  try {
    return await Promise.all(
      messages.map(async (message) => {
        const messageId = await topic.publishMessage({ data: Buffer.from(message.body) });
        bar?.increment();
        return watched(message, messageId, views.lettersOf(messageId));
      }),
    );
  } finally {
    bar?.stop();
  }
}

async function draw(views: Views, entries: readonly Watched[], limitMs: number): Promise<void> {
  const table = new StatusTable(process.stdout);
  await until(limitMs, async () => {
    await look(entries, views, true);
    table.show(entries);
    return entries.every(hasEnded);
  });
  table.finish(entries);
}

async function count(views: Views, entries: readonly Watched[], limitMs: number): Promise<void> {
  const bar = progressBar('ended', entries.length);
  await until(limitMs, async () => {
    await look(entries, views, false);
    const ended = entries.filter(hasEnded).length;
    bar.update(ended);
    return ended === entries.length;
  });
  bar.stop();
}

async function until(limitMs: number, done: () => Promise<boolean>): Promise<void> {
  const begun = performance.now();
  while (!(await done()) && performance.now() - begun < limitMs) await sleep(LOOK_EVERY_MS);
}
