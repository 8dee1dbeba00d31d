/** Whether a process is still the one that was meant: its pid may be somebody else's by now. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { platform } from 'node:os';

export interface ProcessMark {
  readonly pid: number;
  /** When it began, as the system tells it; never parsed, only compared. */
  readonly start: string;
}

/** Null = there is no such process, or it has ended and only waits to be reaped. */
export function markOf(pid: number): ProcessMark | null {
  const start = platform() === 'linux' ? startOnLinux(pid) : startByPs(pid);
  return start === null ? null : { pid, start };
}

export function isAlive({ pid, start }: ProcessMark): boolean {
  return markOf(pid)?.start === start;
}

/** Sends the signal only when the process is the one that was meant. False = it is gone, or not ours to signal. */
export function signalIfAlive(mark: ProcessMark, signal: NodeJS.Signals): boolean {
  if (!isAlive(mark)) return false;
  try {
    return process.kill(mark.pid, signal);
  } catch {
    return false;
  }
}

/** Ticks since boot are unique within one boot only, so the boot is part of it. */
function startOnLinux(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    // The second field is the command in brackets, and may hold spaces and brackets: the fields are counted behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const ticks = fields[19];
    if (state === 'Z' || state === 'X' || ticks === undefined) return null;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${ticks}`;
  } catch {
    return null;
  }
}

function startByPs(pid: number): string | null {
  const { stdout } = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const [, state = 'Z', start] = /^(\S+)\s+(.+)$/.exec((stdout as string | null)?.trim() ?? '') ?? [];
  return state.startsWith('Z') ? null : (start ?? null);
}
