/** Before anything is started or made: looks for every part, and tells all that is missing at once. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ConfigError, readGeneratorConfig, type Env } from '../config.ts';
import { createGenerator } from '../generators/index.ts';
import { checkWithin, PROVIDER_CHECK_MS } from '../worker/provider-state.ts';
import { checkFolder } from './folders.ts';
import { findNamedParts, type NamedParts } from './named-parts.ts';
import { checkNotOwned } from './owner.ts';
import { cacheDir, homeFolder } from './paths.ts';
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { checkPostgresData } from './postgres-data.ts';
import { emulatorCommand, type EmulatorCommand } from './pubsub-emulator.ts';
import { inWords, StartError } from './start-error.ts';
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
  /** --generator env: looked at before anything is started, since a request would wait for it for an hour. */
  readonly generatorOfShell: boolean;
}

/** A fresh PostgreSQL, Temporal's SQLite and the logs of some days. */
const DATA_NEEDS_MB = 200;
/** When something else is missing, an installation under way gets this long to say what is wrong with it. */
const INSTALL_GRACE_MS = 5_000;

export async function prepare({ dataDir, env, log, signal, generatorOfShell }: PrepareOptions): Promise<Prepared> {
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
    generatorOfShell ? checkGenerator(env, log) : null,
  ]);
  const grace = others.then((found) => {
    if (!found.some(({ status }) => status === 'rejected')) return undefined;
    return setTimeout(() => giveUp.abort(), INSTALL_GRACE_MS);
  });
  const [temporalCli] = await Promise.allSettled([cli]);
  const found = await others;
  clearTimeout(await grace);
  const [folder, postgres, emulator, named, generator] = found;
  if (
    folder.status === 'fulfilled' &&
    postgres.status === 'fulfilled' &&
    emulator.status === 'fulfilled' &&
    named.status === 'fulfilled' &&
    temporalCli.status === 'fulfilled' &&
    generator.status === 'fulfilled'
  ) {
    return { named: named.value, postgres: postgres.value, emulator: emulator.value, temporalCli: temporalCli.value };
  }
  const reasons = [folder, named, postgres, temporalCli, emulator, generator].flatMap((each) =>
    each.status === 'rejected' ? [each.reason as Error] : [],
  );
  const told = reasons.filter((reason) => reason instanceof StartError || reason instanceof ConfigError);
  const unexpected = reasons.find((reason) => reason.name !== 'AbortError' && !told.some((each) => each === reason));
  if (unexpected !== undefined) throw unexpected;
  throw new StartError([...new Set(told.map(({ message }) => message))].join('\n'));
}

/** What a start leaves in its folder: these by themselves, */
const OURS = ['npm-start.lock', 'npm-start.parts', 'temporal.db'];
/** and these where there is nothing else, for others have such folders as well. */
const OURS_TOGETHER = ['postgres', 'logs', 'pubsub', 'temporal.toml'];

/** `--data .`, or `--data=$DIR` with nothing in DIR, would scatter a database among somebody's files. */
function refuseForeign(dataDir: string): void {
  let names: string[];
  try {
    names = readdirSync(dataDir);
  } catch {
    // Not there yet, or no folder: checkFolder says which.
    return;
  }
  if (names.some((name) => OURS.includes(name)) || existsSync(path.join(dataDir, 'postgres', 'PG_VERSION'))) return;
  // A fresh mount has lost+found, a desktop its dot files.
  const others = names.filter((name) => !/^\.|^lost\+found$/.test(name) && !OURS_TOGETHER.includes(name));
  if (others.length === 0) return;
  throw new StartError(
    `The data folder ${dataDir} holds other files (${others.slice(0, 3).join(', ')}${others.length > 3 ? ', …' : ''}): ` +
      'start with --data and a folder that is empty, or that is not there yet.',
  );
}

async function checkDataFolder(dataDir: string): Promise<void> {
  checkNotOwned(dataDir);
  refuseForeign(dataDir);
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

async function checkGenerator(env: Env, log: (line: string) => void): Promise<void> {
  const generator = createGenerator(readGeneratorConfig(env));
  try {
    log(`provider: ${generator.name}: ${await checkWithin(generator, PROVIDER_CHECK_MS)}`);
  } catch (error) {
    throw new StartError(
      `The provider that your shell names cannot be used: ${generator.name}: ${inWords(error)}: ` +
        'correct its settings or start it, or start without --generator env.',
      { cause: error },
    );
  }
}
