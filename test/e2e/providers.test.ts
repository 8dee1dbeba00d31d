/**
 * The worker as it is deployed, with a real provider on the other side of HTTP: what readiness says, what waits, what
 * `npm run worker -- --check` tells.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { generate } from 'selfsigned';
import { waitFor } from '../support/wait-for.ts';
import { rowIdOf } from '../../src/contract/identity.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { startDeployment, startProcess, type Deployment, type Running } from '../support/deployment.ts';
import { askHealth, endOfRun, requestFields, soleLetter } from '../support/e2e.ts';
import { startExampleProvider, type ExampleProvider } from '../support/example-provider.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedServer } from '../support/scripted-server.ts';
import { API_KEY, googleError, MODEL, startGeminiServer, type GeminiServer } from '../support/gemini-server.ts';

const MAIN = path.join(projectRoot, 'src/worker/main.ts');
const NO_ROLE = googleError(403, 'PERMISSION_DENIED', "Permission 'aiplatform.endpoints.predict' denied on resource");
const RETIRED = googleError(404, 'NOT_FOUND', `Publisher Model ${MODEL} was not found`);

describe('providers', () => {
  let d: Deployment;
  let server: GeminiServer;
  let bridge: Running;
  before(async () => {
    [d, server] = await Promise.all([startDeployment(), startGeminiServer()]);
    bridge = d.bridge(['--follow'], { RETRY_MAX_AGE_MS: '60000' });
    await bridge.says({ message: 'bridge polls' });
  });
  after(async () => {
    await d.stop();
    await server.stop();
  });
  afterEach(() => {
    server.override = null;
  });

  const gemini = (): Record<string, string> => ({
    GENERATOR: 'gemini',
    GEMINI_MODEL: MODEL,
    GEMINI_API_KEY: API_KEY,
    GEMINI_BASE_URL: server.url,
    GEMINI_INPUT_PRICE: '0.3',
    GEMINI_OUTPUT_PRICE: '2.5',
  });

  async function worker(env: Record<string, string>): Promise<Running & { readonly port: number }> {
    const started = startProcess(MAIN, [], { ...d.env, ...env, PORT: '0' });
    const { healthPort } = await started.says({ message: 'worker polls' });
    return { ...started, port: Number(healthPort) };
  }

  const readinessOf = async (port: number): Promise<{ code: number; provider: unknown }> => {
    const { code, body } = await askHealth(port, '/health/ready');
    return { code, provider: (body as { checks: Record<string, unknown> }).checks['provider'] };
  };

  it('a request goes through Gemini into the row', async () => {
    const running = await worker(gemini());
    try {
      await d.publish(requestFields('through-gemini', { topic: 'Tectonic plates' }));
      const rowId = rowIdOf('through-gemini');
      assert.equal((await endOfRun(d, rowId)).status, 'COMPLETED');
      const row = await d.row(rowId);
      assert.match(row?.script_text ?? '', /This is about Tectonic plates\./);
      const usage = row?.request_metadata?.['usage'] as Record<string, unknown>;
      assert.deepEqual(
        [usage['provider'], usage['model'], usage['promptVersion']],
        ['gemini', MODEL, 'lesson-script/1'],
      );
      assert.deepEqual(await readinessOf(running.port), { code: 200, provider: 'ok' });
      assert.equal(running.output().includes(API_KEY), false, 'no key in any log');
    } finally {
      assert.equal(await running.stop(), 0);
    }
  });

  it('a role that is taken away: not ready and alive, the request waits uncounted, and all is well when it is back', async () => {
    const running = await worker(gemini());
    try {
      await running.says({ message: 'provider checked' });
      assert.deepEqual(await readinessOf(running.port), { code: 200, provider: 'ok' });
      server.override = NO_ROLE;
      await d.publish(requestFields('no-role', { topic: 'Glaciers' }));
      await running.says({ message: 'provider refuses this configuration: npm run worker -- --check tells' });
      assert.deepEqual(await readinessOf(running.port), { code: 503, provider: 'misconfigured' });
      assert.equal((await askHealth(running.port, '/health')).code, 200, 'a restart would mend nothing');
      const row = await d.row(rowIdOf('no-role'));
      assert.deepEqual([row?.status, row?.retry_count], ['generating_script', 0]);
      server.override = null;
      assert.equal((await endOfRun(d, rowIdOf('no-role'))).status, 'COMPLETED');
      assert.equal((await d.row(rowIdOf('no-role')))?.retry_count, 0);
      assert.deepEqual(await readinessOf(running.port), { code: 200, provider: 'ok' });
    } finally {
      await running.stop();
    }
  });

  it('a model that is retired before the start: the worker starts, says so, and is not ready', async () => {
    server.override = RETIRED;
    const running = await worker(gemini());
    try {
      const line = await running.says({ message: 'provider check failed', code: 'http_404' });
      assert.match(String(line['reason']), /was not found/);
      assert.deepEqual(await readinessOf(running.port), { code: 503, provider: 'misconfigured' });
    } finally {
      await running.stop();
    }
  });

  it('a provider that is away does not make the worker unready: taking it away would mend nothing', async () => {
    const running = await worker({ ...gemini(), GEMINI_BASE_URL: `http://127.0.0.1:${String(await freePort())}` });
    try {
      await running.says({ message: 'provider check failed', code: 'ECONNREFUSED' });
      assert.deepEqual(await readinessOf(running.port), { code: 200, provider: 'unavailable' });
    } finally {
      await running.stop();
    }
  });

  it('a provider that says nothing does not hold up the start', async () => {
    const silent = await startScriptedServer(() => ({ fault: 'silent' }));
    const running = await worker({ ...gemini(), GEMINI_BASE_URL: silent.url });
    try {
      await waitFor('it was asked', () => silent.seen.length > 0);
      assert.deepEqual(await readinessOf(running.port), { code: 200, provider: 'not asked yet' });
    } finally {
      await running.stop();
      await silent.stop();
    }
  });

  it('an answer with a word of the language as its code kills no worker: its request fails, another goes on', async () => {
    const odd = await startScriptedServer(({ method, body }) => {
      if (method === 'GET') return { status: 200, body: { name: 'odd' } };
      return body.includes('Odd')
        ? { status: 422, body: { code: 'constructor' } }
        : { status: 200, body: { script_text: 'x' } };
    });
    const running = await worker({ GENERATOR: 'http', GENERATOR_URL: odd.url, SECRET_KEY: 'k'.repeat(32) });
    try {
      await d.publish(requestFields('odd', { topic: 'Odd' }));
      assert.equal((await endOfRun(d, rowIdOf('odd'))).failure, 'generation_failed');
      await d.publish(requestFields('even', { topic: 'Even' }));
      assert.equal((await endOfRun(d, rowIdOf('even'))).status, 'COMPLETED');
    } finally {
      assert.equal(await running.stop(), 0);
      await odd.stop();
    }
  });

  it('blocked by the safety rules: a code of its own in run, row and letter, after one call', async () => {
    const running = await worker(gemini());
    try {
      const topic = 'Something for no classroom';
      server.steps.set(topic, [{ status: 200, body: { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } } }]);
      const messageId = await d.publish(requestFields('blocked', { topic }));
      const end = await endOfRun(d, rowIdOf('blocked'));
      assert.deepEqual([end.status, end.failure], ['FAILED', 'content_blocked']);
      const row = await d.row(rowIdOf('blocked'));
      assert.deepEqual([row?.status, row?.error_details?.['code']], ['failed', 'content_blocked']);
      await soleLetter(d, messageId, 'content_blocked');
      assert.equal(server.calls(topic), 1);
    } finally {
      await running.stop();
    }
  });

  describe('--check', () => {
    async function check(
      env: Record<string, string>,
      ...args: string[]
    ): Promise<{ code: number | string; lines: string[]; output: string }> {
      const started = startProcess(MAIN, ['--check', ...args], { ...d.env, ...env });
      const code = await started.ended;
      const output = started.output();
      return { code, output, lines: output.trimEnd().split('\n') };
    }
    const wordOf = (line = ''): string => line.split(/ {2,}| (?=[a-zA-Z]+:)/)[0] ?? '';

    it('all there: exit 0, a line each, and nothing is paid for', async () => {
      const before = server.seen.length;
      const { code, lines } = await check(gemini());
      assert.deepEqual([code, lines.map(wordOf)], [0, ['ok', 'ok', 'ok']], lines.join('\n'));
      assert.match(lines[2] ?? '', new RegExp(`provider: gemini ${MODEL}: ${MODEL} answers on the Gemini API`));
      const asked = server.seen.slice(before).map(({ path: one }) => one.split(':')[1]);
      assert.deepEqual(asked, ['countTokens']);
    });

    it('--probe: one tiny script, and what it cost', async () => {
      const { code, lines } = await check(gemini(), '--probe');
      assert.deepEqual([code, lines.map(wordOf)], [0, ['ok', 'ok', 'ok', 'ok']], lines.join('\n'));
      assert.match(lines[3] ?? '', /probe: \d+ characters in [\d.]+ s, 400 \+ 1000 tokens, 0\.002620 USD/);
    });

    it('no role, no model, a wrong key: exit 2 and what the provider said', async () => {
      for (const [answer, says] of [
        [NO_ROLE, /http_403: HTTP 403: Permission 'aiplatform\.endpoints\.predict' denied/],
        [RETIRED, /http_404: HTTP 404: .*was not found/],
      ] as const) {
        server.override = answer;
        const { code, lines } = await check(gemini(), '--probe');
        assert.deepEqual([code, lines.map(wordOf)], [2, ['ok', 'ok', 'WRONG', '–']], lines.join('\n'));
        assert.match(lines[2] ?? '', says);
      }
      server.override = null;
      const wrongKey = await check({ ...gemini(), GEMINI_API_KEY: 'another-key' });
      assert.equal(wrongKey.code, 2);
      assert.equal(wrongKey.output.includes('another-key'), false, 'the key is not shown');
    });

    it('nobody answers: exit 1, all of it told at once', async () => {
      const closed = async (): Promise<string> => `127.0.0.1:${String(await freePort())}`;
      const { code, lines } = await check({
        ...gemini(),
        DATABASE_URL: `postgresql://u:hunter2@${await closed()}/d`,
        TEMPORAL_ADDRESS: await closed(),
        GEMINI_BASE_URL: `http://${await closed()}`,
      });
      assert.deepEqual([code, lines.map(wordOf)], [1, ['NO ANSWER', 'NO ANSWER', 'NO ANSWER']], lines.join('\n'));
      assert.doesNotMatch(lines.join(''), /hunter2/);
    });

    it('a password or a database that is wrong, and an answer that is none of the contract: exit 2', async () => {
      const odd = await startScriptedServer(() => ({ status: 200, body: { title: 'nobody' } }));
      const forged = await startScriptedServer(() => ({
        status: 200,
        body: { name: 'x\nok        database: forged\u001b[2K' },
      }));
      const http = { GENERATOR: 'http', SECRET_KEY: 'k'.repeat(32) };
      try {
        const wrong = await check({
          ...http,
          GENERATOR_URL: odd.url,
          DATABASE_URL: d.databaseUrl.replace(/\/[^/]*$/, '/no_such_database'),
        });
        assert.deepEqual([wrong.code, wrong.lines.map(wordOf)], [2, ['WRONG', 'ok', 'WRONG']], wrong.output);
        const said = await check({ ...http, GENERATOR_URL: forged.url });
        assert.deepEqual([said.code, said.lines.length], [0, 3], said.output);
        assert.equal(said.output.includes('\u001b'), false);
      } finally {
        await odd.stop();
        await forged.stop();
      }
    });

    it('a schema that does not fit, and a namespace that is not there: exit 2 and what to run', async () => {
      await d.query('alter table content_requests rename column script_text to script');
      try {
        const { code, lines } = await check({ ...gemini(), TEMPORAL_NAMESPACE: 'nowhere' });
        assert.deepEqual([code, lines.map(wordOf)], [2, ['WRONG', 'WRONG', 'ok']], lines.join('\n'));
        assert.match(lines[0] ?? '', /script_text is missing; run: npm run migrate/);
        assert.match(lines[1] ?? '', /namespace nowhere/);
      } finally {
        await d.query('alter table content_requests rename column script to script_text');
      }
    });

    it('--probe alone, and an option that is none: exit 2', async () => {
      for (const args of [['--probe'], ['--chekc']]) {
        const started = startProcess(MAIN, args, { ...d.env, ...gemini() });
        assert.equal(await started.ended, 2, started.output());
      }
    });

    describe('of a provider of your own', () => {
      let example: ExampleProvider;
      const SECRET_KEY = 'k'.repeat(32);
      before(async () => {
        example = await startExampleProvider({ SECRET_KEY });
      });
      after(() => example.stop());

      it('is there, and makes a script', async () => {
        const env = { GENERATOR: 'http', GENERATOR_URL: example.url, SECRET_KEY };
        const { code, lines } = await check(env, '--probe');
        assert.equal(code, 0, lines.join('\n'));
        assert.match(lines[2] ?? '', /example provider answers at 127\.0\.0\.1/);
      });

      it('over TLS: by a certificate that is trusted; else exit 2, for no wait mends it', async () => {
        const { cert, private: key } = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
          extensions: [
            { name: 'basicConstraints', cA: true },
            { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
          ],
        });
        const folder = mkdtempSync(path.join(tmpdir(), 'provider-tls-'));
        const tls = await startScriptedServer(() => ({ status: 200, body: { name: 'tls provider' } }), { key, cert });
        try {
          const file = path.join(folder, 'ca.pem');
          writeFileSync(file, cert);
          const env = { GENERATOR: 'http', GENERATOR_URL: `${tls.url}/generate`, SECRET_KEY };
          const trusted = await check({ ...env, NODE_EXTRA_CA_CERTS: file });
          assert.equal(trusted.code, 0, trusted.output);
          const untrusted = await check(env);
          assert.equal(untrusted.code, 2, untrusted.output);
          assert.match(untrusted.lines[2] ?? '', /WRONG .*SELF_SIGNED/);
          const otherName = await check({
            ...env,
            GENERATOR_URL: env.GENERATOR_URL.replace('127.0.0.1', 'localhost'),
            NODE_EXTRA_CA_CERTS: file,
          });
          assert.equal(otherName.code, 2, otherName.output);
          assert.match(otherName.lines[2] ?? '', /ERR_TLS_CERT_ALTNAME_INVALID/);
        } finally {
          await tls.stop();
          rmSync(folder, { recursive: true });
        }
      });

      it('refuses another key: exit 2', async () => {
        const env = { GENERATOR: 'http', GENERATOR_URL: example.url, SECRET_KEY: 'x'.repeat(32) };
        const { code, lines } = await check(env);
        assert.equal(code, 2, lines.join('\n'));
        assert.match(lines[2] ?? '', /http_401/);
      });
    });
  });
});
