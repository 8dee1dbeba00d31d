/** A server that is run by a command: up when it says so itself and answers, or the reason why it is not. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORT_TAKEN } from './ports.ts';
import { stopProcess } from './process.ts';
import { StartError } from './start-error.ts';

export interface ServerCommand {
  /** As sentences call it. */
  readonly what: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * What it writes when it listens. Asking the port is not enough: when it was lost to another server of the same kind,
   * that one would answer.
   */
  readonly listens: RegExp;
  /** What it writes when it never will, where it does not end by itself. */
  readonly fails?: RegExp;
  /** What may help, behind its own words. */
  readonly mend?: string | undefined;
  /** Asks once; throws while there is no answer. */
  readonly ask: () => Promise<void>;
  /** Told as soon as there is a process, long before it is ready. */
  readonly onSpawn?: ((pid: number) => void) | undefined;
}

export interface ServerProcess {
  readonly pid: number;
  /** Whatever ended it. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

const START_LIMIT_MS = 60_000;
/** Another version may word it differently: after so long the port is asked all the same. */
const LISTENS_LIMIT_MS = 20_000;
const ASK_EVERY_MS = 50;

export async function startServer(server: ServerCommand): Promise<ServerProcess> {
  const child = spawn(server.command, server.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: server.env,
    // A group of its own: the terminal's Ctrl-C must reach only us, who stop the parts in order.
    detached: true,
  });
  if (child.pid !== undefined) server.onSpawn?.(child.pid);
  const given = new AbortController();
  let output = '';
  const listens = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output = (output + chunk).slice(-20_000);
        if (server.listens.test(output)) resolve();
      });
    }
  });
  const mend = server.mend === undefined ? '' : `; ${server.mend}`;
  const fault = (how: string): StartError => new StartError(`${server.what} ${how}: ${wordsOf(output)}${mend}.`);
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(new StartError(`${server.what} cannot be run: ${error.message}.`)));
    // `close` comes after the last line was read, `exit` may not.
    child.once('close', (code, signal) => reject(fault(`ended while starting (${String(code ?? signal)})`)));
    child.stderr.on('data', () => {
      if (server.fails?.test(output) === true) reject(fault('does not start'));
    });
  });
  const stop = (): Promise<void> => stopProcess(child);
  const answers = async (): Promise<void> => {
    const until = performance.now() + START_LIMIT_MS;
    await Promise.race([listens, sleep(LISTENS_LIMIT_MS, undefined, { signal: given.signal })]);
    for (;;) {
      try {
        await server.ask();
        return;
      } catch (error) {
        given.signal.throwIfAborted();
        if (performance.now() > until) throw fault(`does not answer after ${String(START_LIMIT_MS / 1_000)} s`);
        await sleep(ASK_EVERY_MS, error, { signal: given.signal });
      }
    }
  };
  try {
    await Promise.race([answers(), failed]);
  } catch (error) {
    await stop();
    throw error;
  } finally {
    given.abort();
    failed.catch(() => undefined);
  }
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  return { pid: child.pid ?? 0, ended, stop };
}

/** The line that says why, of an output that may be a stack trace. */
export function wordsOf(output: string): string {
  const lines = output.split('\n').flatMap((line) => (/^\s*(at\s|$)/.test(line) ? [] : [line.trim()]));
  // Behind it Temporal only tells how it fell over.
  const port = lines.find((line) => PORT_TAKEN.test(line));
  const telling = port ?? lines.findLast((line) => /\b(error|fatal|panic)\b|exception/i.test(line)) ?? lines.at(-1);
  return (telling ?? 'it said nothing').replace(/\.$/, '');
}
