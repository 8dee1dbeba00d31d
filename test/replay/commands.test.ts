/** `npm run replay` and the recorder's promise, as commands. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { WORKFLOW, workflowId } from '../../src/contract/names.ts';
import type { Progress } from '../../src/contract/workflow-io.ts';
import { builtBundlePath } from '../../src/workflow-bundle.ts';
import { makeAuthority, signedBy } from '../support/certificates.ts';
import { FAST_RETRY, processInput, startStack, type TestStack } from '../support/stack.ts';
import { startTlsProxy } from '../support/tls-proxy.ts';
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

  it('a server that cannot be reached, and settings that are wrong, are exit 2, one sentence', async () => {
    const away = await replay(['--from-server'], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
    assert.equal(away.code, 2);
    assert.match(away.output, /^replay: Temporal at 127\.0\.0\.1:1, namespace default: \S/);
    const wrong = await replay(['--from-server'], { TEMPORAL_ADDRESS: 'http://temporal:7233' });
    assert.equal(wrong.code, 2);
    assert.match(wrong.output, /^TEMPORAL_ADDRESS: is not host:port/m);
    const slip = await replay(['--from-server', '--limit', 'all']);
    assert.equal(slip.code, 2);
    assert.match(slip.output, /a whole number from 1 on/);
    for (const { output } of [away, wrong, slip]) assert.doesNotMatch(output, /\n\s+at /);
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
      const fresh = await replay(['--from-server', '--allow-empty'], server());
      assert.equal(fresh.code, 0, fresh.output);
      const elsewhere = await replay(['--from-server', '--allow-empty'], {
        ...server(),
        TEMPORAL_NAMESPACE: 'elsewhere',
      });
      assert.equal(elsewhere.code, 2, 'the twin: a namespace that is not there is no new one');
      assert.match(elsewhere.output, /namespace elsewhere: /);
    }).timeout(120_000);

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

    it('takes the newest of open and closed runs alike, through TLS as the settings say', async () => {
      const { client } = stack.temporal;
      const count = async (query: string): Promise<number> => (await client.workflow.count(query)).count;
      const closed = await count(`ExecutionStatus != 'Running'`);
      assert.ok(closed > 1, 'the runs of the test before');
      const fields = { correlation_id: `replay-${randomUUID()}`, student_id: 's', topic: 't', grade_level: '5' };
      stack.script[fields.correlation_id] = [{ kind: 'transient', code: 'http_500' }];
      const retry = { ...FAST_RETRY, firstWaitMs: 600_000, maxWaitMs: 600_000 };
      const open = await stack.start(processInput(fields, { retry }));
      await waitFor('it waits for its second attempt', async () =>
        (await open.query<Progress>('progress')).text.startsWith('Waiting'),
      );
      // Nobody polls its queue.
      const notBegun = await client.workflow.start(WORKFLOW.process, {
        taskQueue: 'nobody-polls-it',
        workflowId: workflowId.process(randomUUID()),
        args: [processInput({ ...fields, correlation_id: `replay-${randomUUID()}` })],
      });
      await waitFor('both are listed', async () => (await count(`ExecutionStatus = 'Running'`)) === 2);

      const all = await replay(['--from-server'], server());
      assert.equal(all.code, 0, all.output);
      const replayable = String(closed + 1);
      assert.match(all.output, new RegExp(`^${replayable} of ${replayable} histories replayed; 1 had not begun$`, 'm'));
      const newest = await replay(['--from-server', '--limit', '1'], server());
      assert.match(newest.output, /^1 of 1 histories replayed; 1 had not begun$/m);
      const narrowed = await replay(['--from-server', '--query', `WorkflowId = '${open.workflowId}'`], server());
      assert.match(narrowed.output, /^1 of 1 histories replayed$/m);

      const [host = '', port = ''] = stack.temporal.address.split(':');
      const authority = await makeAuthority('temporal');
      const certificate = path.join(folder, 'authority.pem');
      writeFileSync(certificate, authority.cert);
      const own = await signedBy(authority, { commonName: 'localhost', dns: ['localhost'] });
      const tls = await startTlsProxy({ host, port: Number(port) }, own, null);
      try {
        const behindTls = { TEMPORAL_ADDRESS: `localhost:${String(tls.port)}` };
        const trusting = { ...behindTls, TEMPORAL_TLS_SERVER_CA_CERT_PATH: certificate };
        const secure = await replay(['--from-server', '--limit', '1'], trusting);
        assert.equal(secure.code, 0, secure.output);
        assert.ok(tls.counts.agreed > 0, 'it went through TLS');
        const plain = await replay(['--from-server', '--limit', '1'], behindTls);
        assert.equal(plain.code, 2, 'the twin: without TLS that server does not answer');
      } finally {
        await tls.stop();
      }
      await Promise.all([open.terminate(), notBegun.terminate()]);
    }).timeout(180_000);
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
