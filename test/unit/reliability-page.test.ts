import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readResults, reliabilityPagePath, withTables } from '../../scripts/reliability-page.ts';

describe('docs/reliability.md', () => {
  const page = readFileSync(reliabilityPagePath, 'utf8');

  it('has the tables of docs/reliability.json; if not, run: npm run docs:reliability', () => {
    assert.equal(page, withTables(page, readResults()));
  });

  it('tells at least five seeds of 10,000 messages under all faults, and every line of theirs holds', () => {
    const long = readResults().filter(({ name, messages }) => name.startsWith('all faults') && messages >= 10_000);
    assert.ok(new Set(long.map(({ seed }) => seed)).size >= 5, `${String(long.length)} runs`);
    assert.deepEqual(
      long.map(({ violated }) => violated),
      long.map(() => ({})),
    );
  });

  it('the twin: another figure is another page', () => {
    const [first, ...others] = readResults();
    assert.ok(first, 'there are no results');
    assert.notEqual(withTables(page, [{ ...first, letters: first.letters + 1 }, ...others]), page);
  });
});
