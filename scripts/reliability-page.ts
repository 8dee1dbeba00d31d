/** `npm run docs:reliability`: writes the tables of docs/reliability.md from docs/reliability.json; a test refuses a page that lags. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Entry } from '../test/chaos/report.ts';

const file = (name: string): string => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
export const reliabilityPagePath = file('reliability.md');

const MARKS = /(<!-- (\w+): npm run docs:reliability -->\n)[\s\S]*?(<!-- end -->)/g;

export function readResults(): Entry[] {
  return JSON.parse(readFileSync(file('reliability.json'), 'utf8')) as Entry[];
}

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
const count = (entry: Entry, ...lines: string[]): number =>
  lines.reduce((sum, line) => sum + (entry.violated[line] ?? 0), 0);
const total = (numbers: Readonly<Record<string, number>>): number =>
  Object.values(numbers).reduce((sum, number) => sum + number, 0);

function tableOf(entries: readonly Entry[]): string {
  const head = [
    'run',
    'messages',
    'faults',
    'lost',
    'twice',
    'stuck',
    'other lines',
    'dead letters (copies)',
    'most deliveries',
    'paid again',
    'recovery, s',
    'peak RSS, MiB: bridge, worker',
    'measured',
  ];
  const known = ['lost', 'twice', 'paid twice', 'stuck'];
  return [
    row(head),
    row(head.map(() => '---')),
    ...entries.map((entry) =>
      row([
        entry.name,
        entry.messages,
        total(entry.faults),
        count(entry, 'lost'),
        count(entry, 'twice', 'paid twice'),
        count(entry, 'stuck'),
        total(Object.fromEntries(Object.entries(entry.violated).filter(([line]) => !known.includes(line)))),
        `${String(entry.letters)} (${String(entry.letterCopies)})`,
        entry.mostDeliveries,
        entry.paidAgain,
        (entry.figures['recovery seconds'] ?? entry.recoverySeconds).toFixed(1),
        `${String(entry.peakRssMib.bridge)}, ${String(entry.peakRssMib.worker)}`,
        Object.entries(entry.figures)
          .map(([what, figure]) => `${what} ${String(figure)}`)
          .join(', '),
      ]),
    ),
  ].join('\n');
}

/** The page with its tables made anew; everything outside of their marks is left as it is. */
export function withTables(page: string, entries: readonly Entry[]): string {
  const together = entries.filter(({ name }) => name.startsWith('all faults'));
  const alone = entries.filter(({ faultsOnly }) => faultsOnly);
  const scenarios = entries.filter((entry) => !together.includes(entry) && !alone.includes(entry));
  const tables: Readonly<Record<string, readonly Entry[]>> = { together, alone, scenarios };
  return page.replace(MARKS, (whole: string, start: string, name: string, end: string) => {
    const chosen = tables[name];
    if (chosen === undefined) throw new Error(`docs/reliability.md asks for a table ${name}: ${whole.slice(0, 80)}`);
    return `${start}\n${tableOf(chosen)}\n\n${end}`;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(reliabilityPagePath, withTables(readFileSync(reliabilityPagePath, 'utf8'), readResults()));
}
