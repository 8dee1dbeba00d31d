/** The product's own two processes, started as in production but with short waits, their logs in files. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import getPort from 'get-port';
import { makeFolder } from './folders.ts';
import { projectRoot } from './paths.ts';
import { stopProcess } from './process.ts';
import type { Script } from './scripted-generator.ts';
import { wordsOf } from './server-process.ts';
import { StartError } from './start-error.ts';

/** The demonstration's waits; the product's own are 10 s doubling to 600 s. */
const SHORT_WAITS = { RETRY_FIRST_WAIT_MS: '200', RETRY_MAX_WAIT_MS: '1000' };
const TAIL_CHARACTERS = 4_000;
/** Their own exit code for a set-up that cannot work. */
const NOT_CONFIGURED = 2;

export interface ProcessesOptions {
  readonly dataDir: string;
  readonly script: Script;
  /** The whole environment of each, but for ports and waits. */
  readonly env: Readonly<Record<'worker' | 'bridge', Readonly<Record<string, string>>>>;
  readonly onPart: (name: 'worker' | 'bridge', pid: number) => void;
}

export interface Processes {
  readonly workerHealth: string;
  readonly bridgeHealth: string;
  /** Rejects when one of them ends by itself. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

export async function startProcesses({ dataDir, script, env, onPart }: ProcessesOptions): Promise<Processes> {
  const logs = path.join(dataDir, 'logs');
  makeFolder(logs);
  const children: ChildProcess[] = [];
  let stopping = false;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // Nobody may be waiting yet when a child ends early.
  failed.catch(() => undefined);
  const start = async (
    name: 'worker' | 'bridge',
    file: string,
    args: string[],
    more: Record<string, string>,
  ): Promise<string> => {
    const port = await getPort({ host: '127.0.0.1' });
    const child = spawn(process.execPath, ['--import', 'tsx', path.join(projectRoot, file), ...args], {
      cwd: projectRoot,
      env: { ...env[name], LOG_FORMAT: 'json', ...SHORT_WAITS, ...more, PORT: String(port), HEALTH_HOST: '127.0.0.1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    children.push(child);
    if (child.pid !== undefined) onPart(name, child.pid);
    const log = createWriteStream(path.join(logs, `${name}.log`));
    // A full disk: what becomes of the messages matters more than the log.
    log.on('error', () => undefined);
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.pipe(log, { end: false });
      stream.on('data', (chunk: Buffer) => {
        tail = (tail + chunk.toString('utf8')).slice(-TAIL_CHARACTERS);
      });
    }
    child.once('close', (code, signal) => {
      if (!stopping) fail(endedByItself(name, code ?? signal, tail));
    });
    return `http://127.0.0.1:${String(port)}/health/ready`;
  };
  const workerHealth = await start('worker', 'src/dev/worker.ts', [], { DEV_GENERATOR_SCRIPT: JSON.stringify(script) });
  const bridgeHealth = await start('bridge', 'src/bridge/main.ts', ['--follow'], {});
  return {
    workerHealth,
    bridgeHealth,
    failed,
    stop: async () => {
      stopping = true;
      await Promise.all(children.map((child) => stopProcess(child)));
    },
  };
}

/** What is wrong with its settings it says in plain lines; all else is in JSON lines, and the last one tells. */
function endedByItself(name: string, how: number | string | null, tail: string): StartError {
  // Whoever killed it is not told by its last line.
  if (typeof how === 'string') return new StartError(`The ${name} was killed (${how}): start again.`, { exitCode: 1 });
  // What is kept may begin in the middle of a line.
  const whole = tail.length < TAIL_CHARACTERS ? tail : tail.slice(tail.indexOf('\n') + 1);
  const lines = whole.split('\n').filter((line) => line.trim() !== '');
  const plain = lines.filter((line) => !line.startsWith('{'));
  if (how === NOT_CONFIGURED) {
    const head = plain[0]?.startsWith(`The ${name} `) === true ? [] : [`The ${name} cannot run with these settings:`];
    return new StartError([...head, ...plain].join('\n'));
  }
  const message = lines.flatMap((line) => /^\{.*"message":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? []).at(-1);
  const said = plain.length > 0 ? wordsOf(plain.join('\n')) : (message ?? 'it said nothing');
  return new StartError(`The ${name} ended by itself (${String(how)}): ${said}.`, { exitCode: 1 });
}
