/** The Pub/Sub emulator of the Google Cloud CLI: its jar started with java directly, without gcloud's wrapper processes. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { PubSub } from '@google-cloud/pubsub';
import { stopProcess } from './process.ts';

export interface PubsubEmulator {
  /** host:port, as PUBSUB_EMULATOR_HOST takes it. */
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface PubsubEmulatorOptions {
  readonly port: number;
  readonly host: string;
  readonly log: (line: string) => void;
  /** Where to look for the jar and java; tests pass their own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

const START_LIMIT_MS = 60_000;
const HOW_TO_INSTALL =
  'Run: gcloud components install pubsub-emulator; or, on Debian and Ubuntu with Google’s package source: ' +
  'apt-get install google-cloud-cli-pubsub-emulator; or set PUBSUB_EMULATOR_HOST to a running emulator.';

/** The newest jar of the first CLI installation that has one. */
export function findEmulatorJar(env: Readonly<Record<string, string | undefined>>): string {
  const roots = [env['CLOUDSDK_ROOT_DIR'], env['CLOUDSDK_ROOT'], ...rootsOnPath(env['PATH'] ?? ''), ...usualRoots()];
  for (const root of roots) {
    if (root === undefined || root === '') continue;
    const folder = path.join(root, 'platform', 'pubsub-emulator', 'lib');
    if (!existsSync(folder)) continue;
    const jars = readdirSync(folder).filter((name) => /^cloud-pubsub-emulator-.*-all\.jar$/.test(name));
    const newest = jars.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
    if (newest !== undefined) return path.join(folder, newest);
  }
  throw new Error(`The Pub/Sub emulator is not installed. ${HOW_TO_INSTALL}`);
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
    path.join(homedir(), 'google-cloud-sdk'),
  ];
}

function findJava(env: Readonly<Record<string, string | undefined>>): string {
  const java = env['JAVA_HOME'] === undefined ? 'java' : path.join(env['JAVA_HOME'], 'bin', 'java');
  const run = spawnSync(java, ['-version'], { encoding: 'utf8', env: { PATH: env['PATH'] ?? '' } });
  if (run.status === 0) return java;
  throw new Error(
    `The Pub/Sub emulator needs Java 11 or newer, and ${java} does not run (${run.error?.message ?? run.stderr.trim()}). ` +
      'Run: apt-get install default-jre-headless (macOS: brew install openjdk), or set JAVA_HOME.',
  );
}

export async function startPubsubEmulator(options: PubsubEmulatorOptions): Promise<PubsubEmulator> {
  const env = options.env ?? process.env;
  const jar = findEmulatorJar(env);
  const java = findJava(env);
  const { port } = options;
  const host = `${options.host}:${String(port)}`;
  // The emulator insists on a folder though it keeps nothing in it.
  const dataDir = mkdtempSync(path.join(tmpdir(), 'pubsub-emulator-'));
  const child = spawn(
    java,
    // Netty probes IPv6 first, and containers without it fail there.
    [
      '-Xmx512m',
      '-Djava.net.preferIPv4Stack=true',
      '-jar',
      jar,
      `--host=${options.host}`,
      `--port=${String(port)}`,
      `--data_dir=${dataDir}`,
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
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code) => resolve(`exit ${String(code)}: ${output.trim().split('\n').slice(-3).join(' ')}`));
  });
  const stop = async (): Promise<void> => {
    await stopProcess(child);
    rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    await Promise.race([
      answers(host),
      exited.then((why) => {
        throw new Error(`The Pub/Sub emulator ended while starting: ${why}`);
      }),
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  if (child.pid === undefined) throw new Error(`The Pub/Sub emulator did not start: ${await exited}`);
  options.log(`Pub/Sub emulator on ${host} (${path.basename(jar)})`);
  return { host, port, pid: child.pid, stop };
}

/** A client of an emulator, whatever the process's own environment says. */
export function emulatorClient(host: string, projectId: string): PubSub {
  // Without it every client asks the metadata server for credentials that an emulator never reads.
  process.env['METADATA_SERVER_DETECTION'] ??= 'none';
  return new PubSub({ projectId, apiEndpoint: host, emulatorMode: true });
}

/** Ready = it answers a call; the port opens earlier. */
async function answers(host: string): Promise<void> {
  const until = Date.now() + START_LIMIT_MS;
  for (;;) {
    const client = emulatorClient(host, 'emulator-probe');
    try {
      await client.getTopics({ pageSize: 1, gaxOpts: { timeout: 2_000, retry: null, autoPaginate: false } });
      return;
    } catch (error) {
      if (Date.now() > until) throw new Error(`The Pub/Sub emulator on ${host} does not answer`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      await client.close();
    }
  }
}
