/** GET /health: alive. GET /health/ready: its dependencies answer. Readiness is never to be used as liveness. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { NAMES } from './contract/names.ts';

export interface Readiness {
  readonly ok: boolean;
  /** What was looked at -> a word or two, such as `ok` or `unreachable`. */
  readonly checks: Readonly<Record<string, string>>;
}

export interface HealthOptions {
  /** 0 = any free port. */
  readonly port: number;
  readonly host?: string;
  readonly version: string;
  readonly live: () => boolean | Promise<boolean>;
  readonly ready: () => Promise<Readiness>;
}

export interface Health {
  readonly port: number;
  close(): Promise<void>;
}

/** Cloud Run's probes time out after 1 s by default and may be set longer; a hanging database must still be answered for. */
const CHECK_DEADLINE_MS = 2_000;
/** As the worker before this one called itself; dashboards may look for it. */
const SERVICE = NAMES.service;
const PATHS = ['/health', '/health/ready'];

/** What a check may say. A message of a library (hosts, users, addresses) is none of these, also where it is one word. */
const WORDS: readonly string[] = [
  'ok',
  'failed',
  'no answer',
  'unreachable',
  'schema does not fit',
  'not asked yet',
  'unavailable',
  'misconfigured',
  // How a worker stands: State of @temporalio/worker.
  'initialized',
  'starting',
  'running',
  'stopping',
  'draining',
  'drained',
  'stopped',
];

/** A prober has one connection, a platform a few: whoever holds more cannot take the memory of the work. */
const MAX_CONNECTIONS = 100;
const LIMITS = {
  // A request is a line and a few headers.
  maxHeaderSize: 8_192,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  keepAliveTimeout: 5_000,
  // Node looks for late ones every 30 s by itself, and the limits above would be as long.
  connectionsCheckingInterval: 1_000,
};

/** Throws where the port cannot be had. */
export async function startHealth(options: HealthOptions): Promise<Health> {
  const { version } = options;
  const ready = shared(() => options.ready());

  const answer = async (path: string): Promise<{ code: number; body: object }> => {
    if (path === '/health') {
      const live = await within(Promise.resolve().then(options.live), false);
      return { code: live ? 200 : 503, body: { status: live ? 'healthy' : 'unhealthy', service: SERVICE, version } };
    }
    const { ok, checks } = await within(ready(), { ok: false, checks: { deadline: 'failed' } });
    return { code: ok ? 200 : 503, body: { status: ok ? 'ready' : 'not_ready', checks: words(checks) } };
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    if (!PATHS.includes(path)) {
      send(request, response, 404, { status: 'not found' });
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      send(request, response, 405, { status: 'method not allowed' });
    } else {
      const { code, body } = await answer(path);
      send(request, response, code, body);
    }
  };

  const server = createServer(LIMITS, (request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host ?? '0.0.0.0', () => {
      server.off('error', reject);
      // A later fault of the socket costs health answers, not the messages in hand.
      server.on('error', () => undefined);
      resolve();
    });
  });
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : options.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function send(request: IncomingMessage, response: ServerResponse, code: number, body: object): void {
  const text = JSON.stringify(body);
  // What is no probe is not talked with any longer: its body is never read.
  if (code === 404 || code === 405) response.shouldKeepAlive = false;
  response.writeHead(code, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}

/** A check under way is shared: a prober that asks often must not become the load. Forgotten at the deadline. */
function shared(check: () => Promise<Readiness>): () => Promise<Readiness> {
  let underWay: Promise<Readiness> | undefined;
  return () => {
    if (underWay !== undefined) return underWay;
    const mine = Promise.resolve().then(check);
    underWay = mine;
    const forget = (): void => {
      if (underWay === mine) underWay = undefined;
    };
    const timer = setTimeout(forget, CHECK_DEADLINE_MS);
    const ended = (): void => {
      clearTimeout(timer);
      forget();
    };
    mine.then(ended, ended);
    return mine;
  };
}

/** The check's answer, or `otherwise` when it throws or takes too long. */
async function within<T>(check: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), CHECK_DEADLINE_MS);
  });
  try {
    return await Promise.race([check, deadline]);
  } catch {
    return otherwise;
  } finally {
    clearTimeout(timer);
  }
}

function words(checks: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(checks).map(([name, value]) => [name, WORDS.includes(value) ? value : 'failed']),
  );
}
