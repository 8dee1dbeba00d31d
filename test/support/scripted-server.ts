/** An HTTP server on this machine whose every answer a test decides, faults of the connection among them. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** As text; '' when there was none. */
  readonly body: string;
}

export type Answer =
  | { readonly status: number; readonly body?: object | string; readonly headers?: Readonly<Record<string, string>> }
  /** The connection is reset before a byte of an answer. */
  | { readonly fault: 'reset' }
  /** Half of the answer, then the connection is gone. */
  | { readonly fault: 'half'; readonly status: number; readonly body: object | string }
  /** Never a byte. */
  | { readonly fault: 'silent' };

export interface ScriptedServer {
  readonly url: string;
  readonly seen: readonly Seen[];
  stop(): Promise<void>;
}

export async function startScriptedServer(
  answer: (seen: Seen) => Answer | Promise<Answer>,
  tls?: { readonly key: string; readonly cert: string },
): Promise<ScriptedServer> {
  const seen: Seen[] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = request;
    const one = { method, path: url, headers, body: Buffer.concat(chunks).toString('utf8') };
    seen.push(one);
    give(response, await answer(one));
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    handle(request, response).catch((error: unknown) => {
      response.writeHead(599).end(String(error));
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${String(port)}`,
    seen,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function give(response: ServerResponse, answer: Answer): void {
  if ('fault' in answer) {
    if (answer.fault === 'silent') return;
    if (answer.fault === 'reset') {
      const { socket } = response;
      if (socket !== null && 'resetAndDestroy' in socket) socket.resetAndDestroy();
      return;
    }
    const text = textOf(answer.body);
    response.writeHead(answer.status, {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    });
    response.write(text.slice(0, Math.floor(text.length / 2)), () => response.destroy());
    return;
  }
  const { status, body = '', headers = {} } = answer;
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(textOf(body));
}

function textOf(body: object | string): string {
  return typeof body === 'string' ? body : JSON.stringify(body);
}
