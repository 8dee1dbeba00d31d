/**
 * The truth ledger: what was published against what is there. Pure, so that a test can show of every line that it
 * catches what it is meant to. A line is excused only by what was really done to that request or that worker.
 */
import { grouped } from './grouped.ts';
import type { Facts, LetterFact, RowFact } from './facts.ts';
import type { FaultWindow, Touch } from './history.ts';
import type { PlannedRequest } from './mix.ts';

export const LINES = [
  /** No row, or no letter, where one is due. */
  'lost',
  /** A row, a run, a message or a letter that nobody will end. */
  'stuck',
  /** Another status or count of failures than it may have. */
  'wrong end',
  /** A second completion or failure, or any write on a row that had ended. */
  'twice',
  /** A script that belongs to another call or topic. */
  'wrong content',
  /** Paid for again, though no fault hit the first call. */
  'paid twice',
  /** A letter that must not be, for the wrong reason, with another body, or a second one. */
  'undue letter',
  /** Delivered more often than faults explain. */
  'delivered too often',
  /** A process that ended although nobody ended it. */
  'process ended',
] as const;
export type Line = (typeof LINES)[number];

export interface Violation {
  readonly line: Line;
  /** What evidence is kept by: row id, or null. */
  readonly rowId: string | null;
  /** Names the message or request. */
  readonly about: string;
  readonly detail: string;
}

export interface Told {
  readonly requests: readonly PlannedRequest[];
  /** Message id -> index of the planned message. */
  readonly published: ReadonlyMap<string, number>;
  readonly facts: Facts;
  readonly faults: readonly FaultWindow[];
  readonly touches: readonly Touch[];
}

const TERMINAL = ['completed', 'failed', 'cancelled'];
/** Between the provider's answer and Temporal's word that it has it. */
const REPORT_MS = 3_000;
/** Far below the subscription's own dead-letter policy of 100. */
const MOST_DELIVERIES = 25;

export function compare(told: Told): Violation[] {
  const violations: Violation[] = [];
  const { facts, requests, faults } = told;
  const touches = grouped(told.touches, ({ rowId }) => rowId);
  const letters = grouped(facts.letters, ({ index }) => index);
  const events = grouped(facts.events, ({ rowId }) => rowId);
  const calls = grouped(facts.calls, ({ rowId }) => rowId);
  const redelivering = faults.filter((fault) => fault.redelivers).length;

  for (const request of requests) {
    const { rowId } = request;
    const about = `${request.correlationId} (${request.kind})`;
    const find = (line: Line, detail: string): void => void violations.push({ line, rowId, about, detail });
    const done = rowId === null ? [] : (touches.get(rowId) ?? []);
    const row = rowId === null ? undefined : facts.rows.get(rowId);
    checkRow(request, row, done, facts, faults, find);
    checkLetters(request, row, done, letters, redelivering > 0, find);
    if (rowId === null) continue;
    const again = done.filter(({ what }) => what !== 'cancelled').length;
    const changes = events.get(rowId) ?? [];
    const completions = changes.filter(({ to }) => to === 'completed').length;
    if (completions > 1) find('twice', `completed ${String(completions)} times`);
    const failures = changes.filter(({ to }) => to === 'failed').length;
    if (failures > 1 + again)
      find('twice', `failed ${String(failures)} times, and was tried again ${String(again)} times`);
    checkPayments(
      (calls.get(rowId) ?? []).filter(({ stage, status }) => stage === 'script' && status === 200),
      again,
      faults,
      find,
    );
  }

  for (const { rowId, from, to, oldOwner, newOwner } of facts.lateWrites) {
    // The one write that may follow an end: a run takes a failed row over.
    if (from === 'failed' && to === 'pending' && newOwner !== oldOwner) continue;
    const detail = `written after it had ended: ${from} -> ${to}, owner ${String(oldOwner)} -> ${String(newOwner)}`;
    violations.push({ line: 'twice', rowId, about: rowId, detail });
  }
  for (const id of facts.openWorkflows) {
    violations.push({ line: 'stuck', rowId: rowOf(id), about: id, detail: 'the workflow is open' });
  }
  for (const id of facts.unacked) {
    violations.push({ line: 'stuck', rowId: null, about: `message ${id}`, detail: 'is left in the subscription' });
  }
  if (facts.lettersLeft > 0) {
    const detail = `${String(facts.lettersLeft)} letters are left`;
    violations.push({ line: 'stuck', rowId: null, about: 'dead-letter subscription', detail });
  }
  // The emulator hands messages to the poll of a bridge that has just ended, however soundly.
  const ends = facts.exits.filter(({ role }) => role === 'bridge').length;
  const bound = Math.min(MOST_DELIVERIES, 1 + redelivering + ends);
  for (const [id, times] of facts.deliveries) {
    if (times <= bound) continue;
    const about = `message ${id} (${indexed(told, id)})`;
    const detail = `delivered ${String(times)} times; ${String(redelivering)} faults may redeliver`;
    violations.push({ line: 'delivered too often', rowId: null, about, detail });
  }
  for (const { role, name, how, ordered, at } of facts.exits) {
    const answers = faults
      .filter(({ from, to }) => from <= at && at <= (to ?? Infinity))
      .flatMap(({ exits }) => exits ?? []);
    const sound = role === 'bridge' ? [0, 3, 4, 5, ...answers] : [];
    if (
      ordered
        ? how === 0 || how === 'SIGKILL' || how === 'SIGTERM' || sound.includes(Number(how))
        : sound.includes(Number(how))
    ) {
      continue;
    }
    violations.push({ line: 'process ended', rowId: null, about: name, detail: `exit ${String(how)}` });
  }
  return violations;
}

