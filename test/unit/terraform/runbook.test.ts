/** Each alert links to a section of the runbook that is there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FOLDER, readTerraform } from '../../support/terraform/files.ts';

const RUNBOOK = join(FOLDER, '../docs/runbook.md');

describe('terraform: alerts and the runbook', () => {
  it('every alert has its heading under "Alerts", and every heading its alert', async () => {
    const { locals } = await readTerraform();
    const alerts = Object.keys({ ...(locals['thresholds'] as object), ...(locals['ratios'] as object) });
    const [, section = ''] = readFileSync(RUNBOOK, 'utf8').split(/^## Alerts$/m);
    const headings = [...(section.split(/^## /m)[0] ?? '').matchAll(/^### `(\w+)`$/gm)].map(([, key]) => key);
    assert.deepEqual(alerts.sort(), headings.sort());
    assert.ok(headings.includes('dead_letters'), 'the twin: headings are read');
  });
});
