/** One run: publish, break, mend, wait until all is quiet, and compare. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message, Subscription } from '@google-cloud/pubsub';
import { WorkflowNotFoundError, type WorkflowExecutionDescription } from '@temporalio/client';
import { workflowId } from '../../src/contract/names.ts';
import { PUBLISH_LETTER_LIMIT_MS } from '../../src/contract/workflow-io.ts';
import { keepEvidence } from './evidence.ts';
import {
  deliveries,
  eventFacts,
  lateWrites,
  leftLetters,
  openWorkflows,
  rowFacts,
  unackedMessages,
  type Facts,
  type LetterFact,
  type RowFact,
} from './facts.ts';
import type { Chaos, Fault } from './faults.ts';
import { grouped } from './grouped.ts';
import { Log, type Publication, type Touch } from './history.ts';
import { compare, type Violation } from './ledger.ts';
import { endsOf, reasonsFor, type Ends, type Plan, type PlannedMessage, type PlannedRequest } from './mix.ts';
import { seeded, type Random } from './random.ts';
import { startWorld, type World, type WorldOptions } from './world.ts';

export interface RunOptions {
  /** What is published. */
  readonly plan: (random: Random) => Plan;
  readonly seed: number;
  /** Chosen from at random; none = a calm run. */
  readonly faults: readonly Fault[];
  /** Logs and evidence. */
  readonly folder: string;
  readonly root?: string;
  readonly say: (line: string) => void;
  /** How many requests may be under way; publishing waits meanwhile. */
  readonly openLimit?: number;
  /** Calm between two faults, on the average; two are injected side by side. */
  readonly pauseMs?: number;
  /** When nothing changes for so long, nothing will. */
  readonly patienceMs?: number;
  /** Breaks things in its own order, in place of the faults by chance; when it ends, all must be mended. */
  readonly script?: Script;
  readonly world?: Omit<WorldOptions, 'folder' | 'root'>;
  /** Ends it: processes and servers are stopped, and it rejects. */
  readonly signal?: AbortSignal;
}

export interface Script {
  /** Bridges and workers are started by the script. */
  readonly startsAll?: boolean;
  /** Publishes when it likes; all of it, once. */
  readonly run: (chaos: Chaos, publish: () => Promise<void>) => Promise<void>;
}

export interface Outcome {
  readonly messages: number;
  readonly requests: number;
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly faults: Readonly<Record<string, number>>;
  readonly touches: Readonly<Record<string, number>>;
  readonly rows: Readonly<Record<string, number>>;
  readonly letters: number;
  readonly letterCopies: number;
  readonly mostDeliveries: number;
  readonly paidAgain: number;
  /** From the end of the faults until every request had ended. */
  readonly recoverySeconds: number;
  readonly seconds: number;
  readonly peakRssMib: Readonly<Record<'bridge' | 'worker', number>>;
  /** What the script has measured. */
  readonly figures: Figures;
}

/** Name -> number. */
export type Figures = Readonly<Record<string, number>>;

const TERMINAL = ['completed', 'failed', 'cancelled'];
/** Letters of these the operator sends again as soon as they come, when their cause is mended. */
const REPLAYED = ['attempts_exhausted', 'generation_failed', 'content_blocked'];
const AT_ONCE = 2;
/** The limit of the activity that publishes it, and as much again for a busy machine. */
const LOST_LETTER_MS = 2 * PUBLISH_LETTER_LIMIT_MS;

