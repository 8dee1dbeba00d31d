/** `npm run rollout`: which build of the worker gets the new runs. Exit codes: exit.ts. */
import { Client, Connection } from '@temporalio/client';
import { Command } from 'commander';
import { buildIdArgument, whole } from '../arguments.ts';
import { systemClock } from '../bridge/clock.ts';
import { classifyTemporal, codeOf } from '../bridge/grpc.ts';
import { BUILD_ID_FORM, ConfigError, readRolloutConfig, type RolloutConfig } from '../config.ts';
import { EXIT_CODE, type Ended } from './exit.ts';
import { drained, promote, ramp, rollback, status, type Options, type Status } from './verbs.ts';
import { workerDeployment, type WorkerDeployment } from './worker-deployment.ts';

type Verb = (deployment: WorkerDeployment) => Promise<Ended | Status | null>;

async function run(verb: Verb, json: boolean): Promise<number> {
  const config = readRolloutConfig(process.env);
  for (const warning of config.warnings) console.error(`warning: ${warning}`);
  const { temporal } = config;
  const { namespace } = temporal;
  const connection = await Connection.connect(temporal.connection).catch((error: unknown) => error);
  if (!(connection instanceof Connection)) return tell(connection, temporal);
  try {
    const client = new Client({ connection, namespace });
    return report(config, await verb(workerDeployment(client, config)), json);
  } catch (error) {
    // What has no gRPC status is a fault of ours.
    if (codeOf(error) === undefined) throw error;
    return tell(error, temporal);
  } finally {
    await connection.close();
  }
}

function tell(error: unknown, { address, namespace }: RolloutConfig['temporal']): number {
  const trouble = classifyTemporal(error, namespace);
  const text =
    trouble.kind === 'outage' ? `Temporal at ${address}, namespace ${namespace}: ${trouble.error}` : trouble.problem;
  console.error(`rollout: ${text}`);
  return EXIT_CODE[trouble.kind === 'outage' ? 'temporal_unavailable' : 'configuration'];
}

function report({ deploymentName }: RolloutConfig, result: Ended | Status | null, json: boolean): number {
  if (result !== null && 'reason' in result) {
    if (json) console.log(JSON.stringify(result));
    else (result.reason === 'done' ? console.log : console.error)(result.text);
    return EXIT_CODE[result.reason];
  }
  if (json) console.log(JSON.stringify(result));
  else if (result === null) console.error(`no build of ${deploymentName} has ever polled`);
  else for (const line of linesOf(result)) console.log(line);
  return EXIT_CODE[result === null ? 'unknown_build' : 'done'];
}

function linesOf({ builds, ramping, current, unversionedPolling, settled }: Status): string[] {
  const share = (buildId: string): string => {
    if (buildId === ramping?.buildId) return `${String(ramping.percent)} %`;
    if (buildId === current) return `${String(100 - (ramping?.percent ?? 0))} %`;
    return '–';
  };
  return [
    `${'build'.padEnd(24)}  ${'status'.padEnd(8)}  new runs  workers`,
    ...builds.map(
      ({ buildId, status: word, polling }) =>
        `${buildId.padEnd(24)}  ${word.padEnd(8)}  ${share(buildId).padEnd(8)}  ${polling ? 'poll' : 'none'}`,
    ),
    ...(current === null ? ['no build is current: new runs wait for workers without a version'] : []),
    ...(unversionedPolling ? ['workers without a version poll too'] : []),
    ...(settled ? [] : ['not every task queue has heard of the last change yet']),
  ];
}

interface Flags {
  readonly json?: true;
  readonly waitSeconds: number;
}

const ending: { code?: number } = {};
const program = new Command('rollout')
  .description('Which build of the worker gets the new runs. A run stays with the build that it began on.')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT_CODE.done : EXIT_CODE.configuration));

/** Its options, and how the rest of the command line becomes a verb. */
function add(
  command: Command,
  waitSeconds: number | null,
  make: (args: readonly unknown[], options: Options) => Verb,
): void {
  command.option('--json', 'one line of JSON');
  if (waitSeconds !== null) {
    command.option('--wait-seconds <n>', 'how long to wait at the most', whole(0, 86_400), waitSeconds);
  }
  command.action(async (...args: unknown[]) => {
    const flags = command.opts<Flags>();
    const verb = make(args, { waitMs: flags.waitSeconds * 1_000, clock: systemClock, say: console.error });
    ending.code = await run(verb, flags.json === true);
  });
}

add(
  program.command('status').description('every build: its share of the new runs, and whether its workers poll'),
  null,
  () => status,
);
add(
  program
    .command('ramp')
    .description('gives a build a part of the new runs, once its workers poll')
    .argument('<build id>', BUILD_ID_FORM, buildIdArgument)
    .argument('<percent>', '1 to 99', whole(1, 99)),
  300,
  ([id, percent], options) =>
    (deployment) =>
      ramp(deployment, id as string, percent as number, options),
);
add(
  program
    .command('promote')
    .description('gives a build all new runs, once its workers poll')
    .argument('<build id>', BUILD_ID_FORM, buildIdArgument),
  300,
  ([id], options) =>
    (deployment) =>
      promote(deployment, id as string, options),
);
add(
  program
    .command('rollback')
    .description(
      'takes the new runs from a bad build: ends its ramp, or goes back to the build that was current before it',
    )
    .argument('<bad build id>', BUILD_ID_FORM, buildIdArgument),
  60,
  ([id], options) =>
    (deployment) =>
      rollback(deployment, id as string, options),
);
add(
  program
    .command('drained')
    .description('exit 0 when no run is open on a build and its pool may go; 4 when not yet')
    .argument('<build id>', BUILD_ID_FORM, buildIdArgument),
  0,
  ([id], options) =>
    (deployment) =>
      drained(deployment, id as string, options),
);

program.parseAsync().then(
  () => process.exit(ending.code ?? EXIT_CODE.unexpected),
  (error: unknown) => {
    if (error instanceof ConfigError) {
      console.error(error.message);
      process.exit(EXIT_CODE.configuration);
    }
    console.error(error);
    process.exit(EXIT_CODE.unexpected);
  },
);
