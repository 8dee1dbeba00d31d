/** The product's own two processes, started as in production but with short waits, their logs in files. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import path from 'node:path';
import getPort from 'get-port';
import { projectRoot } from './paths.ts';
import { stopProcess } from './process.ts';
import type { Script } from './scripted-generator.ts';
import { StartError, type Stack } from './stack.ts';

/** The demonstration's waits; the product's own are 10 s doubling to 600 s. */
const SHORT_WAITS = { RETRY_FIRST_WAIT_MS: '200', RETRY_MAX_WAIT_MS: '1000' };

export interface Processes {
  readonly workerHealth: string;
  readonly bridgeHealth: string;
  /** Rejects when one of them ends by itself. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

export async function startProcesses(stack: Stack, dataDir: string, script: Script): Promise<Processes> {
  const logs = path.join(dataDir, 'logs');
  mkdirSync(logs, { recursive: true });
  const children: ChildProcess[] = [];
  let stopping = false;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // Nobody may be waiting yet when a child ends early.
  failed.catch(() => undefined);
  const start = async (name: string, file: string, args: string[], env: Record<string, string>): Promise<string> => {
    const port = await getPort({ host: '127.0.0.1' });
    const child = spawn(process.execPath, ['--import', 'tsx', path.join(projectRoot, file), ...args], {
      cwd: projectRoot,
      env: { ...process.env, LOG_FORMAT: 'json', ...SHORT_WAITS, ...stack.env, ...env, PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    children.push(child);
    const log = createWriteStream(path.join(logs, `${name}.log`));
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.pipe(log, { end: false });
      stream.on('data', (chunk: Buffer) => {
        tail = (tail + chunk.toString('utf8')).slice(-2_000);
      });
    }
    child.once('exit', (code, signal) => {
      if (!stopping) fail(new StartError(`the ${name} ended by itself (${String(signal ?? code)}):\n${tail}`));
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
