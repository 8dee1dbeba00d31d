/** `npm run letters` against a deployment: a letter is looked at, and replayed when its cause is mended; none is lost on the way. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { rowIdOf } from '../../src/contract/identity.ts';
import { faultsAsEnv } from '../../src/dev/faults.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import { EXIT_CODE, type End } from '../../src/letters/exit.ts';
import { startDeployment, startProcess, type Deployment, type Letter, type Running } from '../support/deployment.ts';
import { endOfRun, requestFields, soleLetter } from '../support/e2e.ts';
import { LEASE_SECONDS } from '../support/pubsub.ts';
import { waitFor } from '../support/wait-for.ts';

describe('letters', function () {
  this.timeout(180_000);
  let d: Deployment;
  const running: Running[] = [];
  let lettersBefore = 0;
  before(async () => {
    d = await startDeployment();
    // What a killed process held comes back after a lease: ten seconds of it are enough to wait for.
    await d.pubsub.client
      .subscription(d.names.deadLetterSubscription)
      .setMetadata({ ackDeadlineSeconds: LEASE_SECONDS });
  });
  beforeEach(() => {
    lettersBefore = d.allLetters().length;
  });
  afterEach(async () => {
    for (const each of running.splice(0)) await each.stop();
    // Each test finds the subscription empty.
    const subscription = `projects/${d.pubsub.project}/subscriptions/${d.names.deadLetterSubscription}`;
    for (let empty = false; !empty;) {
      const [{ receivedMessages }] = await d.pubsub.subscriber.pull(
        { subscription, maxMessages: 100, returnImmediately: true },
        { timeout: 10_000, retry: null },
      );
      const ackIds = (receivedMessages ?? []).map(({ ackId }) => ackId ?? '');
      empty = ackIds.length === 0;
      if (!empty) await d.pubsub.subscriber.acknowledge({ subscription, ackIds });
    }
  });
  after(() => d.stop());

  /** This test's letters so far: one for each of these messages. */
  function expectLetters(messageIds: readonly string[]): void {
    const sent = d.allLetters().slice(lettersBefore);
    assert.deepEqual(sent.map(({ attributes }) => attributes['dlq_message_id'] ?? '').sort(), [...messageIds].sort());
  }

  /** A few seconds of silence are the end of a queue that nobody else reads. */
  const WAIT = ['--wait-seconds', '3'];
  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Running => {
    const file = env['DEV_FAULTS'] === undefined ? 'src/letters/main.ts' : 'src/dev/letters.ts';
    return startProcess(path.join(projectRoot, file), args, { ...d.env, ...env });
  };
  async function ends(code: End, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const started = run(args, env);
    assert.equal(await started.ended, EXIT_CODE[code], started.output());
    return started.output();
  }
  async function follow(): Promise<Running> {
    const bridge = d.bridge(['--follow']);
    running.push(bridge);
    await bridge.says({ message: 'bridge polls' });
    return bridge;
  }
  /** A request that fails at its first try and would be completed at the next. */
  async function failedOnce(id: string): Promise<{ messageId: string; letter: Letter }> {
    running.push(await d.worker({ [id]: [{ kind: 'permanent', code: 'never' }, { kind: 'ok' }] }));
    const messageId = await d.publish(requestFields(id));
    const letter = await soleLetter(d, messageId, 'generation_failed');
    assert.equal((await endOfRun(d, rowIdOf(id))).status, 'FAILED');
    return { messageId, letter };
  }
  const completed = (id: string): Promise<unknown> =>
    waitFor(`${id} is completed`, async () => (await d.row(rowIdOf(id)))?.status === 'completed');

  it('the whole way: failed for good, shown, replayed, completed, and the letter is gone', async () => {
    const id = 'letters-way';
    await follow();
    const { messageId, letter } = await failedOnce(id);
    const dlqId = letter.attributes['dlq_id'] ?? '';

    const shown = await ends('done', ['show', ...WAIT]);
    for (const said of [dlqId.slice(0, 8), 'generation_failed', rowIdOf(id), id, messageId]) {
      assert.ok(shown.includes(said), `${said} in ${shown}`);
    }
    assert.match(shown, /^1 letter$/m);
    assert.doesNotMatch(shown, /Photosynthesis|student-1/, 'no word of the student');
    // Looking has taken nothing: it is there still, and jq can read it.
    const json = JSON.parse(await ends('done', ['show', '--json', '--body', ...WAIT])) as Record<string, unknown>;
    assert.deepEqual([json['dlq_id'], json['copies'], json['row_id']], [dlqId, 1, rowIdOf(id)]);
    assert.equal(json['body'], letter.body.toString('utf8'));

    const replayed = await ends('done', ['replay', rowIdOf(id), ...WAIT]);
    assert.match(replayed, /^replayed: .*, as message \d+$/m);
    await completed(id);
    assert.equal((await endOfRun(d, rowIdOf(id))).status, 'COMPLETED');
    assert.match(await ends('done', ['show', ...WAIT]), /^0 letters$/m);
    expectLetters([messageId]);
  });

  it('killed between publish and ack, the letter stays; replayed again it is a duplicate, and nothing is done twice', async () => {
    const id = 'letters-killed';
    const bridge = await follow();
    const { messageId } = await failedOnce(id);
    const killed = run(['replay', id, ...WAIT], faultsAsEnv([{ point: 'bridge.acking', action: 'kill' }]));
    assert.equal(await killed.ended, 'SIGKILL', killed.output());
    await completed(id);
    await endOfRun(d, rowIdOf(id));
    const row = await d.row(rowIdOf(id));

    // Its lease has to run out first.
    const again = await ends('done', ['replay', id, '--wait-seconds', String(LEASE_SECONDS + 3)]);
    const secondId = /as message (\d+)/.exec(again)?.[1] ?? '';
    await bridge.says({ messageId: secondId, outcome: 'duplicate', message: 'message settled' });
    assert.deepEqual(await d.row(rowIdOf(id)), row);
    assert.match(await ends('done', ['show', ...WAIT]), /^0 letters$/m);
    expectLetters([messageId]);
  });

  it('goes out byte for byte, with attributes and ordering key, and what comes back is not sent in a circle', async () => {
    await follow();
    const body = Buffer.from([0xff, 0x00, 0x22, 0x0a, 0xc3]);
    const topic = d.pubsub.client.topic(d.names.topic, { messageOrdering: true });
    const messageId = await topic.publishMessage({ data: body, attributes: { environment: 'dev' }, orderingKey: 'k' });
    const first = await soleLetter(d, messageId, 'not_utf8');
    assert.equal(first.attributes['dlq_ordering_key'], 'k');

    const output = await ends('done', ['replay', '--all', '--wait-seconds', '6']);
    assert.match(output, /^1 letter replayed$/m);
    assert.match(output, /^1 letter of these came back at once/m);
    const secondId = /as message (\d+)/.exec(output)?.[1] ?? '';
    const second = await soleLetter(d, secondId, 'not_utf8');
    assert.deepEqual(second.body, body);
    // The next letter tells its own story; all else is as it was.
    const told = new Set(['dlq_id', 'dlq_time', 'dlq_message_id', 'dlq_publish_time']);
    const kept = ({ attributes }: Letter): object =>
      Object.fromEntries(Object.entries(attributes).filter(([key]) => !told.has(key)));
    assert.deepEqual(kept(second), { ...kept(first), dlq_replay_count: '1' });
    for (const key of told) assert.notEqual(second.attributes[key], first.attributes[key], key);
    expectLetters([messageId, secondId]);
  });

  it('several at once: each has an id of its own, and each comes back once', async () => {
    await follow();
    const topic = d.pubsub.client.topic(d.names.topic);
    for (const n of [1, 2, 3]) {
      const messageId = await topic.publishMessage({ data: Buffer.from(`not json ${String(n)}`) });
      await soleLetter(d, messageId, 'not_json');
    }
    const output = await ends('done', ['replay', '--all', '--wait-seconds', '6']);
    const ids = [...output.matchAll(/as message (\d+)/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, 3, output);
    assert.match(output, /^3 letters replayed$/m);
    assert.match(output, /^3 letters of these came back at once/m);
    await ends('done', ['drop', '--reason', 'not_json', ...WAIT]);
  });

  it('says which it would replay; drops what nobody needs, and nothing else', async () => {
    await follow();
    const poison = await d.publish('not json');
    const invalid = await d.publish({ correlation_id: 'letters-drop', student_id: 's', topic: ' ' });
    await soleLetter(d, poison, 'not_json');
    await soleLetter(d, invalid, 'invalid_fields');
    assert.match(await ends('done', ['replay', '--all', '--dry-run', ...WAIT]), /^2 letters would be replayed$/m);
    const dropped = await ends('done', ['drop', '--reason', 'invalid_fields', ...WAIT]);
    assert.match(dropped, /^dropped: [0-9a-f]{8} \(invalid_fields, request /m);
    const left = await ends('done', ['show', ...WAIT]);
    assert.match(left, /not_json[^]*^1 letter$/m);
    assert.match(await ends('done', ['drop', poison, ...WAIT]), /^1 letter dropped$/m);
    assert.match(await ends('done', ['show', ...WAIT]), /^0 letters$/m);
    expectLetters([poison, invalid]);
  });

  it('a signal: what is under way ends, and what is held goes back at once', async () => {
    await follow();
    const chosen = await d.publish('not json');
    const other = await d.publish('[]');
    await soleLetter(d, chosen, 'not_json');
    await soleLetter(d, other, 'not_an_object');
    const faults = faultsAsEnv([{ point: 'bridge.acking', action: 'hold' }]);
    const held = run(['drop', chosen, '--wait-seconds', '60'], faults);
    await held.says({ message: 'fault point', point: 'bridge.acking' });
    held.kill('SIGTERM');
    held.kill('SIGUSR2');
    assert.equal(await held.ended, EXIT_CODE.stopped, held.output());
    // Before the lease of what it held could have run out.
    const left = await ends('done', ['show', ...WAIT]);
    assert.match(left, /not_an_object[^]*^1 letter$/m);
    assert.doesNotMatch(left, /not_json/);
  });

  it('what cannot be is said in a sentence, with an exit code of its own', async () => {
    assert.match(await ends('done', ['replay', '--all', ...WAIT]), /^0 letters replayed$/m);
    assert.match(await ends('nothing_matches', ['replay', 'nobody', ...WAIT]), /^no letter is what was asked for$/m);
    const nowhere = { PUBSUB_EMULATOR_HOST: '127.0.0.1:1' };
    assert.match(await ends('pubsub_unavailable', ['show', ...WAIT], nowhere), /^letters: .*ECONNREFUSED/m);
    const missing = { PUBSUB_DLQ_SUBSCRIPTION: 'no-such-subscription' };
    assert.match(await ends('configuration', ['show', ...WAIT], missing), /no-such-subscription does not exist/);
    for (const args of [['replay'], ['drop'], ['drop', '--all'], ['replay', '--all', 'x'], ['show', '--limit', '0']]) {
      assert.match(await ends('configuration', args), /^error: /m, args.join(' '));
    }
    assert.match(await ends('configuration', ['drop', '--reason', 'bad luck']), /Allowed choices are too_large/);
  });
});
