/** The command behind `npm start`, on a machine that is made up: its PATH, home, cache and environment, and nothing else. */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cacheDir, projectRoot } from '../../src/dev/paths.ts';
import type { ProcessMark } from '../../src/dev/process-start.ts';
import { findTemporalCli } from '../../src/dev/temporal-cli.ts';
import { waitFor } from './wait-for.ts';

export interface Machine {
  readonly folder: string;
  /** Its only folder of commands. */
  readonly bin: string;
  /** What every start on it gets; a test adds its own. */
  readonly env: Readonly<Record<string, string>>;
  /** A path in its folder, of which nothing is made. */
  at(...names: string[]): string;
  /** Puts a command on PATH: a script for /bin/sh. */
  script(name: string, text: string): void;
  remove(): void;
}

/** Nothing is installed: no commands, an empty cache, a Google Cloud CLI without the emulator. */
export function bareMachine(): Machine {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'first-start-'));
  // As root, PostgreSQL runs as somebody else, who must get through.
  chmodSync(folder, 0o755);
  const bin = path.join(folder, 'bin');
  const sdk = path.join(folder, 'google-cloud-sdk');
  for (const each of [bin, path.join(sdk, 'bin'), path.join(folder, 'home')]) mkdirSync(each, { recursive: true });
  writeFileSync(path.join(sdk, 'bin', 'gcloud'), '');
  return {
    folder,
    bin,
    env: {
      PATH: bin,
      HOME: path.join(folder, 'home'),
      XDG_CACHE_HOME: path.join(folder, 'cache'),
      CLOUDSDK_ROOT_DIR: sdk,
    },
    at: (...names) => path.join(folder, ...names),
    script: (name, text) => writeFileSync(path.join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Everything that a start needs, as it is on the machine of this test. */
export async function wholeMachine(): Promise<Machine> {
  const machine = bareMachine();
  const shared = cacheDir(process.env, os.homedir());
  await findTemporalCli({ cacheDir: shared, log: () => undefined, env: process.env });
  mkdirSync(shared, { recursive: true });
  mkdirSync(machine.at('cache'));
  symlinkSync(shared, machine.at('cache', 'content-processor'));
  // Blank is unset: the Google Cloud CLI is where this machine has it.
  return { ...machine, env: { ...machine.env, CLOUDSDK_ROOT_DIR: '', PATH: process.env['PATH'] ?? '' } };
}

/** The pip of this machine under any name, for a PATH that has nothing else. */
export function realPip(): string {
  const { stdout } = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' });
  return `exec '${stdout.trim()}' -m pip "$@"`;
}

export interface Start {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** Waits until its standard output matches. */
  says(what: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<number | string>;
  kill(signal: NodeJS.Signals): void;
}

export interface StartOptions {
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid?: number;
}

/** Three at once, beside another test file, on two cores. */
const SLOW_START_MS = 100_000;

export function npmStart({ args = [], env, uid }: StartOptions): Start {
  const child = spawn(process.execPath, ['--import', 'tsx', path.join(projectRoot, 'src/dev/main.ts'), ...args], {
    cwd: projectRoot,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'nothing'));
  });
  // SIGTERM and not SIGKILL: it stops its parts.
  const dieWithTest = (): void => void child.kill('SIGTERM');
  process.once('exit', dieWithTest);
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    says: (what) =>
      waitFor(
        `npm start says ${String(what)}`,
        () => {
          const found = what.exec(stdout);
          if (found === null && child.exitCode !== null) throw new Error(`it has ended:\n${stdout}\n${stderr}`);
          return found;
        },
        SLOW_START_MS,
      ),
    ended: ended.finally(() => process.removeListener('exit', dieWithTest)),
    kill: (signal) => void child.kill(signal),
  };
}

/** What a start has written down of the processes that it started, by name. */
export function partsOf(dataDir: string): ReadonlyMap<string, ProcessMark> {
  const list = path.join(dataDir, 'npm-start.parts');
  const lines = existsSync(list) ? readFileSync(list, 'utf8').trim().split('\n') : [];
  return new Map(
    lines.map((line) => JSON.parse(line) as ProcessMark & { name: string }).map((part) => [part.name, part]),
  );
}
