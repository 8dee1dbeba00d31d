/**
 * A TCP proxy that can stop forwarding while both its connections stay open: what a firewall that drops packets, or a
 * database's host that is gone without a word, looks like to a client.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface StalledProxy {
  /** The URL, with this proxy where the server was. */
  through(url: string): string;
  /** From now on swallows what the present connections send, both ways. Later connections are served. */
  stall(): void;
  /** From now on accepts new connections and says nothing on them. */
  stallNew(): void;
  close(): Promise<void>;
}

export async function startStalledProxy(target: { host: string; port: number }): Promise<StalledProxy> {
  const pairs = new Set<readonly [Socket, Socket | null]>();
  let silent = false;
  const server = createServer((client) => {
    const upstream = silent ? null : connect(target);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    for (const socket of pair) socket?.on('error', () => socket.destroy());
    if (upstream === null) {
      client.resume();
    } else {
      client.pipe(upstream);
      upstream.pipe(client);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    through: (url) => {
      const proxied = new URL(url);
      proxied.host = `127.0.0.1:${String(port)}`;
      return proxied.href;
    },
    stall: () => {
      for (const [client, upstream] of pairs) {
        if (upstream === null) continue;
        client.unpipe(upstream);
        upstream.unpipe(client);
        // Read and thrown away: a full buffer would show in the sender's socket, a lost packet does not.
        client.resume();
        upstream.resume();
      }
    },
    stallNew: () => {
      silent = true;
    },
    close: async () => {
      for (const sockets of pairs) for (const socket of sockets) socket?.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}
