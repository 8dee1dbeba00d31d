/**
 * A TCP gateway before a server, for one process only: others go on reaching the server directly. Down = connections
 * are reset, as when a server restarts; stalled = they stay open and nobody answers, as behind a dropping firewall.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Gateway {
  /** host:port that stands for the server. */
  readonly address: string;
  down(): void;
  stall(): void;
  up(): void;
  /** Bytes that clients have sent since the stall: gRPC compresses, so what they said cannot be read. */
  swallowedBytes(): number;
  close(): Promise<void>;
}

export async function startGateway(target: string): Promise<Gateway> {
  const [host = '', port = ''] = target.split(':');
  const sockets = new Set<Socket>();
  let mode: 'up' | 'down' | 'stalled' = 'up';
  let swallowedBytes = 0;
  const reset = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    sockets.add(client);
    client.on('error', () => client.destroy());
    client.on('close', () => sockets.delete(client));
    if (mode === 'down') {
      client.destroy();
      return;
    }
    const upstream = connect({ host, port: Number(port) });
    sockets.add(upstream);
    upstream.on('error', () => client.destroy());
    upstream.on('close', () => {
      sockets.delete(upstream);
      client.destroy();
    });
    client.on('close', () => upstream.destroy());
    client.on('data', (bytes) => {
      if (mode === 'stalled') swallowedBytes += bytes.length;
      else upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (mode !== 'stalled') client.write(bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    down: () => {
      mode = 'down';
      reset();
    },
    stall: () => {
      mode = 'stalled';
      swallowedBytes = 0;
    },
    up: () => {
      // Streams with a hole in them are of no use to anybody.
      if (mode === 'stalled') reset();
      mode = 'up';
    },
    swallowedBytes: () => swallowedBytes,
    close: async () => {
      reset();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}
