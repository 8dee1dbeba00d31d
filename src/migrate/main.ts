/** `npm run migrate`. Exits: 0 done, 1 failed or refused, 2 configuration. */
import { Command, InvalidArgumentError } from 'commander';
import type pino from 'pino';
import { ConfigError, type MigrateConfig, readMigrateConfig } from '../config.ts';
import { createLogger } from '../log.ts';
import { placeOf, tlsTrouble } from '../postgres-connection.ts';
import { readCommit, readVersion } from '../version.ts';
import { MigrationError } from './failure.ts';
import { migrate, migrationStatus } from './migrate.ts';

interface Flags {
  readonly rollback?: true;
  readonly count?: number;
  readonly force?: true;
  readonly dryRun?: true;
  readonly status?: true;
}

const command = new Command('migrate')
  .description('Applies the migrations that the database at DATABASE_URL has not had.')
  .option('--rollback', 'roll back instead, newest first; DROPS the tables')
  .option('--count <n>', 'with --rollback: only the newest n', positiveInteger)
  .option('--force', 'with --rollback: also drop tables that hold rows')
  .option('--dry-run', 'print what would be done and change nothing')
  .option('--status', 'print the state of each migration and change nothing; exits 1 unless all are applied')
  .allowExcessArguments(false)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

const flags = command.parse().opts<Flags>();
if (flags.rollback === undefined && (flags.force === true || flags.count !== undefined)) {
  command.error('error: --force and --count go with --rollback');
}
const config = readConfigOrExit();
const log = createLogger(config.log, { component: 'migrate', version: readVersion(process.env) });
log.info({ commit: readCommit(process.env), node: process.version }, 'migrate starts');
for (const warning of config.warnings) log.warn(warning);
process.exitCode = await run(config, log).catch((error: unknown) => {
  const trouble = tlsTrouble(error, placeOf(config.database.url));
  if (trouble !== null) {
    log.error(trouble);
    return 2;
  }
  if (error instanceof MigrationError) log.error({ code: error.code }, error.message);
  else log.error({ err: error }, 'migration failed');
  return 1;
});

async function run({ database, grantTo }: MigrateConfig, logger: pino.Logger): Promise<number> {
  if (flags.status === true) {
    const statuses = await migrationStatus(database.url, { connectTimeoutMs: database.connectTimeoutMs });
    for (const status of statuses) logger.info(status, `${status.name}: ${status.state}`);
    return statuses.every(({ state }) => state === 'applied') ? 0 : 1;
  }
  const { notices, ...report } = await migrate(database.url, {
    direction: flags.rollback === true ? 'down' : 'up',
    force: flags.force === true,
    dryRun: flags.dryRun === true,
    ...(flags.count === undefined ? {} : { count: flags.count }),
    ...(grantTo === null ? {} : { grantTo }),
    connectTimeoutMs: database.connectTimeoutMs,
    log: (line) => logger.info(line),
  });
  logger.info({ ...report, notices: notices.length }, flags.dryRun === true ? 'dry run: nothing was changed' : 'done');
  return 0;
}

function readConfigOrExit(): MigrateConfig {
  try {
    return readMigrateConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1 on');
  return value;
}
