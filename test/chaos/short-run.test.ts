/** The truth ledger in the time of a test run: a fixed seed, all faults. The long runs are `npm run chaos`. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FAULTS } from './faults.ts';
import { makePlan } from './mix.ts';
import { inWords } from './report.ts';
import { runChaos, type Outcome, type RunOptions } from './run.ts';
import { SCENARIOS } from './scenarios.ts';

/** Evidence stays where a line is violated; the failing assertion names the folder. */
async function run(options: Omit<RunOptions, 'folder' | 'say' | 'seed'>): Promise<Outcome> {
  const folder = await mkdtemp(path.join(tmpdir(), 'chaos-'));
  const said: string[] = [];
  const outcome = await runChaos({ ...options, seed: 20_261_124, folder, say: (line) => void said.push(line) });
  assert.deepEqual(inWords(outcome.violations), [], `evidence in ${folder}; ${said.join('; ')}`);
  await rm(folder, { recursive: true, force: true });
  return outcome;
}

describe('chaos, the short run', function () {
  this.timeout(900_000);

  it('300 messages of the mix under all faults: 0 lost, 0 stuck, 0 twice', async () => {
    const { messages, faults } = await run({ plan: (random) => makePlan(300, random, 'short'), faults: FAULTS });
    assert.equal(messages, 300);
    assert.ok(Object.values(faults).reduce((sum, times) => sum + times, 0) >= 10, 'hardly any fault was injected');
  });

  for (const name of ['Temporal down for five bridge executions in a row', 'the same message 1,000 times']) {
    it(`${name}, in short`, async () => {
      const scenario = SCENARIOS.find((one) => one.name === name);
      assert.ok(scenario, name);
      const outcome = await run({ ...scenario.options(true), faults: [] });
      assert.deepEqual(scenario.demands?.(outcome) ?? [], []);
    });
  }
});
