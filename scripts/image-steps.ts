/**
 * `npm run image:steps`: the steps of Dockerfile.content-worker, performed without an engine; then the image's processes are
 * started through its entrypoint, as its own user, against servers of their own, until a message has come to a completed
 * row. Not performed: what needs the base image (apt-get), and its Node: this machine's runs instead. Another user can only
 * be taken by root: without root the processes run as who runs this.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { projectRoot } from '../src/dev/paths.ts';
import { startDeployment } from '../test/support/deployment.ts';
import { waitFor } from '../test/support/wait-for.ts';
import { parseDockerfile } from './dockerfile.ts';
import { buildImage, type Built } from './image-build.ts';
import { contentFaults, labelFaults, type Lock } from './image-contents.ts';

const ARGS = { BUILD_ID: '0123456789ab', COMMIT_SHA: '0123456789abcdef0123456789abcdef01234567' };

const say = (line: string): void => console.log(line);

function assertThat(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`image steps: ${what}`);
  say(`  ok: ${what}`);
}

interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly ended: Promise<number | string>;
}

/** As a container of the image: its entrypoint, its environment, its user, and `env`; nothing else. */
function start(image: Built, args: readonly string[], env: Readonly<Record<string, string>>): Started {
  const [entrypoint = '', ...before] = image.entrypoint;
  const ofImage = Object.entries(image.env).map(([name, value]): [string, string] => [
    name,
    value.startsWith('/app/') ? path.join(image.root, value) : value,
  ]);
  const [uid, gid] = (image.user ?? '').split(':').map(Number);
  const child = spawn(path.join(image.root, 'usr/local/bin', entrypoint), [...before, ...args], {
    cwd: path.join(image.root, image.workdir),
    env: {
      PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin`,
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

async function endsWith(started: Started, code: number, what: string): Promise<void> {
  const ended = await started.ended;
  if (ended !== code) say(started.output().slice(-4_000));
  assertThat(ended === code, `${what}: exit ${String(code)}`);
}

async function says(started: Started, message: string): Promise<void> {
  await waitFor(
    `it says "${message}"`,
    () => {
      if (started.child.exitCode !== null) throw new Error(`it has ended:\n${started.output().slice(-2_000)}`);
      return started.output().includes(`"message":"${message}"`);
    },
    120_000,
  );
}

/** What it logs first, and, while it runs, who it is: node in the place of the shell, so that signals arrive. */
function looksRight(name: string, { child, output }: Started): void {
  const { version, commit } = JSON.parse(output().split('\n')[0] ?? '{}') as Record<string, unknown>;
  assertThat(version === ARGS.BUILD_ID && commit === ARGS.COMMIT_SHA, `${name}: the first line names build and commit`);
  if (child.exitCode !== null) return;
  const command = readFileSync(`/proc/${String(child.pid)}/cmdline`, 'utf8').split('\0')[0] ?? '';
  const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${String(child.pid)}/status`, 'utf8'))?.[1];
  assertThat(path.basename(command) === 'node', `${name}: the process itself is node`);
  assertThat(uid !== '0', `${name}: it does not run as root (uid ${String(uid)})`);
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
    await endsWith(migrate, 0, 'migrate makes the schema');
    looksRight('migrate', migrate);
    const worker = begin(['worker'], env);
    await says(worker, 'worker polls');
    looksRight('worker', worker);
    // What the image does without a word is the bridge.
    const bridge = begin([...image.command, '--follow'], env);
    await says(bridge, 'bridge polls');
    looksRight('bridge', bridge);

    const smoke = begin(['smoke', '--wait-seconds', '120'], env);
    await endsWith(smoke, 0, 'smoke: a message has come to a completed row');
    say(smoke.output());
    await endsWith(begin(['rollout', 'status'], env), 6, 'rollout asks Temporal, which knows no version yet');
    await endsWith(begin(['nothing'], env), 2, 'a process that is none is refused');
    const letters = begin(['letters', 'show', '--wait-seconds', '1'], env);
    await endsWith(letters, 0, 'letters looks at the dead letters, and finds none');
    for (const started of [bridge, worker]) started.child.kill('SIGTERM');
    await endsWith(bridge, 0, 'SIGTERM ends the bridge');
    await endsWith(worker, 0, 'SIGTERM ends the worker');
  } finally {
    for (const { child } of running) child.kill('SIGKILL');
    await deployment.stop();
  }
}

const began = performance.now();
const work = mkdtempSync(path.join(os.tmpdir(), 'image-steps-'));
try {
  // The image's user must get in.
  chmodSync(work, 0o755);
  const read = (file: string): string => readFileSync(path.join(projectRoot, file), 'utf8');
  const context = { root: projectRoot, ignore: read('.dockerignore'), args: ARGS, work, say };
  const image = buildImage(parseDockerfile(read('Dockerfile.content-worker')), context);
  assertThat(
    /^[1-9]\d*:[1-9]\d*$/.test(image.user ?? ''),
    `its user is a number, and not root (${String(image.user)})`,
  );
  const lock = JSON.parse(read('package-lock.json')) as Lock;
  const faults = [...labelFaults(image.labels, ARGS), ...contentFaults(path.join(image.root, 'app'), lock)];
  for (const fault of faults) console.error(`  ${fault}`);
  assertThat(faults.length === 0, 'it holds what it needs; no development package, no source, no secret');
  say(`built in ${seconds()} s`);
  await runImage(image);
  say(`image steps performed in ${seconds()} s, by node ${process.version}`);
} finally {
  rmSync(work, { recursive: true, force: true });
}

function seconds(): string {
  return String(Math.round((performance.now() - began) / 1_000));
}
