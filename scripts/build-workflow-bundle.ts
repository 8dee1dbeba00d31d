/** Writes the workflow bundle that production and the replay gate load. Must come from the same lockfile as the image. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { builtBundlePath, bundleWorkflows } from '../src/workflow-bundle.ts';

const { code } = await bundleWorkflows();
await mkdir(path.dirname(builtBundlePath), { recursive: true });
await writeFile(builtBundlePath, code);
