/** Performs a Dockerfile's steps without an engine: each stage is a folder, COPY copies, RUN runs. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { copyOf, letsThrough, pairsOf, words, type Instruction, type Stage } from './dockerfile.ts';

/** These write to the system that they run on. */
const NEEDS_BASE = /\bapt-get\b/;

export interface Context {
  /** The folder that is sent to the engine. */
  readonly root: string;
  /** Text of its .dockerignore. */
  readonly ignore: string;
  readonly args: Readonly<Record<string, string>>;
  /** An empty folder for the stages. */
  readonly work: string;
  readonly say: (line: string) => void;
}

export interface Built {
  /** Stands for / of the image. */
  readonly root: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly user: string | null;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

const SCRATCH: Omit<Built, 'root'> = { workdir: '/', env: {}, labels: {}, user: null, entrypoint: [], command: [] };

export function buildImage(stages: readonly Stage[], context: Context): Built {
  const built = new Map<string, Built>();
  let last: Built | undefined;
  for (const [index, stage] of stages.entries()) {
    const name = stage.name ?? `stage-${String(index)}`;
    const root = path.join(context.work, name);
    const parent = built.get(stage.from);
    mkdirSync(root, { mode: 0o755 });
    if (parent !== undefined) cpSync(parent.root, root, { recursive: true, verbatimSymlinks: true });
    last = { ...SCRATCH, ...parent, root };
    for (const instruction of stage.instructions) {
      context.say(`${name}: ${instruction.keyword} ${instruction.text.slice(0, 100)}`);
      last = perform(instruction, last, built, context);
    }
    built.set(name, last);
  }
  if (last === undefined) throw new Error('the Dockerfile has no stage');
  return last;
}

function perform(
  { keyword, text, line }: Instruction,
  now: Built,
  built: ReadonlyMap<string, Built>,
  context: Context,
): Built {
  switch (keyword) {
    case 'WORKDIR': {
      const workdir = path.resolve(now.workdir, text);
      mkdirSync(path.join(now.root, workdir), { recursive: true });
      return { ...now, workdir };
    }
    case 'COPY':
      copy(text, now, built, context);
      return now;
    case 'RUN':
      if (NEEDS_BASE.test(text)) context.say('  not performed: it needs the base image');
      else run(text, path.join(now.root, now.workdir));
      return now;
    case 'ENV':
      return { ...now, env: { ...now.env, ...pairsOf(text, context.args) } };
    case 'LABEL':
      return { ...now, labels: { ...now.labels, ...pairsOf(text, context.args) } };
    case 'USER':
      return { ...now, user: text };
    case 'ENTRYPOINT':
      return { ...now, entrypoint: words(text) };
    case 'CMD':
      return { ...now, command: words(text) };
    case 'ARG':
      if (!(text in context.args)) throw new Error(`line ${String(line)}: nobody gives ${text}`);
      return now;
    default:
      throw new Error(`line ${String(line)}: ${keyword} is not performed`);
  }
}

function copy(text: string, now: Built, built: ReadonlyMap<string, Built>, { root, ignore }: Context): void {
  const { from, sources, to } = copyOf(text);
  const stage = from === null ? null : built.get(from);
  if (stage === undefined) throw new Error(`COPY ${text}: there is no stage ${String(from)}`);
  for (const source of sources) {
    const whence = path.join(stage === null ? root : stage.root, source);
    if (!existsSync(whence)) throw new Error(`COPY ${source}: there is none`);
    const target = path.join(now.root, path.resolve(now.workdir, to));
    const into = to.endsWith('/') ? path.join(target, path.basename(source)) : target;
    const filter = stage === null ? (file: string) => passes(ignore, path.relative(root, file)) : () => true;
    cpSync(whence, into, { recursive: true, verbatimSymlinks: true, filter });
    if (!existsSync(into)) throw new Error(`COPY ${source}: .dockerignore keeps it out`);
  }
}

/** A folder that leads to what is let through is entered. */
const passes = (ignore: string, file: string): boolean =>
  letsThrough(ignore, file) || ignore.split('\n').some((line) => line.startsWith(`!${file}/`));

function run(command: string, cwd: string): void {
  // Nothing of this shell's own: what it builds must not depend on whose machine it is.
  const { PATH, HOME } = process.env;
  const { status, error } = spawnSync('sh', ['-ec', command], { cwd, env: { PATH, HOME }, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`RUN ends with ${String(status)}: ${command}`);
}
