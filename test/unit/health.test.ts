import assert from 'node:assert/strict';
import { startHealth, type Health, type HealthOptions } from '../../src/health.ts';

const READY: HealthOptions = {
  port: 0,
  host: '127.0.0.1',
  version: '1.2.3',
  live: () => true,
  ready: () => Promise.resolve({ ok: true, checks: { database: 'ok' } }),
};

async function withHealth(
  options: Partial<HealthOptions>,
  use: (base: string, health: Health) => Promise<void>,
): Promise<void> {
  const health = await startHealth({ ...READY, ...options });
  try {
    await use(`http://127.0.0.1:${health.port}`, health);
  } finally {
    await health.close();
  }
}

async function ask(url: string, method = 'GET'): Promise<{ code: number; body: unknown }> {
  const response = await fetch(url, { method });
  const text = await response.text();
  return { code: response.status, body: text === '' ? null : JSON.parse(text) };
}

describe('health', () => {
  it('says that it is alive, what it is and which version', () =>
    withHealth({}, async (base) => {
      const body = { status: 'healthy', service: 'content-worker', version: '1.2.3' };
      assert.deepEqual(await ask(`${base}/health`), { code: 200, body });
      assert.deepEqual(await ask(`${base}/health?probe=1`), { code: 200, body });
    }));

  it('says when it is not alive', () =>
    withHealth({ live: () => Promise.reject(new Error('stuck')) }, async (base) => {
      assert.equal((await ask(`${base}/health`)).code, 503);
    }));

  it('is ready when its dependencies are, and alive in any case', () =>
    withHealth({}, async (base) => {
      assert.deepEqual(await ask(`${base}/health/ready`), {
        code: 200,
        body: { status: 'ready', checks: { database: 'ok' } },
      });
    }));

  it('the twin: not ready', () =>
    withHealth({ ready: () => Promise.resolve({ ok: false, checks: { database: 'unreachable' } }) }, async (base) => {
      const { code, body } = await ask(`${base}/health/ready`);
      assert.deepEqual([code, body], [503, { status: 'not_ready', checks: { database: 'unreachable' } }]);
      assert.equal((await ask(`${base}/health`)).code, 200);
    }));

  it('tells nothing secret: neither an error nor a check that is more than words', async () => {
    await withHealth({ ready: () => Promise.reject(new Error('postgres://u:hunter2@h')) }, async (base) => {
      assert.deepEqual(await ask(`${base}/health/ready`), {
        code: 503,
        body: { status: 'not_ready', checks: { deadline: 'failed' } },
      });
    });
    const checks = { database: 'password authentication failed for user "u" at 10.0.0.3', temporal: 'ok' };
    await withHealth({ ready: () => Promise.resolve({ ok: false, checks }) }, async (base) => {
      const { body } = await ask(`${base}/health/ready`);
      assert.deepEqual(body, { status: 'not_ready', checks: { database: 'failed', temporal: 'ok' } });
    });
  });

  it('answers within its deadline when a check hangs, and asks anew after it', async () => {
    let asked = 0;
    const ready: HealthOptions['ready'] = () => {
      asked += 1;
      return asked === 1 ? new Promise(() => undefined) : Promise.resolve({ ok: true, checks: {} });
    };
    await withHealth({ ready }, async (base) => {
      const began = performance.now();
      const both = await Promise.all([ask(`${base}/health/ready`), ask(`${base}/health/ready`)]);
      assert.deepEqual(
        both.map(({ code }) => code),
        [503, 503],
      );
      assert.ok(performance.now() - began < 4_000);
      assert.equal(asked, 1, 'a check under way is shared');
      assert.equal((await ask(`${base}/health/ready`)).code, 200);
    });
  }).timeout(10_000);

  it('knows no other path and no other method', () =>
    withHealth({}, async (base) => {
      assert.equal((await ask(`${base}/`)).code, 404);
      assert.equal((await ask(`${base}/health/`)).code, 404);
      assert.deepEqual(await ask(`${base}/health`, 'HEAD'), { code: 200, body: null });
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
        const response = await fetch(`${base}/health/ready`, { method });
        assert.equal(response.status, 405);
        assert.equal(response.headers.get('allow'), 'GET, HEAD');
      }
    }));

  it('throws when the port is taken', () =>
    withHealth({}, async (_, { port }) => {
      await assert.rejects(startHealth({ ...READY, port }), { code: 'EADDRINUSE' });
    }));

  it('is gone after close', async () => {
    const health = await startHealth(READY);
    await health.close();
    await assert.rejects(fetch(`http://127.0.0.1:${health.port}/health`));
  });
});
