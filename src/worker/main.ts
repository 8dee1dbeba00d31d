/** `npm run worker`; `-- --check` only looks at what it needs. */
import { Command } from 'commander';
import { createGenerator } from '../generators/index.ts';
import { runWorkerProcess } from './process.ts';

interface Options {
  readonly check?: true;
  readonly probe?: true;
}

const command = new Command('worker')
  .description('Runs the workflows of content requests, and the activities that write rows and generate content.')
  // A typing slip is a configuration fault; 1 would say that something unexpected happened.
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .option('--check', 'only look at database, Temporal and provider: exit 0 when everything is there')
  .option('--probe', 'with --check: have the provider make one tiny script as well, which is paid for');

const { check, probe } = command.parse().opts<Options>();
if (probe === true && check !== true) command.error('--probe goes with --check');
runWorkerProcess(
  process.env,
  (config) => createGenerator(config.generator),
  check === true ? { probe: probe === true } : null,
);
