/** Letters are acked after their publish only, each is published once, and what cannot go stays. Pub/Sub in memory: it fails on demand. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { systemClock } from '../../../src/bridge/clock.ts';
import { dlqIdOfMessage } from '../../../src/contract/dead-letter.ts';
import type { Letter } from '../../../src/letters/letter.ts';
import { replay, type PublisherApi } from '../../../src/letters/publish.ts';
import { settle, type Settled } from '../../../src/letters/settle.ts';
import { show } from '../../../src/letters/show.ts';
import { FakePubsub, GrpcError } from '../../support/fake-pubsub.ts';
import { recordingLog } from '../../support/log-lines.ts';

const TOPIC = 'projects/p/topics/requests';
const UNAVAILABLE = 14;
const INVALID_ARGUMENT = 3;

type Published = Parameters<PublisherApi['publish']>[0]['messages'][number];

const dlqIdOf = (name: string): string => createHash('sha256').update(name).digest('hex');

class World {
  readonly pubsub = new FakePubsub();
  readonly published: Published[] = [];
  /** What the next publishes of a body end with. */
  readonly refusals = new Map<string, number>();
  readonly said: string[] = [];
  readonly stop = new AbortController();
  onPublished: (messageId: string) => void = () => undefined;

  readonly deps = {
    subscriber: this.pubsub,
    subscription: 'projects/p/subscriptions/letters',
    silentMs: 60,
    clock: systemClock,
    log: recordingLog().log,
  };

  readonly publisher: PublisherApi = {
    publish: ({ messages }, { isBundling }) => {
      assert.equal(isBundling, false, 'one request for each, or all are told the same ids');
      const [message] = messages;
      assert.ok(message, 'one message');
      const code = this.refusals.get(String(message.data));
      if (code !== undefined) return Promise.reject(new GrpcError(code));
      this.pubsub.journal.push(`publish ${String(message.data)}`);
      this.published.push(message);
      const messageId = `request-${String(this.published.length)}`;
      this.onPublished(messageId);
      return Promise.resolve([{ messageIds: [messageId] }]);
    },
  };

  letter(id: string, attributes: Record<string, string> = {}): string {
    return this.pubsub.send(Buffer.from(id), { dlq_id: dlqIdOf(id), dlq_reason: 'generation_failed', ...attributes });
  }

  settle(choice: { who?: string[]; limit?: number } = {}, { look = false } = {}): Promise<Settled> {
    return settle(
      this.deps,
      { who: [], reason: null, limit: 1_000, ...choice },
      {
        each: look ? null : (letter) => replay(this.publisher, TOPIC, letter, systemClock),
        onDone: ({ body }: Letter, messageId) => this.said.push(`${String(body)} ${String(messageId)}`),
        onRefused: ({ body }: Letter) => this.said.push(`${String(body)} refused`),
      },
      this.stop.signal,
    );
  }
}

const counts = ({ walked, ...rest }: Settled): unknown => ({ walked: walked.kind, ...rest });
const NONE = { done: 0, copies: 0, refused: 0, notAcked: 0, cameBack: 0 };

