/** Ends TLS in front of a server that speaks plainly, as a load balancer does. */
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Pem } from './certificates.ts';

export interface TlsProxy {
  readonly port: number;
  /** Handshakes that were brought to an end, and those that were not. */
  readonly counts: { agreed: number; refused: number };
  stop(): Promise<void>;
}

/** @param clients whose certificates are demanded of a client; null = of none. */
export async function startTlsProxy(
  target: { readonly host: string; readonly port: number },
  own: Pem,
  clients: string | null,
): Promise<TlsProxy> {
  const counts = { agreed: 0, refused: 0 };
  const open = new Set<TLSSocket>();
  const server = createServer(
    {
      ...own,
      // gRPC is HTTP/2, and asks for it in the handshake.
      ALPNProtocols: ['h2'],
      ...(clients === null ? {} : { ca: clients, requestCert: true, rejectUnauthorized: true }),
    },
    (socket) => {
      counts.agreed += 1;
      open.add(socket);
      const upstream = connect(target);
      const end = (): void => {
        socket.destroy();
        upstream.destroy();
        open.delete(socket);
      };
      for (const each of [socket, upstream]) each.on('error', end).on('close', end);
      socket.pipe(upstream).pipe(socket);
    },
  );
  server.on('tlsClientError', () => (counts.refused += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    counts,
    stop: async () => {
      for (const socket of open) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}
