/**
 * A message that kills whoever parses it, among twenty good ones. The platform starts the bridge again each time; the
 * good ones get through within few deliveries, and Pub/Sub's own dead-letter policy, the backstop, takes the killer.
 */
import assert from 'node:assert/strict';
import { rowIdOf } from '../../src/contract/identity.ts';
import { faultsAsEnv } from '../../src/dev/faults.ts';
import { startDeployment, type Deployment, type Letter, type Running } from '../support/deployment.ts';
import { deliveryAttempts, requestFields } from '../support/e2e.ts';
import { brokenPromises, factsOf, openRuns } from '../support/kept-promise.ts';
import { startMediaProvider, type MediaProvider } from '../support/media-provider.ts';
import { SECRET_KEY } from '../support/provider-config.ts';
import { LEASE_SECONDS } from '../support/pubsub.ts';
import { waitFor } from '../support/wait-for.ts';

/** Pub/Sub's least; the product's own policy says 100. */
const MAX_DELIVERY_ATTEMPTS = 5;
const KILLER = 'kills-whoever-parses-it';
const GOOD = Array.from({ length: 20 }, (_, n) => `good-${String(n)}`);

describe('a message that kills the bridge', function () {
  this.timeout(20_000);
  let d: Deployment;
  let provider: MediaProvider;
  let killerId: string;
  const messageIds = new Map<string, string>();
  const bridges: Running[] = [];

  before(async function () {
    this.timeout(150_000);
    [d, provider] = await Promise.all([startDeployment(), startMediaProvider()]);
    const { project, client } = d.pubsub;
    // Without a retry policy: with one, the emulator delivers nothing again after the third lease that ran out.
    await client.subscription(d.names.subscription).delete();
    await client.topic(d.names.topic).createSubscription(d.names.subscription, {
      ackDeadlineSeconds: LEASE_SECONDS,
      deadLetterPolicy: {
        deadLetterTopic: `projects/${project}/topics/${d.names.deadLetterTopic}`,
        maxDeliveryAttempts: MAX_DELIVERY_ATTEMPTS,
      },
    });
    await d.worker({}, { GENERATOR: 'http', GENERATOR_URL: provider.config.url, SECRET_KEY });
    // In the midst of them: some stand before it in a batch, others behind.
    for (const id of GOOD.slice(0, 10)) await publish(id);
    killerId = await d.publish(requestFields(KILLER), { trace: KILLER });
    for (const id of GOOD.slice(10)) await publish(id);

    const platform = faultsAsEnv([{ point: 'bridge.pulled', key: KILLER, action: 'kill', times: 1_000 }]);
    while (forwarded() === undefined) {
      const bridge = d.bridge(['--follow'], platform);
      bridges.push(bridge);
      let dead = false;
      const ended = bridge.ended.then(() => (dead = true));
      await waitFor('the bridge is killed, or Pub/Sub takes the message away', () => dead || forwarded(), 40_000);
      if (forwarded() !== undefined) break;
      await ended;
    }
  });
  after(async () => {
    await d.stop();
    await provider.stop();
  });

  async function publish(id: string): Promise<void> {
    messageIds.set(id, await d.publish(requestFields(id, { requested_modalities: ['text'] })));
  }

  /** Pub/Sub's own letter: the message as it was, with attributes of its own kind and none of ours. */
  function forwarded(): Letter | undefined {
    return d.allLetters().find(({ attributes }) => attributes['trace'] === KILLER);
  }

  it('killed it, each time', async () => {
    const ends = await Promise.all(bridges.slice(0, MAX_DELIVERY_ATTEMPTS).map((bridge) => bridge.ended));
    assert.deepEqual(ends, Array<string>(MAX_DELIVERY_ATTEMPTS).fill('SIGKILL'));
  });

  it('every good one is completed once, by one run, within the deliveries that the killer was given', async () => {
    const rowIds = GOOD.map((id) => rowIdOf(id));
    const completed = (): Promise<unknown[]> =>
      d.query(`select from content_requests where id = any($1) and status = 'completed'`, [rowIds]);
    await waitFor('all are completed', async () => (await completed()).length === GOOD.length, 10_000);
    for (const id of GOOD) {
      const rowId = rowIdOf(id);
      const messageId = messageIds.get(id) ?? '';
      const facts = await factsOf(d, provider, rowId, [messageId]);
      assert.deepEqual(brokenPromises(facts, { status: 'completed', letter: null, calls: { [rowId]: 1 } }), [], id);
      const settled = bridges.flatMap((bridge) => deliveryAttempts(bridge, messageId)).map(Number);
      assert.equal(settled.length, 1, `${id} was settled at deliveries ${settled.join()}`);
      assert.ok(Math.max(...settled) <= MAX_DELIVERY_ATTEMPTS, settled.join());
    }
    assert.deepEqual(await openRuns(d), []);
  });

  it('and they had been taken along: nobody got through at the first delivery', () => {
    const first = bridges[0] ?? assert.fail('no bridge ran');
    assert.deepEqual(
      first.lines().filter(({ message }) => message === 'message settled'),
      [],
    );
  });

  it("the killer is with the subscription's own dead letters, and only it", async () => {
    const letter = forwarded() ?? assert.fail('it was never forwarded');
    assert.deepEqual(JSON.parse(letter.body.toString()), requestFields(KILLER));
    assert.ok(
      Object.keys(letter.attributes).some((name) => name.startsWith('CloudPubSubDeadLetter')),
      JSON.stringify(letter.attributes),
    );
    assert.equal(d.allLetters().length, 1, JSON.stringify(d.allLetters().map(({ attributes }) => attributes)));
    assert.equal(await d.row(rowIdOf(KILLER)), undefined);
    assert.ok(killerId !== '', 'it was published');
  });

  it('nothing is left in the subscription', async () => {
    assert.equal(await bridges.at(-1)?.stop(), 0);
    assert.deepEqual(await d.remaining(), []);
  });
});
