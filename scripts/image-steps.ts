/**
 * `npm run image:steps`: the steps of Dockerfile.content-worker, performed without an engine. Each stage is a clean folder,
 * each COPY takes what .dockerignore lets through, each RUN runs; then the image's processes are started through its
 * entrypoint, as a user who is not root where this one is, against servers of their own, until a message has come to
 * a completed row. Not performed: what needs the base image (apt-get), and its Node: this machine's runs instead.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { projectRoot } from '../src/dev/paths.ts';
import { startDeployment } from '../test/support/deployment.ts';
import { waitFor } from '../test/support/wait-for.ts';
import { copyOf, letsThrough, pairsOf, parseDockerfile, words, type Stage } from './dockerfile.ts';
import { contentFaults } from './image-contents.ts';

const ARGS = { BUILD_ID: '0123456789ab', COMMIT_SHA: '0123456789abcdef0123456789abcdef01234567' };
/** These write to the system that they run on. */
const NEEDS_BASE = /\bapt-get\b/;

interface Built {
  /** Stands for / of the image. */
  readonly root: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string | null;
  readonly command: readonly string[];
}

const work = mkdtempSync(path.join(os.tmpdir(), 'image-steps-'));
const say = (line: string): void => console.log(line);

function assertThat(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`image steps: ${what}`);
  say(`  ok: ${what}`);
}

function build(stages: readonly Stage[], ignore: string): Built {
  const built = new Map<string, Built>();
  let last: Built | undefined;
  for (const [index, stage] of stages.entries()) {
    const root = path.join(work, stage.name ?? `stage-${String(index)}`);
    const parent = built.get(stage.from);
    mkdirSync(root, { mode: 0o755 });
    if (parent !== undefined) cpSync(parent.root, root, { recursive: true });
    last = perform(stage, { env: {}, user: null, command: [], workdir: '/', ...parent, root }, built, ignore);
    if (stage.name !== null) built.set(stage.name, last);
  }
  if (last === undefined) throw new Error('no stage');
  return last;
}

function perform(stage: Stage, start: Built, built: ReadonlyMap<string, Built>, ignore: string): Built {
  let now = start;
  let entrypoint: string[] = [];
  const inRoot = (target: string): string => path.join(now.root, path.resolve(now.workdir, target));
  for (const { keyword, text } of stage.instructions) {
    say(`${stage.name ?? 'image'}: ${keyword} ${text.slice(0, 100)}`);
    switch (keyword) {
      case 'WORKDIR':
        now = { ...now, workdir: path.resolve(now.workdir, text) };
        mkdirSync(inRoot('.'), { recursive: true });
        break;
      case 'COPY': {
        const { from, sources, to } = copyOf(text);
        for (const source of sources) {
          const [whence, passes] =
            from === null
              ? [path.join(projectRoot, source), (file: string) => passesIgnore(ignore, file)]
              : [path.join(built.get(from)?.root ?? '', source), () => true];
          if (!existsSync(whence)) throw new Error(`COPY ${source}: there is none`);
          const into = to.endsWith('/') ? path.join(inRoot(to), path.basename(source)) : inRoot(to);
          cpSync(whence, into, { recursive: true, filter: passes });
          if (!existsSync(into)) throw new Error(`COPY ${source}: .dockerignore keeps it out`);
        }
        break;
      }
      case 'RUN':
        if (NEEDS_BASE.test(text)) say('  not performed: it needs the base image');
        else run(text, inRoot('.'));
        break;
      case 'ENV':
        now = { ...now, env: { ...now.env, ...pairsOf(text, ARGS) } };
        break;
      case 'LABEL': {
        const labels = pairsOf(text, ARGS);
        assertThat(
          labels['org.opencontainers.image.revision'] === ARGS.COMMIT_SHA &&
            labels['org.opencontainers.image.version'] === ARGS.BUILD_ID,
          'the labels name commit and build',
        );
        break;
      }
      case 'USER':
        now = { ...now, user: text };
        break;
      case 'ENTRYPOINT':
        entrypoint = words(text);
        break;
      case 'CMD':
        now = { ...now, command: [...entrypoint, ...words(text)] };
        break;
      case 'ARG':
        break;
      default:
        throw new Error(`${keyword} is not performed`);
    }
  }
  return now;
}

function passesIgnore(ignore: string, file: string): boolean {
  const relative = path.relative(projectRoot, file);
  // A folder that leads to what is let through must be entered.
  return letsThrough(ignore, relative) || ignore.split('\n').some((line) => line.startsWith(`!${relative}/`));
}

function run(command: string, cwd: string): void {
  // Nothing of this shell's own: what it builds must not depend on whose machine it is.
  const { PATH, HOME } = process.env;
  const { status } = spawnSync('sh', ['-ec', command], { cwd, env: { PATH, HOME }, stdio: 'inherit' });
  if (status !== 0) throw new Error(`RUN failed (${String(status)}): ${command}`);
}

interface Started {
  readonly child: ChildProcess;
  output(): string;
  readonly ended: Promise<number | string>;
}

