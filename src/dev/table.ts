/** message -> workflow -> row -> dead letter, redrawn in place on a terminal, a line per change elsewhere. */
import Table from 'cli-table3';
import type { Watched } from './watch.ts';

const paint = (code: number) => (text: string, on: boolean) => (on ? `\u001b[${String(code)}m${text}\u001b[0m` : text);
const green = paint(32);
const red = paint(31);
const yellow = paint(33);
const dim = paint(2);

function colour(status: string | null, on: boolean): string {
  if (status === null) return dim('–', on);
  const text = status;
  if (/^completed/i.test(status)) return green(text, on);
  if (/^failed/i.test(status)) return red(text, on);
  return yellow(text, on);
}

function cells(entry: Watched, on: boolean): string[] {
  const { row } = entry;
  const retries = row === null || row.retryCount === 0 ? '' : ` · retry_count ${String(row.retryCount)}`;
  const reasons = [...entry.letters.values()];
  return [
    entry.message.title,
    entry.messageId,
    colour(entry.workflow, on),
    row === null ? dim('no row', on) : colour(row.status, on) + retries,
    reasons.length === 0 ? dim('–', on) : red(reasons.join(), on),
  ];
}

export class StatusTable {
  readonly #out: NodeJS.WriteStream;
  #lines = 0;
  readonly #last = new Map<string, string>();

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  show(entries: readonly Watched[]): void {
    if (this.#out.isTTY) this.#redraw(entries);
    else this.#printChanges(entries);
  }

  /** The whole table once more, also where changes were printed line by line. */
  finish(entries: readonly Watched[]): void {
    if (this.#out.isTTY) this.#redraw(entries);
    else this.#out.write(`${this.#draw(entries)}\n`);
  }

  #draw(entries: readonly Watched[]): string {
    const table = new Table({
      head: ['message', 'Pub/Sub id', 'workflow', 'row', 'dead letter'],
      style: this.#out.isTTY ? { head: ['bold'] } : { head: [], border: [] },
    });
    table.push(...entries.map((entry) => cells(entry, this.#out.isTTY)));
    return table.toString();
  }

  #redraw(entries: readonly Watched[]): void {
    const drawn = this.#draw(entries);
    if (this.#lines > 0) this.#out.write(`\u001b[${String(this.#lines)}A\u001b[0J`);
    this.#out.write(`${drawn}\n`);
    this.#lines = drawn.split('\n').length;
  }

  #printChanges(entries: readonly Watched[]): void {
    for (const entry of entries) {
      const [, , workflow, row, letter] = cells(entry, false);
      const line = `${entry.message.title}: workflow ${workflow ?? ''} → row ${row ?? ''} → dead letter ${letter ?? ''}`;
      if (this.#last.get(entry.messageId) === line) continue;
      this.#last.set(entry.messageId, line);
      this.#out.write(`${line}\n`);
    }
  }
}
