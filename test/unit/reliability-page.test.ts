import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readResults, reliabilityPagePath, withTables } from '../../scripts/reliability-page.ts';
import { FAULTS } from '../chaos/faults.ts';
import { SCENARIOS } from '../chaos/scenarios.ts';

describe('docs/reliability.md', () => {
  const page = readFileSync(reliabilityPagePath, 'utf8');

  it('has the tables of docs/reliability.json; if not, run: npm run docs:reliability', () => {
    assert.equal(page, withTables(page, readResults()));
  });

  it('tells of no run in which a line was violated', () => {
    assert.deepEqual(
      readResults().filter(({ violated }) => Object.keys(violated).length > 0),
      [],
    );
  });

  it('tells of five seeds with 10,000 messages under all faults, of each fault alone, and of each scenario', () => {
    const results = readResults();
    const long = results.filter(({ name, messages }) => name.startsWith('all faults') && messages >= 10_000);
    assert.ok(new Set(long.map(({ seed }) => seed)).size >= 5, `${String(long.length)} long runs`);
    const told = new Set(results.map(({ name }) => name));
    const untold = [...FAULTS, ...SCENARIOS].map(({ name }) => name).filter((name) => !told.has(name));
    assert.deepEqual(untold, []);
  });

  it('the twin: another figure is another page', () => {
    const [first, ...others] = readResults();
    assert.ok(first, 'there are no results');
    assert.notEqual(withTables(page, [{ ...first, letters: first.letters + 1 }, ...others]), page);
  });
});
