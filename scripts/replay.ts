/**
 * `npm run replay`: replays the fixtures; `-- --from-server` replays what a namespace holds (TEMPORAL_* as for the
 * worker; `--query` narrows it, `--limit` ends it). Exit 0 when all could be replayed, 1 when one could not, 2 when
 * there was nothing to replay or the server could not be read. With --allow-empty nothing to replay is 0: a new namespace.
 */
import { Client, Connection } from '@temporalio/client';
import { Command } from 'commander';
import { readTemporalConfig } from '../src/config.ts';
import { WORKFLOW } from '../src/contract/names.ts';
import { builtBundlePath } from '../src/workflow-bundle.ts';
import { fixtures, replayAll, type NamedHistory } from '../test/replay/replay.ts';

interface Options {
  readonly fromServer?: true;
  readonly query: string;
  readonly limit: string;
  readonly bundle: string;
  readonly allowEmpty?: true;
}

const options = new Command('npm run replay --')
  .option('--from-server', 'replay the histories of a namespace instead of the fixtures')
  .option(
    '--query <list filter>',
    'which runs of the namespace',
    `WorkflowType IN (${Object.values(WORKFLOW)
      .map((type) => `'${type}'`)
      .join(', ')})`,
  )
  .option('--limit <n>', 'how many runs at the most', '200')
  .option('--allow-empty', 'with --from-server: a namespace that holds no run yet is no fault')
  .option('--bundle <file>', 'replay with this bundle, as from another image', builtBundlePath)
  .parse()
  .opts<Options>();

async function fromServer(): Promise<NamedHistory[]> {
  const { connection: connectionOptions, namespace } = readTemporalConfig(process.env);
  const connection = await Connection.connect(connectionOptions);
  try {
    const client = new Client({ connection, namespace });
    const found: NamedHistory[] = [];
    for await (const run of client.workflow.list({ query: options.query })) {
      if (found.length >= Number(options.limit)) break;
      const history = await client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
      found.push({ name: `${run.workflowId} ${run.runId}`, workflowId: run.workflowId, history });
    }
    return found;
  } finally {
    await connection.close();
  }
}

try {
  const histories = options.fromServer ? await fromServer() : await fixtures();
  const faults = await replayAll({ codePath: options.bundle }, histories);
  for (const [name, error] of faults) process.stderr.write(`${name}: ${error.message}\n`);
  process.stdout.write(`${String(histories.length - faults.size)} of ${String(histories.length)} histories replayed\n`);
  process.exitCode = histories.length === 0 ? (options.allowEmpty === true ? 0 : 2) : faults.size === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`replay: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
