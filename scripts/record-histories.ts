/**
 * `npm run histories:record`: runs every scenario on a real server and adds its history to test/replay/histories;
 * `-- NAME ...` only those. Never overwrites. Exit 1 when a scenario could not be run.
 */
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { addFixture } from '../test/replay/replay.ts';
import { SCENARIOS } from '../test/replay/scenarios.ts';
import { startStack } from '../test/support/stack.ts';

const SDK = '1.24.0';
const stamp = new Date().toISOString().slice(0, 10);
const only = process.argv.slice(2);

/** Stacks and identities name folders and hosts of whoever recorded; replay reads neither. */
function withoutMachine(key: string, value: unknown): unknown {
  if (key === 'stackTrace') return '';
  return key === 'identity' ? 'recorder' : value;
}

const stack = await startStack();
try {
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (only.length > 0 && !only.includes(name)) continue;
    const handle = await scenario(stack);
    const history: unknown = JSON.parse(historyToJSON(await handle.fetchHistory()), withoutMachine);
    const file = `${name}.sdk-${SDK}.${stamp}.json`;
    process.stdout.write(`${addFixture(file, `${JSON.stringify(history, null, 1)}\n`)} ${file}\n`);
  }
} finally {
  await stack.stop();
}
