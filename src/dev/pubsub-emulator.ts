/** The Pub/Sub emulator of the Google Cloud CLI: its jar started with java directly, without gcloud's wrapper processes. */
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PubSub } from '@google-cloud/pubsub';
import { makeFolder } from './folders.ts';
import { findJava } from './java.ts';
import { homeFolder } from './paths.ts';
import { startServer } from './server-process.ts';
import { StartError } from './start-error.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface PubsubEmulator {
  /** host:port, as PUBSUB_EMULATOR_HOST takes it. */
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export interface PubsubEmulatorOptions {
  readonly port: number;
  readonly host: string;
  readonly log: (line: string) => void;
  /** Where to look for the jar and java; tests pass their own. */
  readonly env?: Env;
  /** As emulatorCommand found them; looked for when not given. */
  readonly command?: EmulatorCommand;
  /** Removed at the end; one in the system's folder of temporary files when not given. */
  readonly dataDir?: string;
  readonly onSpawn?: (pid: number) => void;
}

export interface EmulatorCommand {
  readonly java: string;
  readonly jar: string;
}

/** The newest jar of the first CLI installation that has one. `usual`: where installers put it. */
export function findEmulatorJar(env: Env, usual: readonly string[] = usualRoots()): string {
  const chosen = env['CLOUDSDK_ROOT_DIR']?.trim();
  const found = chosen ? [chosen] : [...rootsOnPath(env['PATH'] ?? ''), ...usual];
  const roots = found.filter((root) => existsSync(root));
  for (const root of roots) {
    const folder = path.join(root, 'platform', 'pubsub-emulator', 'lib');
    if (!existsSync(folder)) continue;
    const jars = readdirSync(folder).filter((name) => /^cloud-pubsub-emulator-.*-all\.jar$/.test(name));
    const newest = jars.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
    if (newest !== undefined) return path.join(folder, newest);
  }
  // An empty folder is what a removed CLI leaves.
  const root = roots.find((each) => existsSync(path.join(each, 'bin', 'gcloud')));
  throw new StartError(root === undefined ? noCli(chosen) : noComponent(root));
}

const OR_NAME_ONE = 'or set PUBSUB_EMULATOR_HOST to a running emulator';

function noCli(chosen: string | undefined): string {
  if (chosen) {
    return (
      `Pub/Sub emulator: CLOUDSDK_ROOT_DIR is ${chosen}, and no CLI is there: ` +
      `correct it, or unset it to use the Google Cloud CLI on PATH, ${OR_NAME_ONE}.`
    );
  }
  return (
    'Pub/Sub emulator: the Google Cloud CLI, which brings it, is not installed: ' +
    'on Debian and Ubuntu add its package source (https://cloud.google.com/sdk/docs/install#deb) and run ' +
    '"sudo apt-get install google-cloud-cli google-cloud-cli-pubsub-emulator" ' +
    '(macOS: "brew install --cask gcloud-cli", then "gcloud components install pubsub-emulator"), ' +
    `${OR_NAME_ONE}.`
  );
}

/** A CLI of a package manager has its component manager switched off, so each kind has its own mend. */
function noComponent(root: string): string {
  const packaged = /^\/usr\/(lib|share)\//.test(root);
  const run = packaged
    ? 'sudo apt-get install google-cloud-cli-pubsub-emulator'
    : 'gcloud components install pubsub-emulator';
  return `Pub/Sub emulator: the Google Cloud CLI in ${root} comes without it: run "${run}", ${OR_NAME_ONE}.`;
}

function rootsOnPath(searchPath: string): string[] {
  return searchPath.split(path.delimiter).flatMap((folder) => {
    const gcloud = path.join(folder, 'gcloud');
    if (folder === '' || !existsSync(gcloud)) return [];
    // <root>/bin/gcloud, behind a link such as /usr/bin/gcloud.
    return [path.dirname(path.dirname(realpathSync(gcloud)))];
  });
}

function usualRoots(): string[] {
  return [
    '/usr/lib/google-cloud-sdk',
    '/usr/share/google-cloud-sdk',
    '/opt/google-cloud-sdk',
    '/opt/homebrew/share/google-cloud-sdk',
    '/usr/local/share/google-cloud-sdk',
    '/snap/google-cloud-cli/current',
    path.join(homeFolder(), 'google-cloud-sdk'),
  ];
}

/** Throws a StartError for each of the two that is missing: both are told at once. */
export async function emulatorCommand(env: Env): Promise<EmulatorCommand> {
  const [java, jar] = await Promise.allSettled([
    findJava(env),
    Promise.resolve(env).then((each) => findEmulatorJar(each)),
  ]);
  if (java.status === 'fulfilled' && jar.status === 'fulfilled') return { java: java.value, jar: jar.value };
  const reasons = [java, jar].flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []));
  const unexpected = reasons.find((reason) => !(reason instanceof StartError));
  throw unexpected ?? new StartError(reasons.map(({ message }) => message).join('\n'));
}

export async function startPubsubEmulator(options: PubsubEmulatorOptions): Promise<PubsubEmulator> {
  const env = options.env ?? process.env;
  const { java, jar } = options.command ?? (await emulatorCommand(env));
  const { port } = options;
  const host = `${options.host}:${String(port)}`;
  // The emulator insists on a folder though it keeps nothing in it.
  const dataDir = options.dataDir ?? mkdtempSync(path.join(tmpdir(), 'pubsub-emulator-'));
  makeFolder(dataDir);
  const removeData = (): void => rmSync(dataDir, { recursive: true, force: true });
  const address = [`--host=${options.host}`, `--port=${String(port)}`, `--data_dir=${dataDir}`];
  try {
    const server = await startServer({
      what: 'The Pub/Sub emulator',
      command: java,
      // Netty probes IPv6 first, and containers without it fail there.
      args: ['-Xmx512m', '-Djava.net.preferIPv4Stack=true', '-jar', jar, ...address],
      env: process.env,
      listens: /Server started, listening on/,
      // Its Java stays when it has lost its port. The whole line: which exception it was may come in a chunk of its own.
      fails: /^Exception in thread "main".*\n/m,
      ask: () => ask(host),
      onSpawn: options.onSpawn,
    });
    options.log(`Pub/Sub emulator on ${host} (${path.basename(jar)})`);
    return { host, port, pid: server.pid, ended: server.ended, stop: () => server.stop().finally(removeData) };
  } catch (error) {
    removeData();
    throw error;
  }
}

/** A client of an emulator, whatever the process's own environment says. */
export function emulatorClient(host: string, projectId: string): PubSub {
  // Without it every client asks the metadata server for credentials that an emulator never reads.
  process.env['METADATA_SERVER_DETECTION'] ??= 'none';
  return new PubSub({ projectId, apiEndpoint: host, emulatorMode: true });
}

/** Ready = it answers a call; the port opens earlier. */
export async function ask(host: string): Promise<void> {
  const client = emulatorClient(host, 'emulator-probe');
  try {
    await client.getTopics({ pageSize: 1, gaxOpts: { timeout: 2_000, retry: null, autoPaginate: false } });
  } finally {
    await client.close();
  }
}
