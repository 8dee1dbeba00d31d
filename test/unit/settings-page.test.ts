import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { settingsPage, settingsPagePath } from '../../scripts/settings-page.ts';

describe('docs/settings.md', () => {
  it('says what src/settings.ts says; if not, run: npm run docs:settings', () => {
    assert.equal(readFileSync(settingsPagePath, 'utf8'), settingsPage());
  });
});
