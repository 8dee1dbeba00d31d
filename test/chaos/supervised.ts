/** A process of the product that is started again whenever it ends, as its platform would. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export type Role = 'bridge' | 'worker';

export interface Exit {
  readonly role: Role;
  readonly name: string;
  /** Exit code, or the signal's name. */
  readonly how: number | string;
  readonly at: number;
  /** Who ended it: a fault of ours, or it itself. */
  readonly ordered: boolean;
  /** A bridge that is meant to run on, and not to drain. */
  readonly follows: boolean;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const RESTART_MS = 300;
const SAMPLE_MS = 500;
/** The bridge has 8 s and the worker 10; a process that needs more is killed, and its exit says so. */
const PATIENCE_MS = 20_000;

export class Supervised {
  readonly role: Role;
  readonly name: string;
  readonly logFile: string;
  /** By which the provider tells its calls; of a bridge 0. */
  readonly number: number;
  readonly exits: Exit[] = [];
  /** Of all its lives, in KiB. */
  peakRssKib = 0;
  readonly #command: () => Command;
  #child: ChildProcess | null = null;
  #stopping = false;
  #ordered = false;
  #living: Promise<void> = Promise.resolve();

  constructor(role: Role, name: string, number: number, logFile: string, command: () => Command) {
    this.role = role;
    this.number = number;
    this.name = name;
    this.logFile = logFile;
    this.#command = command;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Everything it has written in all its lives. */
  output(): Promise<string> {
    return readFile(this.logFile, 'utf8').catch((error: unknown) => {
      // Not started yet.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
      throw error;
    });
  }

  /** How often these words stand in its output. */
  async said(words: string): Promise<number> {
    return (await this.output()).split(words).length - 1;
  }

  start(): void {
    this.#stopping = false;
    this.#living = this.#live();
  }

  /** The order that a fault gives; whoever kills it is known. */
  signal(signal: NodeJS.Signals): void {
    if (signal === 'SIGKILL' || signal === 'SIGTERM') this.#ordered = true;
    this.#child?.kill(signal);
  }

  /** No more lives: SIGTERM, and the last exit. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#ordered = true;
    this.#child?.kill('SIGCONT');
    this.#child?.kill('SIGTERM');
    const insist = setTimeout(() => this.#child?.kill('SIGKILL'), PATIENCE_MS);
    await this.#living;
    clearTimeout(insist);
  }

  /** One life, not started again; how it ended. */
  async once(): Promise<number | string> {
    this.#stopping = true;
    this.#living = this.#life();
    await this.#living;
    return this.exits.at(-1)?.how ?? 'nothing';
  }

  async #live(): Promise<void> {
    const goesOn = (): boolean => !this.#stopping;
    do {
      await this.#life();
      if (goesOn()) await sleep(RESTART_MS);
    } while (goesOn());
  }

  async #life(): Promise<void> {
    const { file, args, cwd, env } = this.#command();
    const output = openSync(this.logFile, 'a');
    this.#ordered = false;
    const loader = file.endsWith('.ts') ? ['--import', 'tsx'] : [];
    const child = spawn(process.execPath, [...loader, file, ...args], {
      cwd,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    this.#child = child;
    const sampling = setInterval(() => this.#sample(), SAMPLE_MS);
    const dieWithUs = (): void => void child.kill('SIGKILL');
    process.once('exit', dieWithUs);
    const how = await new Promise<number | string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(code ?? signal ?? 'nothing'));
    });
    process.removeListener('exit', dieWithUs);
    clearInterval(sampling);
    this.#child = null;
    this.exits.push({
      role: this.role,
      name: this.name,
      how,
      at: Date.now(),
      ordered: this.#ordered,
      follows: args.includes('--follow'),
    });
  }

  #sample(): void {
    const { pid } = this;
    if (pid === null) return;
    try {
      const peak = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
      this.peakRssKib = Math.max(this.peakRssKib, Number(peak?.[1] ?? 0));
    } catch (error) {
      // It ended between two samples, or this is no Linux: then the figure stays 0, and the report says so.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
}
