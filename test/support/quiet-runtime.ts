/**
 * The SDK logs expected failures of activities, runs and replays as warnings, with stacks: they would bury the test
 * runner's own lines. Imported by whatever makes a worker; a runtime is installed once per process.
 */
import { DefaultLogger, Runtime } from '@temporalio/worker';

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { filter: { core: 'ERROR', other: 'ERROR' } } },
});
