import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readResults, reliabilityPagePath, withTables } from '../../scripts/reliability-page.ts';

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

  it('the twin: another figure is another page', () => {
    const [first, ...others] = readResults();
    assert.ok(first, 'there are no results');
    assert.notEqual(withTables(page, [{ ...first, letters: first.letters + 1 }, ...others]), page);
  });
});
