/** What production runs: compiled by tsc, without a loader, with the prebuilt workflow bundle. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { rowIdOf } from '../../src/contract/identity.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { startDeployment, startProcess, type Deployment, type Running } from '../support/deployment.ts';

const compiled = (file: string): string => path.join(projectRoot, 'dist', file);

describe('compiled', () => {
  let d: Deployment;
  const running: Running[] = [];
  before(async () => {
    d = await startDeployment();
  });
  after(async () => {
    await Promise.all(running.map((each) => each.stop()));
    await d.stop();
  });

  function start(file: string, args: string[] = [], env: Record<string, string> = {}): Running {
    const started = startProcess(compiled(file), args, { ...d.env, NODE_ENV: 'production', ...env });
    running.push(started);
    return started;
  }

  it('migrate, worker and bridge take a message from the topic to a completed row', async () => {
    const url = await d.postgres.createDatabase('compiled');
    const migrate = start('migrate/main.js', [], { DATABASE_URL: url });
    assert.equal(await migrate.ended, 0, migrate.output());

    assert(existsSync(compiled('workflow-bundle.cjs')), 'npm run build makes it');
    const worker = start('worker/main.js', [], { DATABASE_URL: url });
    await worker.says({ message: 'worker polls' });
    const correlationId = 'compiled';
    await d.publish({ correlation_id: correlationId, student_id: 'student-1', topic: 'Photosynthesis' });
    const bridge = start('bridge/main.js');
    assert.equal(await bridge.ended, 0, bridge.output().slice(-600));

    const result = (await d.run(rowIdOf(correlationId)).result()) as { outcome: string };
    assert.equal(result.outcome, 'completed');
    await worker.says({ message: 'request progress', correlation_id: correlationId, progress: 'Completed' });
    // The SDK's own line: the worker loads the file, where it would bundle the sources without one.
    assert.match(worker.output(), /"workflowBundle":\{"codePath":"[^"]*dist\/workflow-bundle\.cjs"\}/);
    assert.equal(await worker.stop(), 0);
  });
});