type Find = (line: Line, detail: string) => void;

function checkRow(
  { ends, rowId }: PlannedRequest,
  row: RowFact | undefined,
  done: readonly Touch[],
  facts: Facts,
  faults: readonly FaultWindow[],
  find: Find,
): void {
  const was = (what: Touch['what']): boolean => done.some((touch) => touch.what === what);
  if (ends.statuses.length === 0) {
    if (row !== undefined) find('wrong end', `there must be no row, and it is ${row.status}`);
    return;
  }
  if (row === undefined) {
    find('lost', `there is no row ${String(rowId)}`);
    return;
  }
  if (!TERMINAL.includes(row.status)) {
    find('stuck', `the row is ${row.status}`);
    return;
  }
  const allowed = [
    ...ends.statuses,
    ...(was('cancelled') ? ['cancelled'] : []),
    // The provider works by then, and whoever sends a letter again must not lose it.
    ...(was('letter replayed') ? ['completed'] : []),
  ].filter((status) => !(was('letter replayed') && !was('cancelled') && status === 'failed'));
  if (!allowed.includes(row.status)) find('wrong end', `${row.status}, and may only be ${allowed.join(' or ')}`);

  const failing = facts.calls.filter((call) => call.rowId === row.id && isCounted(call.status));
  // A frozen worker's failure is nobody's: counted or not, it has no say.
  if (row.retryCount > failing.length) {
    find(
      'wrong end',
      `retry_count is ${String(row.retryCount)}, and the provider failed ${String(failing.length)} times`,
    );
  }
  if (ends.retryCount === null || done.length > 0) {
    finish();
    return;
  }
  const unexplained = failing.filter((call) => !wasHit(call, faults)).length;
  if (unexplained > ends.retryCount) {
    find('wrong end', `asked ${String(failing.length)} times in vain, and ${String(ends.retryCount)} are due`);
  }
  // A worker that is lost between the provider's failure and its report leaves that failure uncounted.
  if (unexplained === failing.length && row.retryCount !== failing.length) {
    find(
      'wrong end',
      `retry_count is ${String(row.retryCount)}, and the provider failed ${String(failing.length)} times`,
    );
  }
  finish();

  function finish(): void {
    if (row?.status === 'completed') checkContent(row, facts, find);
  }
}

