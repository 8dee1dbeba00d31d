/** What processes listen on, as Linux tells it: proc(5), /proc/net/tcp. */
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';

export interface Listening {
  readonly pid: number;
  /** As /proc has it: the bytes of each 32-bit word in the machine's order. */
  readonly address: string;
  readonly port: number;
  readonly loopback: boolean;
}

const LISTEN = '0A';
/** 127.0.0.0/8, ::1, and 127.0.0.0/8 as IPv6 writes it; little-endian, as on every machine that runs this. */
const LOOPBACK = /^([0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F)$/;

export function isLoopback(address: string): boolean {
  return LOOPBACK.test(address);
}

/** Of these processes and all that they have started. */
export function listeningOf(pids: readonly number[]): Listening[] {
  const sockets = new Map<string, { address: string; port: number }>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    // Without IPv6 the second is not there.
    if (!existsSync(table)) continue;
    for (const line of readFileSync(table, 'utf8').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [, local = '', , state] = fields;
      const inode = fields[9];
      const [address = '', port = ''] = local.split(':');
      if (state === LISTEN && inode !== undefined) sockets.set(inode, { address, port: Number.parseInt(port, 16) });
    }
  }
  return withDescendants(pids).flatMap((pid) =>
    inodesOf(pid).flatMap((inode) => {
      const socket = sockets.get(inode);
      return socket === undefined ? [] : [{ pid, ...socket, loopback: isLoopback(socket.address) }];
    }),
  );
}

export function withDescendants(pids: readonly number[]): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It has ended since.
    }
  }
  const all = new Set(pids);
  for (let before = 0; before !== all.size;) {
    before = all.size;
    for (const [pid, parent] of parents) if (all.has(parent)) all.add(pid);
  }
  return [...all];
}

function inodesOf(pid: number): string[] {
  const folder = `/proc/${String(pid)}/fd`;
  // A process that may not be read must not pass for one that listens nowhere.
  return readdirSync(folder).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1] ?? [];
    } catch {
      return [];
    }
  });
}
