/** Health while database, Temporal and Pub/Sub fail: fixed words, and nothing of what has failed or where. */
import assert from 'node:assert/strict';
import { startDeployment, type Deployment } from '../support/deployment.ts';
import { askHealth } from '../support/e2e.ts';
import { startGateway, type Gateway } from '../support/e2e-gateway.ts';
import { waitFor } from '../support/wait-for.ts';

const NAME = /^(status|checks|service|version|polling|database|provider|temporal|pubsub|deadline)$/;
const WORD =
  /^(ok|failed|no answer|unreachable|unavailable|not asked yet|misconfigured|running|ready|not_ready|healthy|content-worker|0\.1\.0)$/;

/** Everything in the answer that is no fixed word. */
function strange(value: unknown): string[] {
  if (typeof value === 'string') return WORD.test(value) ? [] : [value];
  if (typeof value !== 'object' || value === null) return [String(value)];
  return Object.entries(value).flatMap(([name, inner]) => [...(NAME.test(name) ? [] : [name]), ...strange(inner)]);
}

describe('health, while everything fails', () => {
  let d: Deployment;
  let temporal: Gateway;
  let pubsub: Gateway;
  before(async () => {
    d = await startDeployment();
    [temporal, pubsub] = await Promise.all([startGateway(d.temporal.address), startGateway(d.pubsub.emulator.host)]);
  });
  after(async () => {
    await d.stop();
    await Promise.all([temporal.close(), pubsub.close()]);
  });

  it('tells words only', async () => {
    const more = { PORT: '0', TEMPORAL_ADDRESS: temporal.address, PUBSUB_EMULATOR_HOST: pubsub.address };
    const worker = await d.worker({}, more);
    const bridge = d.bridge(['--follow'], { ...more, BRIDGE_START_DEADLINE_MS: '500', BRIDGE_BREAKER_THRESHOLD: '1' });
    const ports = await Promise.all([
      worker.says({ message: 'worker polls' }),
      bridge.says({ message: 'bridge polls' }),
    ]).then((lines) => lines.map(({ healthPort }) => Number(healthPort)));
    for (const port of ports) {
      const ready = await waitFor('ready', async () => {
        const answer = await askHealth(port, '/health/ready');
        return answer.code === 200 && answer;
      });
      assert.deepEqual(strange(ready.body), []);
    }
    await d.postgres.stop();
    temporal.down();
    pubsub.down();
    for (const port of ports) {
      const failed = await waitFor('not ready', async () => {
        const answer = await askHealth(port, '/health/ready');
        return answer.code === 503 && answer;
      });
      assert.deepEqual(strange(failed.body), [], JSON.stringify(failed.body));
      assert.deepEqual(strange((await askHealth(port, '/health')).body), []);
    }
    await Promise.all([worker.stop(), bridge.stop()]);
  }).timeout(120_000);

  it('the twin: a host, a user and an error are strange', () => {
    const checks = { database: 'ECONNREFUSED 127.0.0.1:5432', temporal: 'ok', pubsub: 'postgres', user: 'ok' };
    assert.deepEqual(strange({ status: 'not_ready', checks }), ['ECONNREFUSED 127.0.0.1:5432', 'postgres', 'user']);
  });
});
