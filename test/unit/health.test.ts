import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { startHealth, type Health, type HealthOptions } from '../../src/health.ts';
import { waitFor } from '../support/wait-for.ts';

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
    // A message may be a single word, such as a user's name or a host's.
    await withHealth({ ready: () => Promise.resolve({ ok: false, checks: { database: 'hunter' } }) }, async (base) => {
      assert.deepEqual((await ask(`${base}/health/ready`)).body, {
        status: 'not_ready',
        checks: { database: 'failed' },
      });
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

  describe('limits', () => {
    /** Says this on a connection of its own; what came back once the server has closed it, and after how long. */
    async function talk(port: number, text: string): Promise<{ answer: string; seconds: number }> {
      const began = performance.now();
      const socket = connect(port, '127.0.0.1');
      let answer = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => (answer += chunk));
      // Half closed by the server is closed for us.
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(text);
      await once(socket, 'close');
      return { answer, seconds: (performance.now() - began) / 1_000 };
    }

    it('a slow client is let go of after 5 s, and others are answered meanwhile', () =>
      withHealth({}, async (base, { port }) => {
        const slow = [
          talk(port, ''),
          talk(port, 'GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: '),
          talk(port, 'GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n'),
        ];
        assert.equal((await ask(`${base}/health`)).code, 200);
        const [silent, headers, body] = await Promise.all(slow);
        assert.match(headers?.answer ?? '', /^HTTP\/1\.1 408 /);
        for (const each of [silent, headers, body]) {
          assert.ok(each !== undefined && each.seconds < 8, `${String(each?.seconds)} s`);
        }
      })).timeout(15_000);

    it('the twin: a server without them holds the same client for longer', async () => {
      const server = createServer((_, response) => response.end());
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      assert.ok(server.requestTimeout > 100_000, 'Node gives a request five minutes');
      server.close();
    });

    it('headers that are too large, and what is no HTTP, are refused and the connection is closed', () =>
      withHealth({}, async (_, { port }) => {
        const large = await talk(port, `GET /health HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(10_000)}\r\n\r\n`);
        assert.match(large.answer, /^HTTP\/1\.1 431 /);
        const odd = await talk(port, '\u0016\u0003\u0001 hello\r\n\r\n');
        assert.match(odd.answer, /^HTTP\/1\.1 400 /);
      }));

    it('an unknown path or method ends the connection, and its body is not read', () =>
      withHealth({}, async (_, { port }) => {
        for (const [line, code] of [
          ['POST /health', 405],
          ['GET /health/../etc/passwd', 404],
          ['GET //health', 404],
          ['GET /health/%72eady', 404],
          ['TRACE /health', 405],
        ] as const) {
          const { answer, seconds } = await talk(port, `${line} HTTP/1.1\r\nHost: x\r\n\r\n`);
          assert.match(answer, new RegExp(`^HTTP/1\\.1 ${String(code)} `), line);
          assert.match(answer, /\r\nConnection: close\r\n/i);
          assert.ok(seconds < 2, line);
        }
        const { answer } = await talk(
          port,
          `POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n${'x'.repeat(100_000)}`,
        );
        assert.match(answer, /^HTTP\/1\.1 405 /);
        assert.doesNotMatch(answer, /xxx/, 'nothing is given back of what was sent');
      }));

    it('more than 100 connections at once are not taken, and one that ends makes room', () =>
      withHealth({}, async (base, { port }) => {
        const held: Socket[] = [];
        const open = async (): Promise<Socket> => {
          const socket = connect(port, '127.0.0.1').on('error', () => undefined);
          held.push(socket);
          await once(socket, 'connect');
          return socket;
        };
        for (let count = 0; count < 100; count += 1) await open();
        const dropped = await open();
        if (!dropped.closed) await once(dropped, 'close');
        const [first] = held;
        assert.equal(first?.closed, false, 'those that were there stay');
        first.destroy();
        await waitFor('room for a probe', () =>
          ask(`${base}/health`).then(
            ({ code }) => code === 200,
            () => false,
          ),
        );
        for (const socket of held) socket.destroy();
      }));
  });

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