/** What the retry policy counts: 429 and 503 wait. */
function isCounted(status: number | null): boolean {
  return status !== null && status >= 400 && ![429, 503].includes(status);
}

function checkContent(row: RowFact, facts: Facts, find: Find): void {
  const [, number = '0', topic = ''] = /^Lesson (\d+) on (.*)$/s.exec(row.scriptText ?? '') ?? [];
  const call = facts.calls[Number(number) - 1];
  if (call?.rowId !== row.id || call.stage !== 'script') {
    find('wrong content', `the script ${JSON.stringify(row.scriptText)} was not made for it`);
  }
  if (topic !== row.topic) find('wrong content', `the script is on ${topic}, the row on ${row.topic}`);
}

function checkLetters(
  request: PlannedRequest,
  row: RowFact | undefined,
  done: readonly Touch[],
  letters: ReadonlyMap<number | null, readonly LetterFact[]>,
  mayBeCopied: boolean,
  find: Find,
): void {
  const { ends, messages } = request;
  const again = done.filter(({ what }) => what !== 'cancelled').length;
  const cancelled = done.some(({ what }) => what === 'cancelled');
  const lettered = new Set<string>();
  for (const message of messages) {
    const its = letters.get(message.index) ?? [];
    const ids = new Set(its.map(({ dlqId }) => dlqId));
    if (its.length > ids.size && !mayBeCopied)
      find('undue letter', `a copy of the letter of message ${String(message.index)}`);
    for (const { reason, body } of its) {
      if (!body.equals(message.body)) find('undue letter', `message ${String(message.index)}: another body`);
      if (reason !== ends.letter) find('undue letter', `message ${String(message.index)}: ${reason}`);
    }
    if (ids.size > 0) lettered.add(message.content);
    if (ids.size > 1 + again) find('undue letter', `message ${String(message.index)}: ${String(ids.size)} letters`);
    if (ends.letter === null || ends.letter === 'conflicting_duplicate' || ids.size > 0) continue;
    if (!cancelled) find('lost', `message ${String(message.index)} has no letter`);
  }
  if (ends.letter !== 'conflicting_duplicate') return;
  // One content wins and has no letter; the other's message has one.
  const contents = new Set(messages.map(({ content }) => content));
  for (const content of contents) {
    const message = messages.find((one) => one.content === content);
    const won = row !== undefined && message !== undefined && topicOf(message.body) === row.topic;
    if (won && lettered.has(content)) find('undue letter', `content ${content} is the row's`);
    if (!won && !lettered.has(content)) find('lost', `content ${content} has neither row nor letter`);
  }
}

function topicOf(body: Buffer): unknown {
  return (JSON.parse(body.toString('utf8')) as { topic?: unknown }).topic;
}

type Call = Facts['calls'][number];

/** Each payment beyond the first needs somebody who asked for it, or a fault that hit one of them. */
function checkPayments(paid: readonly Call[], again: number, faults: readonly FaultWindow[], find: Find): void {
  const hit = paid.filter((call) => wasHit(call, faults)).length;
  const unexplained = paid.length - 1 - again - hit;
  if (unexplained > 0) {
    find('paid twice', `${String(paid.length)} answers, ${String(unexplained)} of them without a fault`);
  }
}

/**
 * A fault of its worker while it was under way, or before Temporal had its answer; or one that the worker has just woken
 * up from: a frozen worker asks for what another has been given meanwhile.
 */
function wasHit({ worker, startedAt, endedAt }: Call, faults: readonly FaultWindow[]): boolean {
  return faults.some(
    ({ workers, wakes, from, to }) =>
      workers?.includes(worker) === true &&
      from <= (endedAt ?? startedAt) + REPORT_MS &&
      (to ?? Infinity) + (wakes === true ? REPORT_MS : 0) >= startedAt,
  );
}

function rowOf(id: string): string | null {
  return /^content-request\/(.+)$/.exec(id)?.[1] ?? null;
}

function indexed({ published }: Told, messageId: string): string {
  return `planned ${String(published.get(messageId) ?? 'nowhere')}`;
}
