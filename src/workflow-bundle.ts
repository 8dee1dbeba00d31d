/** The workflows as the worker runs them: prebuilt in production and in replay, from the sources in development. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundleWithSourceMap } from '@temporalio/worker';

// The running file's own extension: .ts under tsx, .js when compiled.
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const workflowsPath = fileURLToPath(new URL(`./workflows/index.${extension}`, import.meta.url));

/** Where `npm run build` puts the bundle: beside the compiled code. */
export const builtBundlePath = fileURLToPath(
  new URL(extension === 'ts' ? '../dist/workflow-bundle.cjs' : './workflow-bundle.cjs', import.meta.url),
);

export function bundleWorkflows(): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
}

/** The named bundle; else the built one when this is compiled code; else a fresh one. */
export async function workflowBundle(
  named: string | null,
): Promise<WorkflowBundleWithSourceMap | { readonly codePath: string }> {
  if (named !== null) return { codePath: named };
  if (extension === 'js' && existsSync(builtBundlePath)) return { codePath: builtBundlePath };
  return bundleWorkflows();
}