describe('replaying letters', () => {
  let world: World;
  beforeEach(() => (world = new World()));

  it('publishes, and acks after that', async () => {
    world.letter('a');
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'read', done: 1 });
    const order = world.pubsub.journal.filter((call) => /^(publish|acknowledge)/.test(call));
    assert.deepEqual(order, ['publish a', 'acknowledge ack-1-1']);
    assert.deepEqual(world.pubsub.waiting(), []);
  });

  it('what is not chosen goes back', async () => {
    world.letter('letter-a');
    const other = world.letter('letter-b');
    const stray = world.pubsub.send(Buffer.from('no letter'));
    assert.deepEqual(counts(await world.settle({ who: [dlqIdOf('letter-a')] })), { ...NONE, walked: 'read', done: 1 });
    assert.deepEqual(world.pubsub.waiting(), [other, stray]);
    assert.deepEqual(world.pubsub.leased(), [], 'nothing is held any more');
  });

  it('two that share a word that is no id of ours are two', async () => {
    for (const dlqId of ['', 'x']) {
      world.letter('a', { dlq_id: dlqId });
      world.letter('b', { dlq_id: dlqId });
    }
    const who = world.pubsub.waiting().map((messageId) => dlqIdOfMessage(world.deps.subscription, messageId));
    assert.deepEqual(counts(await world.settle({ who })), { ...NONE, walked: 'read', done: 4 });
  });

  it('a copy is acked, and not published again: in one answer and in two', async () => {
    for (let n = 0; n < 2; n += 1) world.letter('a');
    world.onPublished = () => world.letter('a');
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'read', done: 1, copies: 2 });
    assert.equal(world.published.length, 1);
    assert.deepEqual(world.pubsub.waiting(), []);
  });

  it('a letter that comes back at once is not sent in a circle', async () => {
    world.letter('a');
    const back: string[] = [];
    world.onPublished = (messageId) => back.push(world.letter('a again', { dlq_message_id: messageId }));
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'read', done: 1, cameBack: 1 });
    assert.equal(world.published.length, 1);
    assert.deepEqual(world.pubsub.waiting(), back);
  });

  it('a letter that Pub/Sub refuses stays, and the others go', async () => {
    const bad = world.letter('bad');
    world.letter('good');
    world.refusals.set('bad', INVALID_ARGUMENT);
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'read', done: 1, refused: 1 });
    assert.deepEqual(world.said, ['bad refused', 'good request-1']);
    assert.deepEqual(world.pubsub.waiting(), [bad]);
  });

  it('an outage of the topic ends it; what was published beside is acked, and nothing else', async () => {
    const bad = world.letter('bad');
    world.letter('good');
    world.refusals.set('bad', UNAVAILABLE);
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'outage', done: 1 });
    assert.deepEqual(world.pubsub.waiting(), [bad]);
  });

  it('an ack that fails is told, and its letter stays', async () => {
    const kept = world.letter('a');
    world.pubsub.fail('acknowledge', INVALID_ARGUMENT);
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'read', done: 1, notAcked: 1 });
    assert.deepEqual(world.pubsub.waiting(), [kept]);
  });

  it('a look publishes and acks nothing', async () => {
    const ids = [world.letter('a'), world.letter('b')];
    assert.deepEqual(counts(await world.settle({}, { look: true })), { ...NONE, walked: 'read', done: 2 });
    assert.deepEqual(world.published, []);
    assert.deepEqual(world.pubsub.waiting(), ids);
    assert.deepEqual(world.pubsub.leased(), []);
  });

  it('takes no more than the limit', async () => {
    const ids = ['a', 'b', 'c'].map((id) => world.letter(id));
    assert.deepEqual(counts(await world.settle({ limit: 2 })), { ...NONE, walked: 'enough', done: 2 });
    assert.deepEqual(world.pubsub.waiting(), ids.slice(2));
  });

  it('a signal ends it after what is under way, and gives back the rest', async () => {
    world.pubsub.batchLimit = 1;
    world.letter('a');
    const rest = world.letter('b');
    world.onPublished = () => world.stop.abort();
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'stopped', done: 1 });
    assert.deepEqual(world.pubsub.waiting(), [rest]);
    assert.deepEqual(world.pubsub.leased(), []);
  });

  it('a subscription that does not answer is an outage, soon; an empty one is not', async () => {
    world.pubsub.fail('pull', UNAVAILABLE);
    assert.equal((await world.settle()).walked.kind, 'outage');
    world.pubsub.heal();
    assert.equal((await world.settle()).walked.kind, 'read');
  });

  it('an answer without an id is no publish', async () => {
    const kept = world.letter('a');
    world.publisher.publish = () => Promise.resolve([{ messageIds: [] }]);
    assert.deepEqual(counts(await world.settle()), { ...NONE, walked: 'read', refused: 1 });
    assert.deepEqual(world.pubsub.waiting(), [kept]);
  });
});

describe('showing letters', () => {
  it('shows each once, with its copies, what is no letter too, and gives all back', async () => {
    const world = new World();
    const ids = [world.letter('a'), world.letter('a'), world.pubsub.send(Buffer.from('no letter'))];
    const { signal } = world.stop;
    const { walked, shown } = await show(world.deps, { who: [], reason: null, limit: 10 }, { bodies: false }, signal);
    assert.equal(walked.kind, 'read');
    assert.deepEqual(
      shown.map(({ letter, copies }) => [letter.reason, copies, letter.body.length]),
      [
        ['generation_failed', 2, 0],
        ['no_letter', 1, 0],
      ],
    );
    assert.deepEqual(world.pubsub.waiting(), ids);
    assert.deepEqual(world.pubsub.leased(), []);
  });

  it('shows no more than the limit, and says that there are more', async () => {
    const world = new World();
    for (const id of ['a', 'b']) world.letter(id);
    const choice = { who: [], reason: null, limit: 1 };
    const { walked, shown } = await show(world.deps, choice, { bodies: true }, world.stop.signal);
    assert.equal(walked.kind, 'enough');
    assert.deepEqual(
      shown.map(({ letter }) => String(letter.body)),
      ['a'],
    );
  });
});
