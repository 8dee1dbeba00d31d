import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { FAULTS } from '../chaos/faults.ts';
import type { Entry } from '../chaos/report.ts';
import { SCENARIOS } from '../chaos/scenarios.ts';
import { readResults, reliabilityPagePath, withTables } from '../../scripts/reliability-page.ts';

/** What the page claims to have been shown and is not there, in words. */
function unshown(results: readonly Entry[]): string[] {
  const names = results.map(({ name }) => name);
  const large = results.filter(({ name, messages }) => name.startsWith('all faults') && messages >= 10_000);
  const seeds = new Set(large.map(({ seed }) => seed));
  return [
    ...results
      .filter(({ violated }) => Object.keys(violated).length > 0)
      .map(({ name }) => `a line is violated: ${name}`),
    ...[...FAULTS, ...SCENARIOS].filter(({ name }) => !names.includes(name)).map(({ name }) => `no run: ${name}`),
    ...(seeds.size >= 5 ? [] : [`all faults with 10,000 messages: ${String(seeds.size)} seeds, five are due`]),
    ...FAULTS.filter(({ name }) => !large.some(({ faults }) => (faults[name] ?? 0) > 0)).map(
      ({ name }) => `in no run with all faults: ${name}`,
    ),
  ];
}

describe('docs/reliability.md', () => {
  const page = readFileSync(reliabilityPagePath, 'utf8');

  it('has the tables of docs/reliability.json; if not, run: npm run docs:reliability', () => {
    assert.equal(page, withTables(page, readResults()));
  });

  it('tells of five seeds with all faults, of each fault and of each scenario, and no line was violated', () => {
    assert.deepEqual(unshown(readResults()), []);
  });

  it('the twin: a run that is missing, was smaller or was violated is told', () => {
    const results = readResults();
    const [first, ...others] = results;
    assert.ok(first, 'there are no results');
    const bad: readonly (readonly Entry[])[] = [
      ...results.map(({ name }) => results.filter((entry) => entry.name !== name)),
      [{ ...first, violated: { lost: 1 } }, ...others],
      results.map((entry) => ({ ...entry, messages: 9_999 })),
      results.map((entry) => ({ ...entry, seed: 1 })),
      results.map((entry) => ({ ...entry, faults: {} })),
    ];
    for (const each of bad) assert.notDeepEqual(unshown(each), []);
  });

  it('the twin: another figure is another page', () => {
    const [first, ...others] = readResults();
    assert.ok(first, 'there are no results');
    assert.notEqual(withTables(page, [{ ...first, letters: first.letters + 1 }, ...others]), page);
  });
});
