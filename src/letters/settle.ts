/**
 * Takes letters away: published again as requests, or dropped. Each is acked only after that. A process that dies between
 * the two leaves a letter whose request is under way; replayed once more it is a duplicate of that one, or, where that one
 * has failed meanwhile, one more try of it.
 */
import { Acks } from '../bridge/acks.ts';
import type { Delivery } from '../bridge/delivery.ts';
import type { Trouble } from '../bridge/grpc.ts';
import type { Leases } from '../bridge/leases.ts';
import { isChosen, toLetter, type Choice, type Letter } from './letter.ts';
import { walk, type WalkDeps, type Walked } from './walk.ts';

export type Acted =
  | { readonly kind: 'done'; /** Of the request that it has become. */ readonly messageId: string | null }
  /** This letter cannot go; others may. */
  | { readonly kind: 'refused'; readonly error: string }
  | Trouble;

export interface Act {
  /** Before its ack; null = only a look, and nothing is acked. */
  readonly each: ((letter: Letter) => Promise<Acted>) | null;
  readonly onDone: (letter: Letter, messageId: string | null) => void;
  readonly onRefused: (letter: Letter, error: string) => void;
}

export interface Settled {
  readonly walked: Walked;
  /** Letters, each once. */
  readonly done: number;
  readonly copies: number;
  readonly refused: number;
  /** Acks that failed: these letters come again. */
  readonly notAcked: number;
  /** Letters of requests that this very run has made: not sent in a circle. */
  readonly cameBack: number;
}

export async function settle(deps: WalkDeps, choice: Choice, act: Act, signal: AbortSignal): Promise<Settled> {
  const pass = new Pass(deps, choice, act);
  const walked = await walk(deps, (deliveries, leases) => pass.take(deliveries, leases), signal);
  return { walked, ...pass.counts };
}

/** One letter and its copies. */
interface Group {
  readonly letter: Letter;
  readonly ackIds: string[];
}

class Pass {
  readonly #deps: WalkDeps;
  readonly #choice: Choice;
  readonly #act: Act;
  readonly #done = new Set<string>();
  readonly #refused = new Set<string>();
  readonly #published = new Set<string>();
  readonly #cameBack = new Set<string>();
  #copies = 0;
  #notAcked = 0;

  constructor(deps: WalkDeps, choice: Choice, act: Act) {
    this.#deps = deps;
    this.#choice = choice;
    this.#act = act;
  }

  get counts(): Omit<Settled, 'walked'> {
    return {
      done: this.#done.size,
      copies: this.#copies,
      refused: this.#refused.size,
      notAcked: this.#notAcked,
      cameBack: this.#cameBack.size,
    };
  }

  async take(deliveries: readonly Delivery[], leases: Leases): Promise<'more' | 'enough' | Trouble> {
    const toAck: string[] = [];
    const { groups, full } = this.#chosen(deliveries, toAck);
    const ends = await Promise.all(groups.map((group) => this.#settle(group, toAck)));
    // Whatever else has happened: what is published is acked.
    if (this.#act.each !== null) await this.#ack(toAck, leases);
    return ends.find((end) => end !== null) ?? (full ? 'enough' : 'more');
  }

  #chosen(deliveries: readonly Delivery[], toAck: string[]): { groups: Group[]; full: boolean } {
    const groups = new Map<string, Group>();
    let full = false;
    for (const delivery of deliveries) {
      const letter = toLetter(delivery, this.#deps.subscription);
      if (letter.messageId !== null && this.#published.has(letter.messageId)) this.#cameBack.add(letter.id);
      else if (!isChosen(letter, this.#choice) || this.#refused.has(letter.id)) continue;
      else if (this.#done.has(letter.id)) this.#copy(delivery.ackId, toAck);
      else if (groups.has(letter.id)) groups.get(letter.id)?.ackIds.push(delivery.ackId);
      else if (this.#done.size + this.#refused.size + groups.size >= this.#choice.limit) full = true;
      else groups.set(letter.id, { letter, ackIds: [delivery.ackId] });
    }
    return { groups: [...groups.values()], full };
  }

  #copy(ackId: string, toAck: string[]): void {
    this.#copies += 1;
    toAck.push(ackId);
  }

  async #settle({ letter, ackIds: [first = '', ...copies] }: Group, toAck: string[]): Promise<Trouble | null> {
    const acted = (await this.#act.each?.(letter)) ?? ({ kind: 'done', messageId: null } as const);
    switch (acted.kind) {
      case 'done':
        this.#done.add(letter.id);
        if (acted.messageId !== null) this.#published.add(acted.messageId);
        toAck.push(first);
        for (const ackId of copies) this.#copy(ackId, toAck);
        this.#act.onDone(letter, acted.messageId);
        return null;
      case 'refused':
        this.#refused.add(letter.id);
        this.#act.onRefused(letter, acted.error);
        return null;
      case 'outage':
      case 'misconfigured':
        return acted;
      default:
        return acted satisfies never;
    }
  }

  async #ack(ackIds: readonly string[], leases: Leases): Promise<void> {
    const { subscriber, subscription, clock, log } = this.#deps;
    const acks = new Acks(subscriber, subscription, leases, clock, log, Math.random);
    for (const ackId of ackIds) acks.add(ackId);
    await acks.flush();
    this.#notAcked += acks.failed;
  }
}
