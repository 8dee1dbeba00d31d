/**
 * The truth ledger: what was published against what is there. Pure, so that a test can show of every line that it
 * catches what it is meant to. A line is excused only by what was really done to that request or that worker.
 */
import { REJECTION_CODES, type DeadLetterReason } from '../../src/contract/failure.ts';
import { grouped } from './grouped.ts';
import type { DeliveryFact, EventFact, Facts, LetterFact, RowFact } from './facts.ts';
import type { FaultWindow, Publication, Touch } from './history.ts';
import { endsOf, reasonsFor, type Ends, type PlannedMessage, type PlannedRequest } from './mix.ts';
import type { Exit } from './supervised.ts';

export const LINES = [
  /** No row, or no letter, where one is due. */
  'lost',
  /** A row, a run, a message or a letter that nobody will end. */
  'stuck',
  /** Another status or count of failures than it may have; or a row that nobody planned. */
  'wrong end',
  /** A second completion, a second failure of one run, or any write on a row that had ended. */
  'twice',
  /** A script that belongs to another call or topic. */
  'wrong content',
  /** Paid for again within one run, though no fault hit the first call. */
  'paid twice',
  /** A letter that must not be, for the wrong reason, with another body, about nothing that was planned, or a second one. */
  'undue letter',
  /** Delivered more often than what happened during its life explains. */
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
  readonly published: readonly Publication[];
  readonly facts: Facts;
  readonly faults: readonly FaultWindow[];
  readonly touches: readonly Touch[];
}

const TERMINAL = ['completed', 'failed', 'cancelled'];
/** Between the provider's answer and Temporal's word that it has it: over 3.7 s were seen on two busy cores. */
const REPORT_MS = 10_000;
/** Far below the subscription's own dead-letter policy of 100. */
const MOST_DELIVERIES = 25;
/** What waits for another message of its request comes that often: the emulator never lengthens the policy's first wait. */
const BACKOFF_MS = 10_000;
/** The shortest lease of all runs: in one that lasts longer, a message may come back more than once. */
const LEASE_MS = 10_000;
/** The emulator hands messages to the poll of a bridge that has just ended, however soundly. */
const POLL_MS = 5_000;
/** Before its letter is seen here, a message may have waited so long in a bridge: those that came often, one after the other. */
const LETTER_MS = 30_000;
/** An outage is over, and a bridge that has sat it out to its limit does not know yet. */
const OUTLASTED_MS = 30_000;
/** BRIDGE_REJECT_ALARM_COUNT: fewer never raise the alarm. */
const ALARM_COUNT = 20;

/** All that is known of one request. */
interface Case {
  readonly request: PlannedRequest;
  readonly row: RowFact | undefined;
  readonly touches: readonly Touch[];
  readonly events: readonly EventFact[];
  readonly calls: readonly Call[];
  readonly lettersOf: (message: PlannedMessage) => readonly LetterFact[];
  /** How many letters of their own it may have. */
  readonly mostLetters: (message: PlannedMessage) => number;
  readonly told: Told;
}

type Find = (line: Line, detail: string) => void;
type Finding = Pick<Violation, 'line' | 'detail'>;
type Call = Facts['calls'][number];

export function compare(told: Told): Violation[] {
  const violations: Violation[] = [];
  const { facts } = told;
  for (const one of casesOf(told)) {
    const { request, row } = one;
    const { rowId } = request;
    const about = `${request.correlationId} (${request.kind})`;
    const find: Find = (line, detail) => void violations.push({ line, rowId, about, detail });
    // Where it may end in one of several ways, it is held against the one that fits best.
    const [best = []] = endsOf(request)
      .map((ends) => findings((note) => checkEnd(one, ends, note)))
      .sort((a, b) => a.length - b.length);
    for (const { line, detail } of best) find(line, detail);
    if (row?.status === 'completed') checkContent(row, facts, find);
    checkWrites(one, find);
    checkPayments(one, find);
  }
  violations.push(
    ...lateWrites(facts),
    ...unplanned(told),
    ...leftOpen(facts),
    ...deliveredTooOften(told),
    ...processesEnded(told),
  );
  return violations;
}

