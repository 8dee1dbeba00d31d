/**
 * A proxy before PostgreSQL that lets its last word, the FATAL of a shutdown, come in one packet with the answer before it:
 * as when a slow line holds both up. Each connection ends with its first answer that way.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

export interface LastWordProxy {
  /** The URL of the database through it. */
  url(direct: string): string;
  close(): Promise<void>;
}

/** ReadyForQuery, idle: https://www.postgresql.org/docs/current/protocol-message-formats.html */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

function fatal(): Buffer {
  const fields = Buffer.from('SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0');
  const length = Buffer.alloc(4);
  length.writeInt32BE(fields.length + 4);
  return Buffer.concat([Buffer.from('E'), length, fields]);
}

export async function startLastWordProxy(target: string): Promise<LastWordProxy> {
  const { hostname, port } = new URL(target);
  const server = createServer((client) => {
    const upstream = connect({ host: hostname, port: Number(port) });
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => {
      if (!bytes.subarray(-READY.length).equals(READY)) {
        client.write(bytes);
        return;
      }
      client.end(Buffer.concat([bytes, fatal()]));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: (direct) => {
      const url = new URL(direct);
      url.port = String((server.address() as AddressInfo).port);
      return url.href;
    },
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
