/** docs/examples/content-provider.mjs as a process. */
import path from 'node:path';
import { projectRoot } from '../../src/dev/paths.ts';
import { startProcess } from './deployment.ts';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';

export interface ExampleProvider {
  /** GENERATOR_URL. */
  readonly url: string;
  stop(): Promise<void>;
}

export async function startExampleProvider(env: Readonly<Record<string, string>>): Promise<ExampleProvider> {
  const port = String(await freePort());
  const provider = startProcess(path.join(projectRoot, 'docs/examples/content-provider.mjs'), [], {
    PORT: port,
    ...env,
  });
  await waitFor('the example provider listens', () => provider.output().includes('content provider on'));
  return {
    url: `http://127.0.0.1:${port}/generate`,
    stop: async () => {
      await provider.stop();
    },
  };
}
