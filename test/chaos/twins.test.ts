/** The ledger's own twins: a build that is broken in one place is caught, and by the line that is meant to. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inWords } from './report.ts';
import { runChaos, type Outcome } from './run.ts';
import { breakBuild, TWINS, type Twin } from './twins.ts';

const SOUND_MS = 120_000;

async function run(twin: Twin, broken: boolean): Promise<Outcome> {
  const folder = await mkdtemp(path.join(tmpdir(), 'chaos-'));
  try {
    // A broken build never comes to its end, so its run is given up soon; a sound one does, however slow the machine.
    const what = broken ? { root: await breakBuild(twin, folder) } : { patienceMs: SOUND_MS };
    return await runChaos({ ...twin.options, ...what, seed: 7, folder, say: () => undefined });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('chaos, broken builds', function () {
  this.timeout(400_000);

  for (const twin of TWINS) {
    it(`${twin.name}: caught as "${twin.line}"`, async () => {
      const { violations } = await run(twin, true);
      const found = violations.filter(({ line }) => line === twin.line);
      assert.ok(found.length > 0, `found ${inWords(violations, 10).join('; ') || 'nothing'}`);
    });

    it(`${twin.name}: the same run of the sound build holds`, async () => {
      const { violations } = await run(twin, false);
      assert.deepEqual(inWords(violations), []);
    });
  }
});
