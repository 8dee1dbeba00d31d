/** Before anything is started or made: looks for every part, and tells all that is missing at once. */
import path from 'node:path';
import { ConfigError, type Env } from '../config.ts';
import { checkFolder } from './folders.ts';
import { findNamedParts, type NamedParts } from './named-parts.ts';
import { checkNotOwned } from './owner.ts';
import { cacheDir, homeFolder } from './paths.ts';
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { checkPostgresData } from './postgres-data.ts';
import { emulatorCommand, type EmulatorCommand } from './pubsub-emulator.ts';
import { StartError } from './start-error.ts';
import { findTemporalCli } from './temporal-cli.ts';

export interface Prepared {
  readonly named: NamedParts;
  /** Null = the environment names the part. */
  readonly postgres: PostgresBinaries | null;
  readonly temporalCli: string | null;
  readonly emulator: EmulatorCommand | null;
}

export interface PrepareOptions {
  readonly dataDir: string;
  readonly env: Env;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/** A fresh PostgreSQL, Temporal's SQLite and the logs of some days. */
const DATA_NEEDS_MB = 200;
/** When something else is missing, an installation under way gets this long to say what is wrong with it. */
const INSTALL_GRACE_MS = 5_000;

export async function prepare({ dataDir, env, log, signal }: PrepareOptions): Promise<Prepared> {
  const isNamed = (name: string): boolean => (env[name]?.trim() ?? '') !== '';
  const giveUp = new AbortController();
  const cli = isNamed('TEMPORAL_ADDRESS')
    ? Promise.resolve(null)
    : findTemporalCli({
        cacheDir: cacheDir(env, homeFolder()),
        log,
        env,
        signal: AbortSignal.any([signal, giveUp.signal]),
      });
  const others = Promise.allSettled([
    checkDataFolder(dataDir),
    isNamed('DATABASE_URL') ? null : postgresFor(dataDir),
    isNamed('PUBSUB_EMULATOR_HOST') ? null : emulatorCommand(env),
    findNamedParts(env),
  ]);
  const grace = others.then((found) => {
    if (!found.some(({ status }) => status === 'rejected')) return undefined;
    return setTimeout(() => giveUp.abort(), INSTALL_GRACE_MS);
  });
  const [temporalCli] = await Promise.allSettled([cli]);
  const found = await others;
  clearTimeout(await grace);
  const [folder, postgres, emulator, named] = found;
  if (
    folder.status === 'fulfilled' &&
    postgres.status === 'fulfilled' &&
    emulator.status === 'fulfilled' &&
    named.status === 'fulfilled' &&
    temporalCli.status === 'fulfilled'
  ) {
    return { named: named.value, postgres: postgres.value, emulator: emulator.value, temporalCli: temporalCli.value };
  }
  const reasons = [folder, named, postgres, temporalCli, emulator].flatMap((each) =>
    each.status === 'rejected' ? [each.reason as Error] : [],
  );
  const told = reasons.filter((reason) => reason instanceof StartError || reason instanceof ConfigError);
  const unexpected = reasons.find((reason) => reason.name !== 'AbortError' && !told.some((each) => each === reason));
  if (unexpected !== undefined) throw unexpected;
  throw new StartError([...new Set(told.map(({ message }) => message))].join('\n'));
}

async function checkDataFolder(dataDir: string): Promise<void> {
  checkNotOwned(dataDir);
  await checkFolder({
    what: 'The data folder',
    path: dataDir,
    mend: 'start with --data and a folder that can be written to',
    needsMb: DATA_NEEDS_MB,
  });
}

async function postgresFor(dataDir: string): Promise<PostgresBinaries> {
  const binaries = await findPostgresBinaries();
  await checkPostgresData(path.join(dataDir, 'postgres'), binaries);
  return binaries;
}