function findings(check: (find: Find) => void): Finding[] {
  const found: Finding[] = [];
  check((line, detail) => void found.push({ line, detail }));
  return found;
}

function casesOf(told: Told): Case[] {
  const { facts, requests, published } = told;
  const touches = grouped(told.touches, ({ rowId }) => rowId);
  const events = grouped(facts.events, ({ rowId }) => rowId);
  const calls = grouped(facts.calls, ({ rowId }) => rowId);
  const letters = grouped(facts.letters, (letter) => indexOf(letter, told));
  const publications = grouped(published, ({ index }) => index);
  return requests.map((request): Case => {
    const its = <T>(map: ReadonlyMap<string, T[]>): T[] =>
      request.rowId === null ? [] : (map.get(request.rowId) ?? []);
    const done = its(touches);
    const ended = done.some(({ what }) => what === 'terminated' || what === 'cancelled');
    return {
      request,
      row: request.rowId === null ? undefined : facts.rows.get(request.rowId),
      touches: done,
      events: its(events),
      calls: its(calls),
      lettersOf: ({ index }) => letters.get(index) ?? [],
      mostLetters: ({ index }) => {
        const ids = (publications.get(index) ?? []).map(({ messageId }) => messageId);
        // A run that somebody has ended may be followed by one of the same message, delivered once more.
        const more = ids.map((id) => (facts.deliveries.get(id)?.times ?? 1) - 1);
        return ids.length + (ended ? more.reduce((sum, times) => sum + times, 0) : 0);
      },
      told,
    };
  });
}

/** By its own attribute, else by the message id that it names; null = it is about nothing that was published. */
function indexOf({ index, about }: LetterFact, { published }: Told): number | null {
  if (index !== null) return index;
  return published.find(({ messageId }) => messageId === about)?.index ?? null;
}

function checkEnd(one: Case, ends: Ends, find: Find): void {
  checkRow(one, ends, find);
  checkLetters(one, ends, find);
}

