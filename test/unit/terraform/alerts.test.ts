/** Codes that terraform's filters look for are codes that the code writes. */
import assert from 'node:assert/strict';
import { ALERT } from '../../../src/contract/alert.ts';
import { readTerraform } from '../../support/terraform/files.ts';

describe('terraform: alert lines', () => {
  it('each code has its metric, and each metric its code', async () => {
    const { locals } = await readTerraform();
    assert.deepEqual(Object.keys(locals['alert_lines'] as object).sort(), Object.values(ALERT).sort());
  });
});