export async function runChaos(options: RunOptions): Promise<Outcome> {
  const startedAt = Date.now();
  const random = seeded(options.seed);
  const plan = options.plan(random);
  const world = await startWorld({
    ...options.world,
    folder: options.folder,
    ...(options.root === undefined ? {} : { root: options.root }),
  });
  const interrupted = new Promise<never>((_, reject) => {
    options.signal?.addEventListener('abort', () =>
      reject(new Error('interrupted', { cause: options.signal?.reason })),
    );
  });
  try {
    return await Promise.race([new Run(options, plan, world, startedAt).run(), interrupted]);
  } finally {
    await Promise.all([...world.bridges, ...world.workers, world.drain].map((each) => each.stop()));
    await world.stop();
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #plan: Plan;
  readonly #world: World;
  readonly #startedAt: number;
  readonly #log = new Log();
  readonly #letters: LetterFact[] = [];
  /** Letters that came, each once: Pub/Sub may hand the same one to us twice. */
  readonly #taken = new Set<string>();
  readonly #published: Publication[] = [];
  readonly #publishedRequests: PlannedRequest[] = [];
  readonly #healing = new AbortController();
  readonly #remedied = new Set<object>();
  readonly #figures: Record<string, number> = {};
  #letterStream: Subscription | null = null;
  #gaveUp = false;
  #lettersTaken: Promise<unknown> = Promise.resolve();

  constructor(options: RunOptions, plan: Plan, world: World, startedAt: number) {
    this.#options = options;
    this.#plan = plan;
    this.#world = world;
    this.#startedAt = startedAt;
  }

  async run(): Promise<Outcome> {
    const { say } = this.#options;
    const { bridges, workers, provider } = this.#world;
    for (const request of this.#plan.requests) provider.expect(request);
    await this.#makeApiRows();
    this.#openLetters();
    const { script } = this.#options;
    if (script?.startsAll !== true) for (const each of [...bridges, ...workers]) each.start();

    if (script === undefined) {
      const breaking = this.#breakThings();
      await this.#publishAll();
      await this.#until((left) => left <= Math.max(5, this.#plan.requests.length * 0.03));
      this.#healing.abort();
      await breaking;
    } else {
      await script.run(this.#chaos(seeded(0)), () => this.#publishAll());
    }
    const healedAt = Date.now();
    say(`${this.#since()} faults end after ${String(this.#log.faults.length)}`);
    await this.#until((left) => left === 0);
    const recoverySeconds = Math.round((Date.now() - healedAt) / 100) / 10;
    say(`${this.#since()} all has ended, ${String(recoverySeconds)} s after the faults`);
    await this.#lettersTaken;

    await Promise.all(bridges.map((bridge) => bridge.stop()));
    await this.#drain();
    await this.#until((left) => left === 0);
    await Promise.all(workers.map((worker) => worker.stop()));
    await this.#letterStream?.close();
    const lettersLeft = await this.#takeLeftLetters();
    return this.#conclude(recoverySeconds, lettersLeft);
  }

  /** As the scheduler would, until no run is open: a letter that a bridge died with is Temporal's again after 60 s. */
  async #drain(): Promise<void> {
    const { say } = this.#options;
    const deadline = Date.now() + LOST_LETTER_MS;
    for (;;) {
      const exit = await this.#world.drain.once();
      const open = await openWorkflows(this.#world);
      say(`${this.#since()} a bridge has drained: exit ${String(exit)}, ${String(open.length)} runs are open`);
      if (open.length === 0 || Date.now() > deadline) return;
    }
  }

  #openLetters(): void {
    this.#letterStream = this.#world.pubsub.subscription(this.#world.names.deadLetterSubscription);
    this.#letterStream.on('message', (message: Message) => this.#takeLetter(message));
    // Its server is gone in the one scenario that kills it; whether letters come, the ledger says.
    this.#letterStream.on('error', (error: Error) => this.#options.say(`${this.#since()} letters: ${error.message}`));
  }

  async #makeApiRows(): Promise<void> {
    const rows = this.#plan.requests.filter(({ apiRow }) => apiRow !== null);
    for (const { rowId, correlationId, apiRow } of rows) {
      await this.#world.query(
        `insert into content_requests (id, correlation_id, student_id, topic, grade_level) values ($1, $2, $3, $4, $5)`,
        [rowId, correlationId, `student-${correlationId}`, apiRow?.topic, apiRow?.gradeLevel],
      );
    }
  }

  async #publish(index: number, body: Buffer): Promise<void> {
    const topic = this.#world.pubsub.topic(this.#world.names.topic);
    const at = Date.now();
    const messageId = await topic.publishMessage({ data: body, attributes: { chaos_index: String(index) } });
    this.#published.push({ messageId, index, at });
  }

  async #publishAll(): Promise<void> {
    const { openLimit = 400 } = this.#options;
    const { messages } = this.#plan;
    for (let at = 0; at < messages.length; at += 50) {
      const batch = messages.slice(at, at + 50);
      await Promise.all(batch.map(({ message }) => this.#publish(message.index, message.body)));
      for (const { request } of batch) {
        if (!this.#publishedRequests.includes(request)) this.#publishedRequests.push(request);
      }
      if ((at / 50) % 20 === 19) this.#options.say(`${this.#since()} ${String(at + batch.length)} published`);
      await this.#until((left) => left <= openLimit);
    }
    this.#options.say(`${this.#since()} published ${String(this.#published.length)} messages`);
  }

  async #publishAgain(request: PlannedRequest, message = request.messages[0]): Promise<void> {
    if (message === undefined || request.rowId === null) return;
    this.#log.touch(request.rowId, 'published again');
    await this.#publish(message.index, message.body);
  }

  #takeLetter(message: Message): void {
    message.ack();
    const { id, attributes, data, publishTime } = message;
    const letter = this.#noteLetter(`${id} ${publishTime.toISOString()}`, id, attributes, data);
    if (letter === null) return;
    const { index, reason } = letter;
    if (index === null || !REPLAYED.includes(reason) || index % 10 >= 4) return;
    const request = this.#plan.requests.find(({ messages }) => messages.some((one) => one.index === index));
    if (request === undefined || request.rowId === null) return;
    // Once: the provider works from now on.
    if (this.#log.touches.some(({ rowId, what }) => rowId === request.rowId && what === 'letter replayed')) return;
    this.#world.provider.heal(request.rowId);
    this.#log.touch(request.rowId, 'letter replayed');
    this.#lettersTaken = Promise.all([this.#lettersTaken, this.#publish(index, data)]);
  }

  /** Null = it was here before. */
  #noteLetter(key: string, id: string, attributes: Readonly<Record<string, string>>, body: Buffer): LetterFact | null {
    if (this.#taken.has(key)) return null;
    this.#taken.add(key);
    const letter = {
      index: attributes['chaos_index'] === undefined ? null : Number(attributes['chaos_index']),
      about: attributes['dlq_message_id'] ?? null,
      reason: attributes['dlq_reason'] ?? 'native',
      dlqId: attributes['dlq_id'] ?? id,
      body,
      at: Date.now(),
    };
    this.#letters.push(letter);
    return letter;
  }

  /** How many there were that nobody had taken. */
  async #takeLeftLetters(): Promise<number> {
    const left = await leftLetters(this.#world);
    return left.filter(({ messageId, publishTime, attributes, data }) => {
      const published = new Date(Number(publishTime?.seconds) * 1_000 + Number(publishTime?.nanos) / 1e6);
      const id = messageId ?? '';
      const body = typeof data === 'string' ? Buffer.from(data, 'base64') : Buffer.from(data ?? []);
      return this.#noteLetter(`${id} ${published.toISOString()}`, id, attributes ?? {}, body) !== null;
    }).length;
  }

  #chaos(random: Random): Chaos {
    return {
      world: this.#world,
      log: this.#log,
      random,
      signal: this.#healing.signal,
      pubsubIsNew: async () => {
        await this.#letterStream?.close().catch(() => undefined);
        await this.#world.makeTopics();
        this.#openLetters();
      },
      left: () => this.#left(),
      measured: (name, figure) => void (this.#figures[name] = figure),
      published: () => this.#publishedRequests,
      publishAgain: (request) => this.#publishAgain(request),
    };
  }

  async #breakThings(): Promise<void> {
    const { faults, seed, pauseMs = 3_000 } = this.#options;
    const random = seeded(seed + 1);
    const chaos = this.#chaos(random);
    const held = new Set<Fault['on']>();
    const one = async (): Promise<void> => {
      for (;;) {
        await sleep(random.int(Math.round(pauseMs / 3), Math.round((pauseMs * 5) / 3)), undefined, {
          signal: chaos.signal,
        }).catch(() => undefined);
        if (chaos.signal.aborted) return;
        const free = faults.filter(({ on }) => !held.has(on));
        if (free.length === 0) continue;
        const fault = random.weighted(free);
        held.add(fault.on);
        try {
          await fault.run(chaos);
        } finally {
          held.delete(fault.on);
        }
      }
    };
    if (faults.length > 0) await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  /** Waits until so many requests have not ended; gives up when nothing changes any more. */
  async #until(enough: (left: number) => boolean): Promise<void> {
    const { patienceMs = 90_000, say } = this.#options;
    let seen = '';
    let changedAt = Date.now();
    for (;;) {
      await this.#remedyTerminated();
      const left = await this.#left();
      if (enough(left.length) || this.#gaveUp) return;
      const state = `${String(this.#published.length)} ${left.map(({ correlationId }) => correlationId).join()}`;
      if (state !== seen) {
        seen = state;
        changedAt = Date.now();
      } else if (Date.now() - changedAt > patienceMs) {
        say(`${this.#since()} nothing has changed for ${String(patienceMs / 1_000)} s; ${String(left.length)} left`);
        for (const one of left.slice(0, 5)) say(`       ${one.correlationId} (${one.kind}) ${String(one.rowId)}`);
        this.#gaveUp = true;
        return;
      }
      await sleep(500);
    }
  }

  /** Requests that are published and have not ended. */
  async #left(): Promise<PlannedRequest[]> {
    const rows = await this.#world.query(
      `select id, status::text as status, topic from content_requests where status::text = any($1)`,
      [TERMINAL],
    );
    const ended = new Map(rows.map((row) => [String(row['id']), row]));
    const lettered = new Set(this.#letters.map(({ index }) => index));
    const replayed = new Set(
      this.#log.touches.flatMap(({ rowId, what }) => (what === 'letter replayed' ? [rowId] : [])),
    );
    const published = new Set(this.#published.map(({ index }) => index));
    const isLeft = ({ rowId, messages }: PlannedRequest, ends: Ends): boolean => {
      const row = rowId === null ? undefined : ended.get(rowId);
      if (ends.statuses.some((status) => TERMINAL.includes(status)) && row === undefined) return true;
      if (rowId !== null && replayed.has(rowId) && row?.['status'] === 'failed') return true;
      if (ends.letters !== undefined) {
        return messages.some(
          (one) => reasonsFor(ends, one).length > 0 && published.has(one.index) && !lettered.has(one.index),
        );
      }
      if (ends.letter === null || row?.['status'] === 'cancelled') return false;
      if (ends.letter === 'conflicting_duplicate') {
        return (
          messages.every(({ index }) => published.has(index)) && !messages.some(({ index }) => lettered.has(index))
        );
      }
      return !messages.every(({ index }) => lettered.has(index));
    };
    return this.#publishedRequests.filter((request) => endsOf(request).every((ends) => isLeft(request, ends)));
  }

  /** What the documentation tells an operator to do: a terminated run runs no code, so its message is published again. */
  async #remedyTerminated(): Promise<void> {
    for (const touch of [...this.#log.touches]) {
      if (touch.what !== 'terminated' || this.#remedied.has(touch)) continue;
      const run = await this.#described(touch.rowId, touch.runId);
      // Temporal is away; or the order is under way still.
      if (run === undefined) return;
      if (run?.status.name === 'RUNNING' && Date.now() - touch.at < 10_000) continue;
      this.#remedied.add(touch);
      if (run?.status.name === 'TERMINATED') await this.#remedy(touch, run);
    }
  }

  async #remedy({ rowId }: Touch, run: WorkflowExecutionDescription): Promise<void> {
    const published = this.#published.find(({ messageId }) => messageId === run.memo?.['messageId']);
    const request = this.#plan.requests.find((one) => one.rowId === rowId);
    const message = request?.messages.find(({ index }) => index === published?.index);
    if (request === undefined || message === undefined) return;
    // Somebody was quicker; or it was a reset, which goes on.
    const current = await this.#described(rowId);
    const isAnother = current && current.runId !== run.runId;
    if (isAnother && current.memo?.['contentHash'] === run.memo?.['contentHash']) return;
    const [row] = await this.#world.query(
      'select status::text as status, owner_token, topic from content_requests where id = $1',
      [rowId],
    );
    // It had ended before; or an earlier run had failed, and this one was to try again.
    const own = row?.['owner_token'] === run.raw.workflowExecutionInfo?.firstRunId;
    const ended = TERMINAL.includes(String(row?.['status']));
    if (ended && (own || row?.['status'] !== 'failed') && !this.#owesLetter(request, message, row?.['topic'])) return;
    await this.#publishAgain(request, message);
  }

  /** A message that the row refuses, whatever becomes of the row. */
  #owesLetter({ ends }: PlannedRequest, message: PlannedMessage, topic: unknown): boolean {
    if (this.#letters.some(({ index }) => index === message.index)) return false;
    if (ends.letters !== undefined) return reasonsFor(ends, message).length > 0;
    return ends.letter === 'conflicting_duplicate' && !message.body.includes(JSON.stringify(topic));
  }

  /** Null = there is no such run; undefined = Temporal is away. */
  async #described(rowId: string, runId?: string): Promise<WorkflowExecutionDescription | null | undefined> {
    const handle = this.#world.temporal.workflow.getHandle(workflowId.process(rowId), runId);
    return handle.describe().catch((error: unknown) => (error instanceof WorkflowNotFoundError ? null : undefined));
  }

  async #conclude(recoverySeconds: number, lettersLeft: number): Promise<Outcome> {
    const world = this.#world;
    const everybody = [...world.bridges, ...world.workers, world.drain];
    const facts: Facts = {
      rows: await rowFacts(world),
      events: await eventFacts(world),
      lateWrites: await lateWrites(world),
      letters: this.#letters,
      openWorkflows: await openWorkflows(world),
      unacked: await unackedMessages(world),
      lettersLeft,
      deliveries: await deliveries([...world.bridges, world.drain].map(({ logFile }) => logFile)),
      calls: world.provider.calls,
      exits: everybody.flatMap(({ exits }) => exits),
    };
    const violations = compare({
      requests: this.#plan.requests,
      published: this.#published,
      facts,
      faults: this.#log.faults,
      touches: this.#log.touches,
    });
    if (violations.length > 0) {
      await keepEvidence(world, { violations, facts, log: this.#log, requests: this.#plan.requests });
    }
    const ids = new Set(this.#letters.map(({ dlqId }) => dlqId));
    const paid = grouped(
      world.provider.calls.filter(({ stage, status }) => stage === 'script' && status === 200),
      ({ rowId }) => rowId,
    );
    const peak = (role: 'bridge' | 'worker'): number =>
      Math.round(Math.max(...everybody.filter((each) => each.role === role).map((each) => each.peakRssKib)) / 1_024);
    return {
      messages: this.#plan.messages.length,
      requests: this.#plan.requests.length,
      seed: this.#options.seed,
      violations,
      faults: countBy(this.#log.faults, ({ name }) => name),
      touches: countBy(this.#log.touches, ({ what }) => what),
      rows: countBy([...facts.rows.values()], (row: RowFact) => row.status),
      letters: ids.size,
      letterCopies: this.#letters.length - ids.size,
      mostDeliveries: Math.max(0, ...[...facts.deliveries.values()].map(({ times }) => times)),
      paidAgain: [...paid.values()].reduce((sum, calls) => sum + calls.length - 1, 0),
      recoverySeconds,
      seconds: Math.round((Date.now() - this.#startedAt) / 1_000),
      peakRssMib: { bridge: peak('bridge'), worker: peak('worker') },
      figures: this.#figures,
    };
  }

  #since(): string {
    return `${String(Math.round((Date.now() - this.#startedAt) / 1_000)).padStart(4)} s`;
  }
}

function countBy<T>(items: readonly T[], by: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[by(item)] = (counts[by(item)] ?? 0) + 1;
  return counts;
}
