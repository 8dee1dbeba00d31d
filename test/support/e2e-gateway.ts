/**
 * A TCP gateway before a server, for one process only: others go on reaching the server directly. Down = connections
 * are reset, as when a server restarts; stalled = they stay open and nobody answers, as behind a dropping firewall;
 * stranded = so do those that are open, for ever, while new ones work: half-open, as after a failover of the network.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Gateway {
  /** host:port that stands for the server. */
  readonly address: string;
  down(): void;
  stall(): void;
  /** Every chunk takes so long, in its order. */
  slow(milliseconds: number): void;
  /** Only the connections of this moment, and they never hear of it: they are not reset by up(). */
  strand(): void;
  up(): void;
  /** Bytes that clients have sent since the stall: gRPC compresses, so what they said cannot be read. */
  swallowedBytes(): number;
  close(): Promise<void>;
}

export async function startGateway(target: string): Promise<Gateway> {
  const [host = '', port = ''] = target.split(':');
  const sockets = new Set<Socket>();
  const stranded = new Set<Socket>();
  let mode: 'up' | 'down' | 'stalled' = 'up';
  let delayMs = 0;
  let swallowedBytes = 0;
  const reset = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  /** One direction of one connection: a chunk never overtakes another, whatever delay it came under. */
  const lane = (pass: (bytes: Buffer) => void): ((bytes: Buffer) => void) => {
    let last: Promise<void> | null = null;
    return (bytes) => {
      if (last === null && delayMs === 0) {
        pass(bytes);
        return;
      }
      const due = sleep(delayMs);
      const mine: Promise<void> = Promise.all([last, due]).then(() => {
        pass(bytes);
        if (last === mine) last = null;
      });
      last = mine;
    };
  };
  const server = createServer((client) => {
    sockets.add(client);
    client.on('error', () => client.destroy());
    client.on('close', () => {
      sockets.delete(client);
      stranded.delete(client);
    });
    if (mode === 'down') {
      client.destroy();
      return;
    }
    const upstream = connect({ host, port: Number(port) });
    sockets.add(upstream);
    upstream.on('error', () => client.destroy());
    upstream.on('close', () => {
      sockets.delete(upstream);
      if (!stranded.has(client)) client.destroy();
    });
    client.on('close', () => upstream.destroy());
    const up = lane((bytes) => upstream.write(bytes));
    const down = lane((bytes) => client.write(bytes));
    const silent = (): boolean => mode === 'stalled' || stranded.has(client);
    client.on('data', (bytes) => {
      if (silent()) swallowedBytes += bytes.length;
      else up(bytes);
    });
    upstream.on('data', (bytes) => {
      if (!silent()) down(bytes);
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
    slow: (milliseconds) => {
      delayMs = milliseconds;
    },
    strand: () => {
      for (const socket of sockets) stranded.add(socket);
    },
    up: () => {
      // Streams with a hole in them are of no use to anybody.
      if (mode === 'stalled') reset();
      mode = 'up';
      delayMs = 0;
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
