/**
 * `npm run replay`: replays the fixtures; `-- --from-server` replays the newest runs of a namespace, open and closed, as
 * the gate of a deployment (TEMPORAL_* as for the worker). Exit 0 when all could be replayed, 1 when one could not, 2 when
 * there was nothing to replay or the server could not be read. With --allow-empty nothing to replay is 0: a new namespace.
 */
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { Command, InvalidArgumentError } from 'commander';
import { describeError } from '../src/bridge/grpc.ts';
import { ConfigError, readRolloutConfig } from '../src/config.ts';
import { WORKFLOW } from '../src/contract/names.ts';
import { builtBundlePath } from '../src/workflow-bundle.ts';
import { fixtures, replayAll, type NamedHistory } from '../test/replay/replay.ts';

interface Options {
  readonly fromServer?: true;
  readonly query?: string;
  readonly limit: number;
  readonly bundle: string;
  readonly allowEmpty?: true;
}

const CALL_MS = 30_000;

const options = new Command('npm run replay --')
  .option('--from-server', 'replay the histories of a namespace instead of the fixtures')
  .option('--query <list filter>', 'with --from-server: only those of the runs that match it')
  .option(
    '--limit <n>',
    'with --from-server: of each workflow type so many open runs, and as many closed ones',
    whole,
    50,
  )
  .option('--allow-empty', 'with --from-server: a namespace that holds no run yet is no fault')
  .option('--bundle <file>', 'replay with this bundle, as from another image', builtBundlePath)
  .allowExcessArguments(false)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()
  .opts<Options>();

function whole(text: string): number {
  if (!/^\d{1,6}$/.test(text) || Number(text) < 1) throw new InvalidArgumentError('a whole number from 1 on');
  return Number(text);
}

const seen = { replayable: 0, notBegun: 0 };

/** One after the other: a run's history holds its script, and 300 of them are not kept in memory. */
async function* historiesOf(client: Client): AsyncGenerator<NamedHistory> {
  for (const run of await newestRuns(client)) {
    const handle = client.workflow.getHandle(run.workflowId, run.runId);
    const history = await client
      .withDeadline(Date.now() + CALL_MS, () => handle.fetchHistory())
      .catch((error: unknown) => {
        // Its retention has ended since it was listed.
        if (error instanceof WorkflowNotFoundError) return null;
        throw error;
      });
    if (history === null) continue;
    // No code has decided anything yet, so there is nothing to compare with.
    if (history.events?.some((event) => event.workflowTaskCompletedEventAttributes) !== true) seen.notBegun += 1;
    else yield { name: `${run.workflowId} ${run.runId}`, workflowId: run.workflowId, history };
  }
}

/** Of each kind for itself: letters outnumber nothing, and a thousand closed runs would hide the one that is open. */
async function newestRuns(client: Client): Promise<{ readonly workflowId: string; readonly runId: string }[]> {
  const runs = [];
  for (const type of Object.values(WORKFLOW)) {
    for (const status of ["= 'Running'", "!= 'Running'"]) {
      const narrowed = options.query === undefined ? '' : ` AND (${options.query})`;
      const query = `WorkflowType = '${type}' AND ExecutionStatus ${status}${narrowed}`;
      const found = await client.withDeadline(Date.now() + CALL_MS, async () => {
        const newest = [];
        // The server's order is newest first.
        for await (const run of client.workflow.list({ query, pageSize: Math.min(options.limit, 1_000) })) {
          newest.push(run);
          if (newest.length >= options.limit) break;
        }
        return newest;
      });
      runs.push(...found);
    }
  }
  return runs;
}

async function* counted(histories: AsyncIterable<NamedHistory> | Iterable<NamedHistory>): AsyncGenerator<NamedHistory> {
  for await (const history of histories) {
    seen.replayable += 1;
    yield history;
  }
}

const replay = (histories: AsyncIterable<NamedHistory> | Iterable<NamedHistory>): Promise<Map<string, Error>> =>
  replayAll({ codePath: options.bundle }, counted(histories));

async function fromServer(): Promise<Map<string, Error>> {
  const { temporal, warnings } = readRolloutConfig(process.env);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const { address, namespace } = temporal;
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect(temporal.connection);
    return await replay(historiesOf(new Client({ connection, namespace })));
  } catch (error) {
    throw new Error(`Temporal at ${address}, namespace ${namespace}: ${describeError(error)}`, { cause: error });
  } finally {
    await connection?.close();
  }
}

try {
  const faults = options.fromServer === true ? await fromServer() : await replay(await fixtures());
  for (const [name, error] of faults) process.stderr.write(`${name}: ${error.message}\n`);
  const rest = seen.notBegun === 0 ? '' : `; ${String(seen.notBegun)} had not begun`;
  const { replayable } = seen;
  process.stdout.write(`${String(replayable - faults.size)} of ${String(replayable)} histories replayed${rest}\n`);
  process.exitCode = replayable === 0 ? (options.allowEmpty === true ? 0 : 2) : faults.size === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError ? '' : 'replay: '}${(error as Error).message}\n`);
  process.exitCode = 2;
}