function checkRow({ request, row, touches, events, calls, told }: Case, ends: Ends, find: Find): void {
  const was = (what: Touch['what']): boolean => touches.some((touch) => touch.what === what);
  if (ends.statuses.length === 0) {
    if (row !== undefined) find('wrong end', `there must be no row, and it is ${row.status}`);
    return;
  }
  if (row === undefined) {
    find('lost', `there is no row ${String(request.rowId)}`);
    return;
  }
  if (!TERMINAL.includes(row.status) && !ends.statuses.includes(row.status)) {
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

  const failing = calls.filter(({ status }) => isCounted(status));
  const inVain = `the provider failed ${String(failing.length)} times`;
  // An attempt that infrastructure has broken off ten times counts (MAX_INFRASTRUCTURE_TRIES); the last of them was a
  // worker that was lost in its call.
  const brokenOff = calls.some((call) => call.status === null && wasHit(call, told.faults)) ? 1 : 0;
  // A frozen worker's failure is nobody's: counted or not, it has no say.
  if (row.retryCount > failing.length + brokenOff)
    find('wrong end', `retry_count is ${String(row.retryCount)}, and ${inVain}`);
  const oneRun = ownersOf(events).length <= 1 && !was('cancelled') && !was('terminated') && !was('reset');
  if (ends.retryCount === null || !oneRun) return;
  const unexplained = failing.filter((call) => !wasHit(call, told.faults)).length;
  if (unexplained > ends.retryCount) {
    find('wrong end', `asked ${String(failing.length)} times in vain, and ${String(ends.retryCount)} are due`);
  }
  // A worker that is lost between the provider's failure and its report leaves that failure uncounted.
  if (unexplained === failing.length && row.retryCount < failing.length) {
    find('wrong end', `retry_count is ${String(row.retryCount)}, and ${inVain}`);
  }
}

/** Runs that the row has belonged to. */
function ownersOf(events: readonly EventFact[]): string[] {
  return [...new Set(events.flatMap(({ owner }) => (owner === null ? [] : [owner])))];
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

function checkLetters(one: Case, ends: Ends, find: Find): void {
  const { request, row, touches, lettersOf, mostLetters, told } = one;
  // A refusal is no work: a cancel does not keep it from its letter, nor does it where the row has failed.
  const excused =
    touches.some(({ what }) => what === 'cancelled') && ends.statuses.includes('failed') && row?.status !== 'failed';
  for (const message of request.messages) {
    const its = lettersOf(message);
    const reasons = reasonsFor(ends, message);
    const about = `message ${String(message.index)}`;
    for (const { reason, body } of its) {
      if (!body.equals(message.body)) find('undue letter', `${about}: another body`);
      if (!reasons.some((allowed) => allowed === reason)) find('undue letter', `${about}: ${reason}`);
    }
    const copies = grouped(its, ({ dlqId }) => dlqId);
    for (const letters of copies.values()) {
      if (letters.length > 1 && !mayBeCopied(letters, told.faults)) find('undue letter', `a copy of that of ${about}`);
    }
    if (copies.size > mostLetters(message) + judgedTwice(its, told.faults)) {
      const most = String(mostLetters(message));
      find('undue letter', `${about}: ${String(copies.size)} letters, and it was published ${most} times`);
    }
    if (ends.letter === 'conflicting_duplicate' || reasons.length === 0 || copies.size > 0) continue;
    if (!excused) find('lost', `${about} has no letter`);
  }
  if (ends.letter === 'conflicting_duplicate') checkConflict(one, find);
}

/**
 * Refused by a run, with its letter, and the ack was lost; when it came again another run held its id, which the bridge
 * saw before any run could have told that it is the same message.
 */
function judgedTwice(letters: readonly LetterFact[], faults: readonly FaultWindow[]): 0 | 1 {
  const reasons = new Set(letters.map(({ reason }) => reason));
  return reasons.size === 2 && reasons.has('conflicting_duplicate') && mayBeCopied(letters, faults) ? 1 : 0;
}

/** Published, and the ack or the report of it was lost; so it was published again. */
function mayBeCopied(copies: readonly LetterFact[], faults: readonly FaultWindow[]): boolean {
  const times = copies.map(({ at }) => at);
  const span = { from: Math.min(...times) - LETTER_MS, to: Math.max(...times) };
  return faults.some((fault) => fault.redelivers && overlapMs(fault, span) !== null);
}

/** One content wins and has no letter; the other's message has one. */
function checkConflict({ request: { messages }, row, lettersOf }: Case, find: Find): void {
  const lettered = new Set(messages.filter((one) => lettersOf(one).length > 0).map(({ content }) => content));
  for (const content of new Set(messages.map((one) => one.content))) {
    const message = messages.find((one) => one.content === content);
    const won = row !== undefined && message !== undefined && topicOf(message.body) === row.topic;
    if (won && lettered.has(content)) find('undue letter', `content ${content} is the row's`);
    if (!won && !lettered.has(content)) find('lost', `content ${content} has neither row nor letter`);
  }
}

function topicOf(body: Buffer): unknown {
  return (JSON.parse(body.toString('utf8')) as { topic?: unknown }).topic;
}

/** A run ends its row once; which runs there were, the row's events tell. */
function checkWrites({ events }: Case, find: Find): void {
  const completions = events.filter(({ to }) => to === 'completed').length;
  if (completions > 1) find('twice', `completed ${String(completions)} times`);
  const failures = grouped(
    events.filter(({ to }) => to === 'failed'),
    ({ owner }) => owner,
  );
  for (const [owner, its] of failures) {
    if (its.length > 1) find('twice', `failed ${String(its.length)} times by run ${String(owner)}`);
  }
}

/** One payment for each stage of a run; each beyond that needs a reset, or a fault that hit one of them. */
function checkPayments({ calls, events, touches, told }: Case, find: Find): void {
  const runs = Math.max(1, ownersOf(events).length);
  const resets = touches.filter(({ what }) => what === 'reset').length;
  for (const [stage, paid] of grouped(calls.filter(isPaid), (call) => call.stage)) {
    const payments = grouped(paid, (call) => (stage === 'script' ? call : `${call.key} ${runAt(call, events)}`));
    const hit = [...payments.values()].filter((its) => its.some((call) => wasHit(call, told.faults))).length;
    const unexplained = payments.size - runs - resets - hit;
    if (unexplained <= 0) continue;
    const detail = `${stage}: ${String(payments.size)} times by ${String(runs)} runs, ${String(unexplained)} of them without a fault`;
    find('paid twice', detail);
  }
}

/** A script that was made, a medium that was taken on. Each script costs; a medium is made once for a key. */
function isPaid({ status }: Call): boolean {
  return status === 200 || status === 202;
}

function runAt({ startedAt }: Call, events: readonly EventFact[]): string {
  return events.filter(({ owner, at }) => owner !== null && at <= startedAt).at(-1)?.owner ?? 'nobody';
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

function lateWrites({ lateWrites: writes }: Facts): Violation[] {
  return writes.flatMap(({ rowId, from, to, oldOwner, newOwner }): Violation[] => {
    // The one write that may follow an end: a run takes a failed row over.
    if (from === 'failed' && to === 'pending' && newOwner !== oldOwner) return [];
    const detail = `written after it had ended: ${from} -> ${to}, owner ${String(oldOwner)} -> ${String(newOwner)}`;
    return [{ line: 'twice', rowId, about: rowId, detail }];
  });
}

/** What is there and nobody has asked for. */
function unplanned(told: Told): Violation[] {
  const { requests, facts, published } = told;
  const rowIds = new Set(requests.map(({ rowId }) => rowId));
  const indexes = new Set(requests.flatMap(({ messages }) => messages.map(({ index }) => index)));
  const byId = grouped(published, ({ messageId }) => messageId);
  const rows = [...facts.rows.values()].flatMap(({ id, status }): Violation[] =>
    rowIds.has(id)
      ? []
      : [{ line: 'wrong end', rowId: id, about: id, detail: `nobody planned it, and it is ${status}` }],
  );
  const letters = facts.letters.flatMap((letter): Violation[] => {
    const { reason, dlqId, about } = letter;
    const index = indexOf(letter, told);
    const undue = (detail: string): Violation[] => [
      { line: 'undue letter', rowId: null, about: `letter ${dlqId}`, detail: `${reason}, ${detail}` },
    ];
    if (index === null || !indexes.has(index)) return undue('about nothing that was planned');
    if (about !== null && byId.get(about)?.some((one) => one.index === index) !== true) {
      return undue(`about message ${about}, which is not the planned ${String(index)}`);
    }
    return [];
  });
  return [...rows, ...letters];
}

function leftOpen({ openWorkflows, unacked, lettersLeft }: Facts): Violation[] {
  const stuck = (rowId: string | null, about: string, detail: string): Violation => ({
    line: 'stuck',
    rowId,
    about,
    detail,
  });
  return [
    ...openWorkflows.map((id) => stuck(rowOf(id), id, 'the workflow is open')),
    ...unacked.map((id) => stuck(null, `message ${id}`, 'is left in the subscription')),
    ...(lettersLeft > 0 ? [stuck(null, 'dead-letter subscription', `${String(lettersLeft)} letters are left`)] : []),
  ];
}

function rowOf(id: string): string | null {
  return /^content-request\/(.+)$/.exec(id)?.[1] ?? null;
}

function deliveredTooOften({ requests, published, facts, faults }: Told): Violation[] {
  const rowIds = new Map(requests.flatMap(({ rowId, messages }) => messages.map(({ index }) => [index, rowId])));
  const byId = grouped(published, ({ messageId }) => messageId);
  const byRow = grouped(published, ({ index }) => rowIds.get(index) ?? null);
  const ends = facts.exits.filter(({ role }) => role === 'bridge');
  return [...facts.deliveries].flatMap(([id, delivery]): Violation[] => {
    const its = byId.get(id) ?? [];
    const rowId = rowIds.get(its[0]?.index ?? -1) ?? null;
    const life = { from: Math.min(...its.map(({ at }) => at), delivery.lastAt) - POLL_MS, to: delivery.lastAt };
    const again = its.length > 1 || (rowId !== null && (byRow.get(rowId)?.length ?? 0) > 1);
    const causes =
      lostLeases(faults, life) +
      ends.filter(({ at }) => life.from <= at && at <= life.to).length +
      (again ? delivery.givenBack : 0);
    const most = Math.max(MOST_DELIVERIES, again ? (life.to - life.from) / BACKOFF_MS : 0);
    if (delivery.times <= Math.min(most, 1 + causes)) return [];
    const planned = its.length === 0 ? 'nowhere' : its.map(({ index }) => index).join();
    return [
      {
        line: 'delivered too often',
        rowId,
        about: `message ${id} (planned ${planned})`,
        detail: inWords(delivery, causes),
      },
    ];
  });
}

function inWords({ times, givenBack }: DeliveryFact, causes: number): string {
  return `delivered ${String(times)} times and given back ${String(givenBack)} times; ${String(causes)} causes during its life`;
}

interface Span {
  readonly from: number;
  readonly to: number | null;
}

/** A fault may cost each lease that begins while it lasts. */
function lostLeases(faults: readonly FaultWindow[], life: Span): number {
  return faults
    .filter(({ redelivers }) => redelivers)
    .map((fault) => overlapMs(fault, life))
    .reduce<number>((sum, ms) => (ms === null ? sum : sum + 1 + Math.floor(ms / LEASE_MS)), 0);
}

/** Null = they do not meet. */
function overlapMs(one: Span, other: Span): number | null {
  const ms = Math.min(one.to ?? Infinity, other.to ?? Infinity) - Math.max(one.from, other.from);
  return ms < 0 ? null : ms;
}

function processesEnded(told: Told): Violation[] {
  return told.facts.exits.flatMap((exit): Violation[] =>
    isSound(exit, told)
      ? []
      : [{ line: 'process ended', rowId: null, about: exit.name, detail: `exit ${String(exit.how)}` }],
  );
}

function isSound({ role, how, ordered, follows, at }: Exit, told: Told): boolean {
  if (ordered && [0, 'SIGKILL', 'SIGTERM'].includes(how)) return true;
  if (role === 'worker') return false;
  const during = (ms: number): FaultWindow[] =>
    told.faults.filter(({ from, to }) => from <= at && at <= (to ?? Infinity) + ms);
  if (during(0).some(({ exits }) => exits?.some((code) => code === how) === true)) return true;
  const outlasted = (of: FaultWindow['outage']): boolean => during(OUTLASTED_MS).some(({ outage }) => outage === of);
  switch (how) {
    // One that follows never ends by itself, whatever is broken; the alarm changes the code of an end, and makes none.
    case 0:
      return !follows;
    case 3:
      return !follows && outlasted('temporal');
    case 4:
      return !follows && outlasted('pubsub');
    case 5:
      return (ordered || !follows) && rejections(told) >= ALARM_COUNT;
    default:
      return false;
  }
}

/** How often bridges were handed a message that is invalid. */
function rejections({ requests, published, facts }: Told): number {
  const codes: readonly (DeadLetterReason | null)[] = REJECTION_CODES;
  const invalid = new Set(
    requests
      .filter(({ ends }) => codes.includes(ends.letter))
      .flatMap(({ messages }) => messages.map(({ index }) => index)),
  );
  const ids = new Set(published.filter(({ index }) => invalid.has(index)).map(({ messageId }) => messageId));
  return [...ids].reduce((sum, id) => sum + (facts.deliveries.get(id)?.times ?? 0), 0);
}
