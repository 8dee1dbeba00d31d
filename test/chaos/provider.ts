/**
 * The content provider, in the harness's own process: what it was asked and what it answered is known, whatever dies.
 * Each worker has an address of its own, so a call tells which worker made it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PlannedRequest, ProviderStep } from './mix.ts';

export interface ProviderCall {
  readonly rowId: string;
  readonly stage: string;
  readonly worker: number;
  readonly key: string;
  /** Date.now(). */
  readonly startedAt: number;
  endedAt: number | null;
  /** HTTP status, or null: the caller was gone before. */
  status: number | null;
}

export interface Provider {
  url(worker: number): string;
  readonly calls: readonly ProviderCall[];
  /** While set, everything is answered with it; `reset` = connections are reset. */
  trouble: 503 | 'reset' | null;
  /** From now on the request's calls work. */
  heal(rowId: string): void;
  expect(request: PlannedRequest): void;
  stop(): Promise<void>;
}

const STEP_OK: ProviderStep = { kind: 'ok', ms: 20 };

export async function startProvider(): Promise<Provider> {
  const calls: ProviderCall[] = [];
  const plans = new Map<string, { script: readonly ProviderStep[]; videoLooks: number }>();
  const scriptCalls = new Map<string, number>();
  const looks = new Map<string, number>();

  const post = async (worker: number, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const asked = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
      stage: string;
      request_id: string;
      topic: string;
    };
    const { stage, request_id: rowId, topic } = asked;
    const call: ProviderCall = {
      rowId,
      stage,
      worker,
      key: String(request.headers['idempotency-key']),
      startedAt: Date.now(),
      endedAt: null,
      status: null,
    };
    // The number makes each answer another one: a row shows whose result it holds.
    const serial = calls.push(call);
    const end = (status: number, body: object, headers: Record<string, string> = {}): void => {
      response.once('finish', () => {
        call.status = status;
        call.endedAt = Date.now();
      });
      response.once('close', () => (call.endedAt ??= Date.now()));
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    };
    const plan = plans.get(rowId);
    if (stage !== 'script') {
      end(202, { status_url: `/jobs/${rowId}/${stage}` }, { 'retry-after': '1' });
      return;
    }
    const number = scriptCalls.get(rowId) ?? 0;
    scriptCalls.set(rowId, number + 1);
    const steps = plan?.script ?? [];
    const step = steps[Math.min(number, steps.length - 1)] ?? STEP_OK;
    if (step.kind === 'status') {
      const { status, retryAfterSeconds, code } = step;
      end(
        status,
        { title: 'as planned', ...(code === undefined ? {} : { code }) },
        retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) },
      );
      return;
    }
    await sleep(step.ms);
    if (response.destroyed) {
      call.endedAt = Date.now();
      return;
    }
    const script = `Lesson ${String(serial)} on ${topic}`;
    end(200, { script_text: script, offers: (plan?.videoLooks ?? 0) > 0 ? ['video'] : [] });
  };

  const look = (path: string, response: ServerResponse): void => {
    const [, , rowId = '', stage = ''] = path.split('/');
    const done = (looks.get(path) ?? 0) + 1;
    looks.set(path, done);
    const ready = done > (plans.get(rowId)?.videoLooks ?? 0);
    response.writeHead(ready ? 200 : 202, { 'content-type': 'application/json', 'retry-after': '1' });
    response.end(JSON.stringify(ready ? { url: `https://cdn.example/${rowId}/${stage}` } : { progress: 50 }));
  };

  const provider: Provider = {
    url: (worker) => `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/w/${String(worker)}`,
    calls,
    trouble: null,
    heal: (rowId) => void plans.set(rowId, { script: [STEP_OK], videoLooks: plans.get(rowId)?.videoLooks ?? 0 }),
    expect: ({ rowId, script, videoLooks }) => {
      if (rowId !== null) plans.set(rowId, { script, videoLooks });
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? '';
    if (provider.trouble === 'reset') {
      request.socket.resetAndDestroy();
      return;
    }
    if (provider.trouble !== null) {
      request.resume();
      response.writeHead(provider.trouble).end();
      return;
    }
    if (request.method === 'POST') await post(Number(/^\/w\/(\d+)$/.exec(path)?.[1]), request, response);
    else if (path.startsWith('/jobs/')) look(path, response);
    else response.writeHead(200, { 'content-type': 'application/json' }).end('{"name":"chaos"}');
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return provider;
}
