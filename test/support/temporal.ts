/** One Temporal development server for a test file, with a bundle built once per process. */
import os from 'node:os';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { NAMES } from '../../src/contract/names.ts';
import { cacheDir } from '../../src/dev/paths.ts';
import { startTemporalServer, type TemporalServer } from '../../src/dev/temporal-server.ts';
import { bundleWorkflows } from '../../src/workflow-bundle.ts';
import { onFreePort } from './free-port.ts';
import './quiet-runtime.ts';

export interface TestTemporal {
  readonly server: TemporalServer;
  readonly address: string;
  readonly client: Client;
  readonly connection: NativeConnection;
  stop(): Promise<void>;
}

let bundle: Promise<WorkflowBundleWithSourceMap> | undefined;

export function testBundle(): Promise<WorkflowBundleWithSourceMap> {
  bundle ??= bundleWorkflows();
  return bundle;
}

/** @param dynamicConfig What a test asks of the server besides, `KEY=JSON_VALUE` each. */
export async function startTestTemporal(dynamicConfig: readonly string[] = []): Promise<TestTemporal> {
  const server = await onFreePort((port) =>
    startTemporalServer({
      port,
      uiPort: null,
      dbFile: null,
      cacheDir: cacheDir(process.env, os.homedir()),
      log: () => undefined,
      // Lets a single run skip its timers (see startSkippingTime): the real server, so no second one for long waits.
      // And a deletion need not wait until the close is acked in the background: 15 s less for each forgotten run.
      dynamicConfig: [
        'frontend.WorkflowTimeSkippingEnabled=true',
        'history.transferProcessorEnsureCloseBeforeDelete=false',
        ...dynamicConfig,
      ],
    }),
  );
  const { address } = server;
  const connection = await NativeConnection.connect({ address });
  const clientConnection = await Connection.connect({ address });
  return {
    server,
    address,
    connection,
    client: new Client({ connection: clientConnection, namespace: NAMES.namespace }),
    stop: async () => {
      await clientConnection.close();
      await connection.close();
      await server.stop();
    },
  };
}
