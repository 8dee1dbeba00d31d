/** What becomes of messages, over the emulator and over the fake: one suite, two subscribers. */
import assert from 'node:assert/strict';
import { dlqIdOfMessage } from '../../src/contract/dead-letter.ts';
import type { TopicApi } from '../../src/bridge/dead-letter.ts';
import { connectPubsub, type PubsubConnection } from '../../src/bridge/connect.ts';
import type { SubscriberApi } from '../../src/bridge/pull.ts';
import type { BridgeConfig } from '../../src/config.ts';
import { bridgeConfig, makeBridge, requestBody } from '../support/bridge.ts';
import { emulatorClient } from '../../src/dev/pubsub-emulator.ts';
import { FakePubsub, type Letter } from '../support/fake-pubsub.ts';
import { FakeTemporal } from '../support/fake-temporal.ts';
import { startTestPubsub, type TestPubsub } from '../support/pubsub.ts';

interface Harness {
  readonly pubsub: { readonly subscriber: SubscriberApi; readonly topic: TopicApi };
  /** Acks and publishes in their order. */
  readonly journal: string[];
  readonly config: Partial<BridgeConfig>;
  send(data: Buffer, attributes?: Record<string, string>): Promise<string>;
  /** Dead letters that have arrived; waits for `count`. */
  letters(count: number): Promise<readonly Letter[]>;
  /** Message ids that the subscription still holds; waits for `count` of them. */
  waiting(count: number): Promise<readonly string[]>;
}

let emulator: TestPubsub | null = null;
const open: PubsubConnection[] = [];

const HARNESSES: Record<string, () => Promise<Harness>> = {
  fake: () => {
    const fake = new FakePubsub();
    return Promise.resolve({
      pubsub: { subscriber: fake, topic: fake },
      journal: fake.journal,
      config: {},
      send: (data, attributes) => Promise.resolve(fake.send(data, attributes)),
      letters: () => Promise.resolve(fake.letters),
      waiting: () => Promise.resolve(fake.waiting()),
    });
  },
  emulator: async () => {
    assert.ok(emulator);
    const { client, subscriber, project } = emulator;
    const names = await emulator.resources();
    const journal: string[] = [];
    const connected = await connectPubsub(
      bridgeConfig({ ...names, project }),
      emulatorClient(emulator.emulator.host, project),
    );
    open.push(connected);
    const full = (name: string): string => `projects/${project}/subscriptions/${name}`;
    const collect = async (name: string, count: number): Promise<{ id: string; letter: Letter }[]> => {
      const found: { id: string; letter: Letter }[] = [];
      // Empty answers after what was expected prove that there is no more.
      for (let empties = 0; found.length < count ? empties < 60 : empties < 2;) {
        const [answer] = await subscriber.pull({ subscription: full(name), maxMessages: 100 }, { timeout: 1_500 });
        const received = answer.receivedMessages ?? [];
        empties = received.length === 0 ? empties + 1 : 0;
        for (const { message } of received) {
          const data = Buffer.from(message?.data as Uint8Array);
          found.push({ id: message?.messageId ?? '', letter: { data, attributes: { ...message?.attributes } } });
        }
      }
      return found;
    };
    return {
      journal,
      config: {
        project,
        topic: names.topic,
        subscription: names.subscription,
        deadLetterTopic: names.deadLetterTopic,
        // The emulator answers an empty poll one second before the deadline.
        pullTimeoutMs: 1_300,
        idleWindowMs: 900,
      },
      pubsub: {
        subscriber: {
          ...connected.subscriber,
          acknowledge: (request, limits) => {
            journal.push(`acknowledge ${request.ackIds.join(',')}`);
            return connected.subscriber.acknowledge(request, limits);
          },
        },
        topic: {
          publishMessage: (message) => {
            journal.push(`publish ${message.attributes['dlq_message_id'] ?? ''}`);
            return connected.letterTopic.publishMessage(message);
          },
        },
      },
      send: (data, attributes) => client.topic(names.topic).publishMessage({ data, ...(attributes && { attributes }) }),
      letters: async (count) => (await collect(names.deadLetterSubscription, count)).map(({ letter }) => letter),
      waiting: async (count) => (await collect(names.subscription, count)).map(({ id }) => id).sort(),
    };
  },
};

