/**
 * `npm run histories:record`: runs every scenario on a real server and adds its history to test/replay/histories.
 * Never overwrites: a fixture that has landed is a promise to the runs that are open in production.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { SCENARIOS } from '../test/replay/scenarios.ts';
import { startStack } from '../test/support/stack.ts';

const folder = fileURLToPath(new URL('../test/replay/histories', import.meta.url));
const SDK = '1.24.0';
const stamp = new Date().toISOString().slice(0, 10);
const only = process.argv.slice(2);

Runtime.install({ logger: new DefaultLogger('ERROR') });
const stack = await startStack();
try {
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (only.length > 0 && !only.includes(name)) continue;
    const handle = await scenario(stack);
    const json = JSON.stringify(historyToJSON(await handle.fetchHistory()), null, 1);
    const file = path.join(folder, `${name}.sdk-${SDK}.${stamp}.json`);
    try {
      writeFileSync(file, `${json}\n`, { flag: 'wx' });
      process.stdout.write(`recorded ${path.basename(file)}\n`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      process.stdout.write(`kept ${path.basename(file)}: it is there already\n`);
    }
  }
} finally {
  await stack.stop();
}
