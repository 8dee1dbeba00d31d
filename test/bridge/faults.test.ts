/** Faults that the emulator cannot show: dead endpoints, deadlines as empty answers, failed acks, short batches. */
import assert from 'node:assert/strict';
import { PubSub } from '@google-cloud/pubsub';
import getPort from 'get-port';
import { connectPubsub } from '../../src/bridge/connect.ts';
import { SUSPECT_ATTEMPT } from '../../src/bridge/delivery.ts';
import { bridgeConfig, makeBridge, requestBody } from '../support/bridge.ts';
import { FakePubsub } from '../support/fake-pubsub.ts';
import { FakeTemporal } from '../support/fake-temporal.ts';
import { waitFor } from '../support/wait-for.ts';

describe('bridge under faults', function () {
  this.timeout(20_000);
  let fake: FakePubsub;
  let temporal: FakeTemporal;
  const make = (...rest: [Parameters<typeof makeBridge>[2]?, Parameters<typeof makeBridge>[3]?]) =>
    makeBridge({ subscriber: fake, topic: fake }, temporal, ...rest);

  beforeEach(() => {
    fake = new FakePubsub();
    temporal = new FakeTemporal();
  });

  it('takes DEADLINE_EXCEEDED for an empty answer where the service answers another call: exit 0', async () => {
    fake.emptyAs = 'deadline';
    const summary = await make().bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode], ['drained', 0]);
  });

  it('and where nothing answers, not: a silent service is no empty queue, exit 4, not ready', async () => {
    fake.emptyAs = 'deadline';
    fake.fail('getSubscription', 4);
    const { bridge } = make();
    const summary = await bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode], ['pubsub_unavailable', 4]);
    assert.equal(bridge.answers('pull'), false);
  });

  it('a right to pull without a right to look is answer enough', async () => {
    fake.emptyAs = 'deadline';
    fake.fail('getSubscription', 7);
    const summary = await make().bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode], ['drained', 0]);
  });

  it('never takes UNAVAILABLE for an empty answer: exit 4', async () => {
    fake.fail('pull', 14);
    const summary = await make().bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode], ['pubsub_unavailable', 4]);
  });

  it('ends with exit 4, not 0, on an endpoint where nobody listens', async () => {
    const port = await getPort({ host: '127.0.0.1' });
    const client = new PubSub({
      projectId: 'test-project',
      apiEndpoint: `127.0.0.1:${String(port)}`,
      emulatorMode: true,
    });
    const connected = await connectPubsub(bridgeConfig(), client);
    const { bridge } = makeBridge({ subscriber: connected.subscriber, topic: connected.letterTopic }, temporal);
    const summary = await bridge.run();
    await connected.close();
    assert.equal(summary.exitCode, 4);
  });

  it('rides out a short outage of Pub/Sub', async () => {
    fake.fail('pull', 14, 4);
    fake.send(requestBody('c1'));
    const summary = await make({ outageLimitMs: 5_000 }).bridge.run();
    assert.deepEqual([summary.exitCode, summary.started, fake.waiting()], [0, 1, []]);
  });

  it('exits 2 when the subscription does not exist, and names it', async () => {
    fake.fail('pull', 5);
    const summary = await make().bridge.run();
    assert.equal(summary.exitCode, 2);
    assert.match(summary.detail ?? '', /projects\/test-project\/subscriptions\/sub does not exist/);
  });

  it('tries a failed ack again, and nothing is delivered twice', async () => {
    fake.fail('acknowledge', 14, 2);
    fake.send(requestBody('c1'));
    const summary = await make().bridge.run();
    assert.deepEqual([summary.acked, summary.ackFailures, fake.waiting()], [1, 0, []]);
    assert.deepEqual([...fake.deliveries.values()], [1]);
  });

  it('finds the bad id in a batch of acks and acks the others', async () => {
    fake.fail('acknowledge', 3, 3);
    for (let n = 0; n < 4; n += 1) fake.send(requestBody(`c${String(n)}`));
    const summary = await make().bridge.run();
    assert.equal(summary.acked + summary.ackFailures, 4);
    assert.ok(summary.acked >= 2, `acked ${String(summary.acked)}`);
  });

  it('asks for no more than its free slots, and takes short answers as they come', async () => {
    fake.batchLimit = 3;
    for (let n = 0; n < 20; n += 1) fake.send(requestBody(`c${String(n)}`));
    const summary = await make({ concurrency: 4 }).bridge.run();
    assert.equal(summary.started, 20);
    const asked = fake.journal.filter((line) => line.startsWith('pull')).map((line) => Number(line.split(' ')[1]));
    assert.ok(Math.max(...asked) <= 4);
    assert.ok(temporal.mostInFlight <= 4);
  });

  it('acks nothing without a letter: the dead-letter topic is down, exit 4', async () => {
    fake.fail('publish', 14);
    const id = fake.send(Buffer.from('not json'));
    const summary = await make().bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode], ['pubsub_unavailable', 4]);
    assert.deepEqual(fake.waiting(), [id]);
    assert.deepEqual([summary.acked, summary.givenBack, fake.letters.length], [0, 1, 0]);
  });

  it('sends one letter per delivery though Temporal fails after it', async () => {
    temporal.trouble = { kind: 'outage', error: 'unavailable' };
    fake.send(requestBody('bad', { student_id: null }));
    const { bridge } = make({ outageLimitMs: 10_000 });
    const running = bridge.run();
    await waitFor('two attempts of the rejection', () => temporal.journal.length >= 2);
    temporal.trouble = null;
    const summary = await running;
    assert.deepEqual([summary.exitCode, fake.letters.length, temporal.rejections.length], [0, 1, 1]);
  });

  it('leaves a message whose letter is refused as too large to the native policy, with an error line', async () => {
    fake.fail('publish', 3);
    const id = fake.send(Buffer.from('not json'));
    const { bridge, lines } = make();
    const summary = await bridge.run();
    assert.deepEqual([summary.exitCode, summary.leftToBackstop, summary.acked], [0, 1, 0]);
    assert.deepEqual(fake.leased(), [id], 'neither acked nor nacked');
    assert.ok(lines.some((line) => line['level'] === 50 && String(line['msg']).includes('dead-letter policy')));
  });

  it('a message beside a run that has not decided: kept for a moment, given back; once it came often, left to its lease', async () => {
    const body = requestBody('c1');
    const first = fake.send(body);
    const { bridge, lines } = make({}, { follow: true });
    const running = bridge.run();
    await waitFor('a run', () => temporal.runs.size === 1);
    const [rowId = ''] = temporal.runs.keys();
    temporal.undecided.add(rowId);
    const again = fake.send(body);
    const said = (text: string): Record<string, unknown>[] =>
      lines.filter((line) => line['messageId'] === again && line['msg'] === text);
    const often = (line: Record<string, unknown>): boolean => Number(line['deliveryAttempt']) >= SUSPECT_ATTEMPT;
    await waitFor('it has come often', () => said('message settled').some(often));
    assert.ok(said('message kept; will try again').length > 0);
    assert.deepEqual(said('message kept; will try again').filter(often), [], 'nothing is pulled beside it meanwhile');
    assert.deepEqual([...new Set(said('message settled').map(({ outcome }) => outcome))], ['run-is-undecided']);
    bridge.stop('signal');
    const summary = await running;
    assert.deepEqual([summary.started, summary.duplicate, summary.acked, summary.leftToBackstop], [1, 0, 1, 0]);
    assert.deepEqual(fake.leased(), [again], 'neither acked nor nacked');
    assert.equal(fake.deliveries.get(first), 1);
  });

  it('stops pulling while Temporal is down, keeps what it holds, and goes on after', async () => {
    temporal.trouble = { kind: 'outage', error: 'unavailable' };
    fake.send(requestBody('c1'));
    const { bridge } = make({ outageLimitMs: 10_000 });
    const running = bridge.run();
    await waitFor('an open breaker', () => bridge.gates.state('temporal') === 'open');
    const later = fake.send(requestBody('c2'));
    await waitFor('a probe', () => temporal.journal.length >= 3);
    assert.ok(!fake.deliveries.has(later), 'not pulled during the outage');
    temporal.trouble = null;
    const summary = await running;
    assert.deepEqual([summary.exitCode, summary.started], [0, 2]);
    assert.deepEqual([...fake.deliveries.values()], [1, 1], 'no delivery attempt was lost');
  });

  it('never ends for an outage with --follow', async () => {
    temporal.trouble = { kind: 'outage', error: 'unavailable' };
    fake.send(requestBody('c1'));
    const { bridge } = make({ outageLimitMs: 1 }, { follow: true });
    const running = bridge.run();
    await waitFor('three attempts beyond the limit', () => temporal.journal.length >= 3);
    temporal.trouble = null;
    await waitFor('the ack', () => fake.waiting().length === 0);
    bridge.stop('signal');
    const summary = await running;
    assert.deepEqual([summary.exitReason, summary.exitCode, summary.started], ['signal', 0, 1]);
  });

  it('finishes what it can at a signal and gives back what never began', async () => {
    let release = (): void => undefined;
    temporal.hold = new Promise((resolve) => (release = resolve));
    for (let n = 0; n < 3; n += 1) fake.send(requestBody(`c${String(n)}`));
    const { bridge } = make({ concurrency: 2 });
    const running = bridge.run();
    await waitFor('two starts', () => temporal.inFlight === 2);
    bridge.stop('signal');
    release();
    const summary = await running;
    assert.deepEqual([summary.exitCode, summary.started, summary.acked, summary.givenBack], [0, 2, 2, 0]);
    assert.deepEqual(fake.waiting(), ['3']);
    assert.ok(!fake.deliveries.has('3'));
  });

  it('gives back at a second signal though a start hangs', async () => {
    temporal.hold = new Promise(() => undefined);
    fake.send(requestBody('c1'));
    const { bridge } = make({ shutdownMs: 9_000 });
    const running = bridge.run();
    await waitFor('a start', () => temporal.inFlight === 1);
    bridge.stop('signal');
    bridge.leaveNow();
    const summary = await running;
    assert.deepEqual([summary.exitCode, summary.givenBack, summary.acked], [0, 1, 0]);
    assert.deepEqual(fake.waiting(), ['1']);
  });

  it('handles messages of many attempts alone', async () => {
    for (let n = 0; n < 6; n += 1) fake.send(requestBody(`c${String(n)}`));
    for (let round = 0; round < 3; round += 1) {
      const pulled = await fake.pull({ maxMessages: 6 }, { timeout: 1, retry: null }, new AbortController().signal);
      const ackIds = pulled[0].receivedMessages.map(({ ackId }) => ackId ?? '');
      await fake.modifyAckDeadline({ ackIds, ackDeadlineSeconds: 0 });
    }
    const summary = await make().bridge.run();
    assert.equal(summary.started, 6);
    assert.equal(temporal.mostInFlight, 1);
    // Each is acked before the next begins: one that kills the process has nobody's ack in its hands.
    const acks = fake.journal.filter((line) => line.startsWith('acknowledge'));
    assert.equal(acks.length, 6, acks.join());
  });

  it('raises the alarm once, goes on with healthy messages, and exits 5', async () => {
    for (let n = 0; n < 30; n += 1) fake.send(Buffer.from('not json'));
    fake.send(requestBody('healthy'));
    const { bridge, lines } = make();
    const summary = await bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode, summary.started], ['drained', 5, 1]);
    assert.equal(lines.filter((line) => String(line['msg']).includes('schema')).length, 1);
  });

  it('stops at the alarm with BRIDGE_REJECT_STOP', async () => {
    for (let n = 0; n < 60; n += 1) fake.send(Buffer.from('not json'));
    const summary = await make({ rejectStop: true, concurrency: 5 }).bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode], ['reject_alarm', 5]);
    assert.ok(fake.waiting().length > 0, 'the rest stays');
    assert.equal(fake.letters.length + fake.waiting().length >= 60, true);
  });

  it('has no limit of time with --follow', async () => {
    const { bridge } = make({ maxRuntimeMs: 1 }, { follow: true });
    const running = bridge.run();
    await waitFor('three polls', () => fake.journal.filter((line) => line.startsWith('pull')).length >= 3);
    bridge.stop('signal');
    assert.equal((await running).exitReason, 'signal');
  });

  it('ends at its limits of time and messages with exit 0', async () => {
    for (let n = 0; n < 5; n += 1) fake.send(requestBody(`c${String(n)}`));
    const first = await make({ maxMessages: 3 }).bridge.run();
    assert.deepEqual([first.exitReason, first.exitCode, first.started], ['max_messages', 0, 3]);
    const second = await make({ maxRuntimeMs: 0 }).bridge.run();
    assert.deepEqual([second.exitReason, second.exitCode, second.pulled], ['max_runtime', 0, 0]);
  });

  it('stays while letters of runs come, and for a backlog the server knows of', async () => {
    let asked = 0;
    const { bridge, letters } = make({}, { letterBacklog: () => Promise.resolve((asked += 1) === 1 ? 7 : 0) });
    const end = letters.begin();
    const running = bridge.run();
    await waitFor('an idle subscription', () => fake.journal.filter((line) => line.startsWith('pull')).length >= 6);
    assert.equal(bridge.live, true);
    end();
    const summary = await running;
    assert.equal(summary.exitReason, 'drained');
    assert.equal(asked, 2);
  });

  it('gives back what a bug leaves in hand, and exits 1', async () => {
    fake.send(requestBody('c1'));
    temporal.start = () => Promise.reject(new TypeError('a bug'));
    const summary = await make().bridge.run();
    assert.deepEqual([summary.exitReason, summary.exitCode, fake.waiting()], ['unexpected', 1, ['1']]);
    assert.match(summary.detail ?? '', /a bug/);
  });

  it('puts what it logs of a message into the trace of its publisher, by correlation_id', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    fake.send(requestBody('c1'), { googclient_traceparent: traceparent });
    const { bridge, lines } = make({ log: { level: 'info', format: 'json', project: 'p' } });
    await bridge.run();
    const started = lines.find((line) => line['correlation_id'] === 'c1');
    assert.equal(started?.['logging.googleapis.com/trace'], `projects/p/traces/${'a'.repeat(32)}`);
  });

  it('logs no student text and no student id', async () => {
    fake.send(requestBody('c1', { student_id: 'SECRETSTUDENT', topic: 'SECRETTOPIC' }));
    fake.send(requestBody('c2', { student_id: 'SECRETSTUDENT', topic: 'SECRETTOPIC', grade_level: 99 }));
    const { bridge, lines } = make();
    await bridge.run();
    assert.ok(lines.length > 0);
    assert.doesNotMatch(JSON.stringify(lines), /SECRET/);
  });
});
