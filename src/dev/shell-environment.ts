/**
 * What of the shell's environment reaches the parts. It was set up for something else: the demonstration has settings of
 * its own, and each that would bend it is left out, and named.
 */
import { SETTINGS, type Env } from '../config.ts';

export interface ShellUse {
  /** The database is the shell's own, and so is what completes its URL: PGPASSWORD and the like. */
  readonly databaseIsNamed: boolean;
  /** Temporal is the shell's own, so its TEMPORAL_* are meant. */
  readonly temporalIsNamed: boolean;
  /** --generator env: the generator and its settings are the shell's. */
  readonly generatorOfShell: boolean;
}

export interface PartsEnvironment {
  readonly env: Readonly<Record<string, string>>;
  /** Names that were set and are not passed on. */
  readonly ignored: readonly string[];
}

/** Which parts there are and how they wait is the demonstration's, whoever generates. */
const OF_THE_STACK = /^(DATABASE|PUBSUB|BRIDGE|RETRY|WORKER)_|^(PORT|HEALTH_HOST|LOG_FORMAT|CORS_ORIGINS)$/;
/** Harmless, and wanted where one looks for a fault. */
const PASSED_ON = new Set(['LOG_LEVEL', 'DEBUG']);
/** Named or started, the stack sets these itself: nothing to tell. */
const SET_ANYWAY = new Set([
  'DATABASE_URL',
  'PUBSUB_EMULATOR_HOST',
  'TEMPORAL_ADDRESS',
  'PORT',
  'HEALTH_HOST',
  'LOG_FORMAT',
]);
const SETTING_NAMES = new Set<string>(SETTINGS.map(({ name }) => name));

/** PGSSLMODE and the like complete every URL. */
export const OF_POSTGRES_CLIENTS = /^PG[A-Z]+$/;

export function partsEnvironment(shell: Env, use: ShellUse): PartsEnvironment {
  const env: Record<string, string> = {};
  const ignored: string[] = [];
  for (const [name, value] of Object.entries(shell)) {
    if (value === undefined) continue;
    if (isPassedOn(name, use)) env[name] = value;
    else if (!SET_ANYWAY.has(name) && value.trim() !== '') ignored.push(name);
  }
  if (!use.generatorOfShell) env['GENERATOR'] = 'template';
  return { env: { ...env, ...withoutProxy(shell) }, ignored };
}

function isPassedOn(name: string, { databaseIsNamed, temporalIsNamed, generatorOfShell }: ShellUse): boolean {
  if (name.startsWith('TEMPORAL_')) return temporalIsNamed;
  if (OF_POSTGRES_CLIENTS.test(name)) return databaseIsNamed;
  if (generatorOfShell) return !OF_THE_STACK.test(name);
  return !SETTING_NAMES.has(name) || PASSED_ON.has(name);
}

/** gRPC takes a proxy for every address that is not excepted, this machine's own ones included. */
export function withoutProxy(shell: Env): Readonly<Record<string, string>> {
  const before = shell['no_proxy'] ?? shell['NO_PROXY'] ?? '';
  const value = [...before.split(','), 'localhost', '127.0.0.1', '::1'].filter((host) => host.trim() !== '').join(',');
  return { no_proxy: value, NO_PROXY: value };
}
