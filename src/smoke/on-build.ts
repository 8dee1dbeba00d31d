/**
 * Messages until one has run on a given build: with a ramp of 10 %, nine of ten single messages say nothing about it. Runs
 * on other builds are left alone, however they end: whether those work is not the question, and a ramp may be their cure.
 */
import type { Clock } from '../bridge/clock.ts';
import { LOOK_EVERY_MS, NOBODY_TOOK_IT, smokeMessage, type Outcome, type Publish } from './smoke.ts';
import type { SeenRun, Watch } from './watch.ts';

/** At a share of 10 %, 44 miss the build once in a hundred times, 100 once in 38,000. Each leaves a row. */
export const MAX_MESSAGES = 100;

/** A run that nobody has taken up for as long counts as a miss: one of a build without workers would hold up all others. */
export const TAKEN_UP_WITHIN_MS = 10_000;

export interface Published {
  readonly correlationId: string;
  readonly seen: SeenRun;
  /** When its run was first seen. */
  readonly begunMs: number | null;
}

export type Next =
  | { readonly kind: 'ended'; readonly outcome: Outcome }
  /** How many messages to publish before the next look. */
  | { readonly kind: 'go on'; readonly publish: number };

/** As many again and one, when all before have missed: one message where the build gets all runs, 100 in seven rounds. */
export function nextOf(messages: readonly Published[], buildId: string, nowMs: number): Next {
  const on = messages.filter(({ seen }) => seen.buildId === buildId);
  const ended = (reason: Outcome['reason'], verdict: string, shown: Published | undefined): Next => ({
    kind: 'ended',
    outcome: { reason, row: shown?.seen.row ?? null, verdict },
  });
  const bad = on.find(({ seen: { end } }) => end !== null && end !== 'completed');
  if (bad !== undefined) return ended('failed', `FAILED: a run on ${buildId} did not end as completed`, bad);
  if (on.length > 0) {
    const all = on.every(({ seen }) => seen.end !== null);
    return all ? ended('completed', `passed on ${buildId}`, on[0]) : { kind: 'go on', publish: 0 };
  }
  const undecided = messages.filter((each) => !isElsewhere(each, buildId));
  const wait = undecided.some(({ begunMs }) => begunMs === null || nowMs - begunMs < TAKEN_UP_WITHIN_MS);
  if (wait) return { kind: 'go on', publish: 0 };
  const left = MAX_MESSAGES - messages.length;
  if (left === 0 && undecided.length === 0)
    return ended('timed_out', `MISSED: ${missed(messages, buildId)}`, undefined);
  return { kind: 'go on', publish: Math.min(messages.length + 1, left) };
}

/** Nothing that it does from now on can matter. */
const isElsewhere = ({ seen }: Published, buildId: string): boolean =>
  seen.buildId !== buildId && (seen.buildId !== null || seen.end !== null);

export async function smokeOnBuild(
  publish: Publish,
  watch: Watch<SeenRun>,
  buildId: string,
  waitMs: number,
  say: (line: string) => void,
  clock: Clock,
): Promise<Outcome> {
  const until = clock.now() + waitMs;
  let messages: readonly Published[] = [];
  for (;;) {
    const next = nextOf(messages, buildId, clock.now());
    if (next.kind === 'ended') {
      say(sharesOf(messages));
      return next.outcome;
    }
    if (clock.now() >= until) {
      if (messages.some(({ seen }) => seen.begun)) say(sharesOf(messages));
      return { reason: 'timed_out', ...lateOf(messages, buildId, waitMs) };
    }
    const fresh = await Promise.all(Array.from({ length: next.publish }, () => publishOne(publish, say)));
    if (fresh.length === 0) await clock.sleep(LOOK_EVERY_MS);
    const look = async (message: Published): Promise<Published> => {
      if (isElsewhere(message, buildId)) return message;
      const seen = await watch.look(message.correlationId);
      if (seen.buildId !== null && message.seen.buildId === null) say(`${message.correlationId} is on ${seen.buildId}`);
      return { ...message, seen, begunMs: message.begunMs ?? (seen.begun ? clock.now() : null) };
    };
    messages = await Promise.all([...messages, ...fresh].map(look));
  }
}

async function publishOne(publish: Publish, say: (line: string) => void): Promise<Published> {
  const { correlationId, body } = smokeMessage();
  const messageId = await publish(body);
  say(`published message ${messageId}: ${body}`);
  return { correlationId, seen: { row: null, end: null, begun: false, buildId: null }, begunMs: null };
}

function lateOf(messages: readonly Published[], buildId: string, waitMs: number): Pick<Outcome, 'row' | 'verdict'> {
  const verdict = (why: string): string => `TIMED OUT after ${String(waitMs / 1_000)} s: ${why}`;
  const open = messages.find(({ seen }) => seen.buildId === buildId && seen.end === null);
  if (open !== undefined) return { row: open.seen.row, verdict: verdict(`a run on ${buildId} has not ended`) };
  const begun = messages.some(({ seen }) => seen.begun);
  return { row: null, verdict: verdict(begun ? missed(messages, buildId) : NOBODY_TOOK_IT) };
}

const missed = ({ length }: readonly Published[], buildId: string): string =>
  `none of ${String(length)} messages ran on ${buildId}: does it get new runs, and do its workers poll (npm run rollout -- status)?`;

/** Which build had how many. */
function sharesOf(messages: readonly Published[]): string {
  const counts = new Map<string, number>();
  for (const { seen } of messages) {
    const where = seen.buildId ?? (seen.end === null ? 'nobody yet' : 'workers without a version');
    counts.set(where, (counts.get(where) ?? 0) + 1);
  }
  const shares = [...counts].map(([where, count]) => `${String(count)} on ${where}`);
  return `of ${String(messages.length)} messages: ${shares.join(', ')}`;
}
