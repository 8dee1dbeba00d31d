/** What is kept of runs, for docs/reliability.md: one entry a run, by name; a later one replaces an earlier one. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { projectRoot } from '../../src/dev/paths.ts';
import type { Violation } from './ledger.ts';
import type { Outcome } from './run.ts';

export interface Entry extends Omit<Outcome, 'violations'> {
  readonly name: string;
  readonly day: string;
  /** Chance chose among faults that were named, and not among all. */
  readonly faultsOnly: boolean;
  /** By line of the ledger, and what a scenario demands beyond it; empty = all held. */
  readonly violated: Readonly<Record<string, number>>;
}

export const RESULTS_FILE = path.join(projectRoot, 'docs', 'reliability.json');

/** `missed`: the demands that were not met, in words. */
export function entryOf(
  name: string,
  { violations, ...outcome }: Outcome,
  missed: readonly string[],
  faultsOnly: boolean,
): Entry {
  const violated: Record<string, number> = {};
  for (const { line } of violations) violated[line] = (violated[line] ?? 0) + 1;
  if (missed.length > 0) violated['demand'] = missed.length;
  return { name, day: new Date().toISOString().slice(0, 10), faultsOnly, violated, ...outcome };
}

export async function readEntries(file = RESULTS_FILE): Promise<Entry[]> {
  return JSON.parse(await readFile(file, 'utf8').catch(() => '[]')) as Entry[];
}

export async function record(entry: Entry, file = RESULTS_FILE): Promise<void> {
  const others = (await readEntries(file)).filter(({ name }) => name !== entry.name);
  await writeFile(file, `${JSON.stringify([...others, entry], null, 2)}\n`);
}

export function inWords(violations: readonly Violation[], most = 50): string[] {
  const lines = violations.slice(0, most).map(({ line, about, detail }) => `${line}: ${about}: ${detail}`);
  return violations.length > most ? [...lines, `and ${String(violations.length - most)} more`] : lines;
}