for (const [name, make] of Object.entries(HARNESSES)) {
  describe(`settling, on the ${name}`, function () {
    this.timeout(60_000);
    let harness: Harness;
    let temporal: FakeTemporal;

    before(async () => {
      if (name === 'emulator') emulator = await startTestPubsub();
    });
    after(async () => {
      for (const connection of open.splice(0)) await connection.close();
      if (name === 'emulator') await emulator?.stop();
    });
    beforeEach(async () => {
      harness = await make();
      temporal = new FakeTemporal();
    });

    const drain = (overrides: Partial<BridgeConfig> = {}) => {
      const made = makeBridge(harness.pubsub, temporal, { ...harness.config, ...overrides });
      return made.bridge.run().then((summary) => ({ ...made, summary }));
    };

    it('starts each request once, acks it, and ends as drained', async () => {
      for (let n = 0; n < 70; n += 1) await harness.send(requestBody(`c${String(n)}`), { trace: 't' });
      const { summary } = await drain();
      assert.deepEqual(
        { reason: summary.exitReason, code: summary.exitCode, started: summary.started, acked: summary.acked },
        { reason: 'drained', code: 0, started: 70, acked: 70 },
      );
      assert.equal(temporal.runs.size, 70);
      assert.ok(temporal.mostInFlight <= 32);
      assert.deepEqual(await harness.waiting(0), []);
      const [input] = temporal.runs.values();
      assert.ok(input);
      assert.deepEqual(input.source.attributes, { trace: 't' });
      assert.match(input.source.publishTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    });

    it('delivers each poison message once, with a letter that explains it (incident: nack loop)', async () => {
      const bodies = [
        Buffer.from('not json'),
        Buffer.from([0xff, 0xfe, 0x00]),
        Buffer.from('[]'),
        requestBody('known', { student_id: null }),
        Buffer.alloc(512 * 1024 + 1, 0x20),
      ];
      const ids: string[] = [];
      for (const body of bodies) ids.push(await harness.send(body, { origin: 'api' }));
      const { summary } = await drain();
      assert.equal(summary.exitReason, 'drained');
      assert.equal(summary.pulled, bodies.length);
      assert.deepEqual(summary.deadLettered, {
        not_json: 1,
        not_utf8: 1,
        not_an_object: 1,
        invalid_fields: 1,
        too_large: 1,
      });
      const letters = await harness.letters(bodies.length);
      assert.equal(letters.length, bodies.length);
      for (const [n, id] of ids.entries()) {
        const letter = letters.find(({ attributes }) => attributes['dlq_message_id'] === id);
        assert.ok(letter, `letter of message ${id}`);
        assert.deepEqual(letter.data, bodies[n], 'body byte for byte');
        assert.equal(letter.attributes['origin'], 'api');
        assert.equal(letter.attributes['dlq_source'], 'bridge');
        assert.equal(letter.attributes['dlq_stage'], 'validation');
        assert.equal(letter.attributes['dlq_attempts'], '0');
        const subscription = `projects/test-project/subscriptions/${harness.config.subscription ?? 'sub'}`;
        assert.equal(letter.attributes['dlq_id'], dlqIdOfMessage(subscription, id));
      }
      assert.deepEqual(await harness.waiting(0), []);
      assert.deepEqual(
        temporal.rejections.map(({ lookup }) => lookup),
        [{ correlationId: 'known' }],
        'only the message whose identity could be read is rejected by name',
      );
    });

    it('sends a letter for other content under the same id, and none for the same content', async () => {
      await harness.send(requestBody('c1'));
      await drain();
      await harness.send(requestBody('c1'));
      const conflicting = await harness.send(requestBody('c1', { topic: 'Volcanoes' }));
      const { summary } = await drain();
      assert.deepEqual(
        { duplicate: summary.duplicate, started: summary.started, letters: summary.deadLettered },
        { duplicate: 1, started: 0, letters: { conflicting_duplicate: 1 } },
      );
      const [letter] = await harness.letters(1);
      assert.equal(letter?.attributes['dlq_message_id'], conflicting);
      assert.equal(letter.attributes['correlation_id'], 'c1');
      assert.match(letter.attributes['dlq_workflow_id'] ?? '', /^content-request\//);
      assert.deepEqual(await harness.waiting(0), []);
    });

    it('publishes the letter before it acks', async () => {
      await harness.send(Buffer.from('not json'));
      await drain();
      const calls = harness.journal.map((line) => line.split(' ')[0]);
      assert.ok(calls.includes('publish') && calls.includes('acknowledge'));
      assert.ok(calls.indexOf('publish') < calls.indexOf('acknowledge'));
    });

    it('acks nothing and sends no letter while Temporal is down; gives back and exits 3', async () => {
      temporal.trouble = { kind: 'outage', error: 'unavailable' };
      const ids = await Promise.all([harness.send(requestBody('c1')), harness.send(requestBody('c2'))]);
      const { summary } = await drain();
      assert.deepEqual(
        { reason: summary.exitReason, code: summary.exitCode, acked: summary.acked, back: summary.givenBack },
        { reason: 'temporal_unavailable', code: 3, acked: 0, back: 2 },
      );
      assert.deepEqual(await harness.letters(0), []);
      assert.deepEqual(await harness.waiting(2), ids.sort());
      assert.ok(!harness.journal.some((line) => line.startsWith('acknowledge') || line.startsWith('publish')));
    });

    it('gives back and exits 2 when Temporal refuses our set-up', async () => {
      temporal.trouble = { kind: 'misconfigured', problem: 'search attribute is not registered' };
      await harness.send(requestBody('c1'));
      const { summary } = await drain();
      assert.equal(summary.exitCode, 2);
      assert.equal(summary.detail, 'search attribute is not registered');
      assert.equal((await harness.waiting(1)).length, 1);
      assert.deepEqual(await harness.letters(0), []);
    });

    it('ends an empty drain soon after its idle window', async () => {
      const { summary, bridge } = await drain();
      assert.deepEqual([summary.exitReason, summary.pulled], ['drained', 0]);
      assert.equal(bridge.answers('pull'), true);
    });
  });
}
