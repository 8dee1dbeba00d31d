/** Temporal's development server with its UI: real server, SQLite store, run by Temporal's own CLI. */
import { Connection } from '@temporalio/client';
import { NAMES, SEARCH_ATTRIBUTE } from '../contract/names.ts';
import { startServer } from './server-process.ts';
import { findTemporalCli } from './temporal-cli.ts';

export interface TemporalServer {
  /** The CLI that runs it: a name on PATH, or a path. */
  readonly cli: string;
  readonly address: string;
  /** Null when started without UI. */
  readonly uiUrl: string | null;
  readonly pid: number;
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export interface TemporalServerOptions {
  readonly port: number;
  /** Null = no UI. */
  readonly uiPort: number | null;
  /** Null = in memory. */
  readonly dbFile: string | null;
  /** Where an installed CLI is kept. */
  readonly cacheDir: string;
  readonly log: (line: string) => void;
  /** More of the server's dynamic config, `KEY=JSON_VALUE` each. */
  readonly dynamicConfig?: readonly string[];
  /** As findTemporalCli found it; looked for when not given. */
  readonly cli?: string;
  readonly onSpawn?: (pid: number) => void;
}

/**
 * A task of the server's own that fails for an hour (70 times) is put aside in a store of such tasks, and its run stands
 * still for good. The setting's own words: not for other databases than Cassandra, and it is on by default; seen on
 * SQLite in a flood that starved the machine, 4 runs of 16,000. Without it the server goes on trying.
 */
const KEEPS_TRYING = 'history.TaskDLQEnabled=false';

export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const { cacheDir, log } = options;
  const cli = options.cli ?? (await findTemporalCli({ cacheDir, log, env: process.env }));
  const address = `127.0.0.1:${String(options.port)}`;
  const server = await startServer({
    what: "Temporal's development server",
    command: cli,
    args: [
      'server',
      'start-dev',
      '--ip=127.0.0.1',
      `--port=${String(options.port)}`,
      `--namespace=${NAMES.namespace}`,
      ...(options.uiPort === null ? ['--headless'] : [`--ui-port=${String(options.uiPort)}`]),
      ...(options.dbFile === null ? [] : [`--db-filename=${options.dbFile}`]),
      ...Object.values(SEARCH_ATTRIBUTE).map((name) => `--search-attribute=${name}=Keyword`),
      ...[KEEPS_TRYING, ...(options.dynamicConfig ?? [])].map((value) => `--dynamic-config-value=${value}`),
      '--log-level=error',
    ],
    // A profile or namespace of the shell is meant for another server.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'))),
    mend:
      options.dbFile === null
        ? undefined
        : `if its data is at fault, move ${options.dbFile} away or start with another --data`,
    listens: /^Temporal Server:/m,
    ask: () => ask(address),
    onSpawn: options.onSpawn,
  });
  return {
    cli,
    address,
    uiUrl: options.uiPort === null ? null : `http://127.0.0.1:${String(options.uiPort)}`,
    pid: server.pid,
    ended: server.ended,
    stop: () => server.stop(),
  };
}

/** Ready = the namespace is there; the port opens about a second earlier. */
async function ask(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: 1_000 });
  try {
    await connection.withDeadline(Date.now() + 2_000, () =>
      connection.workflowService.describeNamespace({ namespace: NAMES.namespace }),
    );
  } finally {
    await connection.close();
  }
}
