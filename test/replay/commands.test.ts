/** `npm run replay` and the recorder's promise, as commands. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { builtBundlePath } from '../../src/workflow-bundle.ts';
import { startStack, type TestStack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { addFixture, fixtures, sha256 } from './replay.ts';
import { SCENARIOS } from './scenarios.ts';

const script = fileURLToPath(new URL('../../scripts/replay.ts', import.meta.url));

async function replay(args: string[], env: Record<string, string> = {}): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...args], { env: { ...process.env, ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit) => resolve(exit ?? -1));
  });
  return { code, output };
}

describe('replay commands', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'replay-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('replays the fixtures: exit 0 and how many', async () => {
    const count = String((await fixtures()).length);
    const { code, output } = await replay([]);
    assert.equal(code, 0, output);
    assert.match(output, new RegExp(`^${count} of ${count} histories replayed$`, 'm'));
  });

  it('a server that cannot be reached is exit 2, one sentence', async () => {
    const { code, output } = await replay(['--from-server'], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
    assert.equal(code, 2);
    assert.match(output, /^replay: /);
    assert.doesNotMatch(output, /\n\s+at /);
  });

  describe('--from-server', () => {
    let stack: TestStack;
    before(async () => {
      stack = await startStack();
    });
    after(() => stack.stop());

    const server = (): Record<string, string> => ({ TEMPORAL_ADDRESS: stack.temporal.address });

    it('nothing to replay is no success: exit 2', async () => {
      const { code, output } = await replay(['--from-server'], server());
      assert.equal(code, 2, output);
      assert.match(output, /^0 of 0 histories replayed$/m);
    });

    it('replays what the namespace holds; a bundle that does not fit is exit 1, the runs named', async () => {
      const handle = await SCENARIOS['success']?.(stack);
      assert(handle);
      const other = await SCENARIOS['retry-then-success']?.(stack);
      assert(other);
      await waitFor('both runs are listed', async () => (await stack.temporal.client.workflow.count()).count === 2);
      const good = await replay(['--from-server'], server());
      assert.equal(good.code, 0, good.output);
      assert.match(good.output, /^2 of 2 histories replayed$/m);

      const changed = path.join(folder, 'changed-bundle.cjs');
      writeFileSync(changed, readFileSync(builtBundlePath, 'utf8').replaceAll('generateContent', 'writeContent'));
      const bad = await replay(['--from-server', '--bundle', changed], server());
      assert.equal(bad.code, 1, bad.output);
      assert.match(bad.output, /^0 of 2 histories replayed$/m);
      assert(bad.output.includes(handle.workflowId) && bad.output.includes(other.workflowId));
    });
  });

  it('the recorder adds a fixture with its sum, and never overwrites one', () => {
    const into = pathToFileURL(`${folder}/`);
    const sums = new URL('SHA256SUMS', into);
    assert.equal(addFixture('success.json', 'first', into, sums), 'recorded');
    assert.equal(addFixture('success.json', 'second', into, sums), 'kept');
    assert.equal(readFileSync(new URL('success.json', into), 'utf8'), 'first');
    assert.equal(readFileSync(sums, 'utf8'), `${sha256('first')}  success.json\n`);
  });
});