/** As a container of the image: its entrypoint, its environment, its user, and `env`; nothing else. */
function start(image: Built, args: readonly string[], env: Readonly<Record<string, string>>): Started {
  const [entrypoint = ''] = image.command;
  const ofImage = Object.entries(image.env).map(([name, value]): [string, string] => [
    name,
    value.startsWith('/app/') ? path.join(image.root, value) : value,
  ]);
  const [uid, gid] = (image.user ?? '').split(':').map(Number);
  const child = spawn(path.join(image.root, 'usr/local/bin', entrypoint), args, {
    cwd: path.join(image.root, image.workdir),
    env: {
      PATH: path.dirname(process.execPath) + ':/usr/bin:/bin',
      CONTENT_WORKER_HOME: path.join(image.root, 'app'),
      ...Object.fromEntries(ofImage),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(process.getuid?.() === 0 && uid !== undefined && gid !== undefined ? { uid, gid } : {}),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  }
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'nothing'));
  });
  return { child, output: () => output, ended };
}

const firstLine = (started: Started): Record<string, unknown> =>
  JSON.parse(started.output().split('\n')[0] ?? '{}') as Record<string, unknown>;

async function says(started: Started, message: string): Promise<void> {
  await waitFor(`"${message}" in:\n${started.output().slice(-800)}`, () => {
    if (started.child.exitCode !== null) throw new Error(`it has ended:\n${started.output().slice(-2_000)}`);
    return started.output().includes(`"message":"${message}"`);
  });
}

async function runImage(image: Built): Promise<void> {
  const deployment = await startDeployment();
  const running: Started[] = [];
  const begin = (args: readonly string[], env: Readonly<Record<string, string>>): Started => {
    const started = start(image, args, env);
    running.push(started);
    return started;
  };
  try {
    const DATABASE_URL = await deployment.postgres.createDatabase('image');
    const env = { ...deployment.env, DATABASE_URL, LOG_LEVEL: 'info' };

    const migrate = begin(['migrate'], env);
    assertThat((await migrate.ended) === 0, 'migrate makes the schema and exits 0');
    const worker = begin(['worker'], env);
    await says(worker, 'worker polls');
    const bridge = begin([...image.command.slice(1), '--follow'], env);
    await says(bridge, 'bridge polls');
    for (const started of [migrate, worker, bridge]) {
      const { version, commit, message } = firstLine(started);
      assertThat(
        version === ARGS.BUILD_ID && commit === ARGS.COMMIT_SHA,
        `the first line (${String(message)}) names build and commit`,
      );
      // The shell has given its place to node: signals arrive.
      if (started.child.exitCode === null) {
        const comm = readFileSync(`/proc/${String(started.child.pid)}/comm`, 'utf8').trim();
        const status = readFileSync(`/proc/${String(started.child.pid)}/status`, 'utf8');
        const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
        assertThat(/^(node|MainThread)/.test(comm), `${String(message)}: its process is node (${comm})`);
        assertThat(uid !== '0', `${String(message)}: its user is not root (${String(uid)})`);
      }
    }
    const smoke = begin(['smoke', '--wait-seconds', '60'], env);
    assertThat((await smoke.ended) === 0, 'smoke: a message has come to a completed row');
    say(smoke.output());
    const rollout = begin(['rollout', 'status'], env);
    assertThat((await rollout.ended) === 6, 'rollout asks Temporal, which knows no version yet: exit 6');
    const letters = begin(['letters', 'show', '--wait-seconds', '1'], env);
    assertThat((await letters.ended) === 0, 'letters looks at the dead letters, and finds none');
    for (const started of [bridge, worker]) started.child.kill('SIGTERM');
    assertThat((await bridge.ended) === 0 && (await worker.ended) === 0, 'SIGTERM ends bridge and worker with 0');
    const unknown = begin(['ops'], env);
    assertThat((await unknown.ended) === 2, 'what the image has not is refused with 2');
  } finally {
    for (const { child } of running) child.kill('SIGKILL');
    await deployment.stop();
  }
}

const began = performance.now();
try {
  const stages = parseDockerfile(readFileSync(path.join(projectRoot, 'Dockerfile.content-worker'), 'utf8'));
  const image = build(stages, readFileSync(path.join(projectRoot, '.dockerignore'), 'utf8'));
  assertThat(
    /^[1-9]\d*:[1-9]\d*$/.test(image.user ?? ''),
    `its user is not root, and a number (${String(image.user)})`,
  );
  const lock = JSON.parse(readFileSync(path.join(projectRoot, 'package-lock.json'), 'utf8')) as Parameters<
    typeof contentFaults
  >[1];
  const faults = contentFaults(path.join(image.root, 'app'), lock);
  for (const fault of faults) console.error(`  ${fault}`);
  assertThat(faults.length === 0, 'the tree holds what it needs, no development package, no source, no secret');
  await runImage(image);
  say(
    `image steps performed in ${String(Math.round((performance.now() - began) / 1_000))} s, by node ${process.version}`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
