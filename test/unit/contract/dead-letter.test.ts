import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  cutToBytes,
  deadLetterAttributes,
  dlqIdOfMessage,
  dlqIdOfRun,
  isLetter,
  PUBSUB_LIMITS,
  replayAttributes,
} from '../../../src/contract/dead-letter.ts';
import type { DeadLetter } from '../../../src/contract/workflow-io.ts';

const byteLength = (text: string): number => Buffer.byteLength(text, 'utf8');

function letter(attributes: Readonly<Record<string, string>>, other: Partial<DeadLetter> = {}): DeadLetter {
  return {
    dlqId: dlqIdOfMessage('sub', '17'),
    reason: 'invalid_fields',
    detail: 'topic must not be blank',
    source: 'bridge',
    stage: 'validation',
    attempts: 0,
    workflowId: null,
    runId: null,
    correlationId: null,
    time: '2026-01-02T03:04:05.000Z',
    message: { messageId: '17', publishTime: '2026-01-02T03:04:00.000Z', orderingKey: null, attributes },
    ...other,
  };
}

const OWN = {
  dlq_id: dlqIdOfMessage('sub', '17'),
  dlq_reason: 'invalid_fields',
  dlq_detail: 'topic must not be blank',
  dlq_source: 'bridge',
  dlq_stage: 'validation',
  dlq_attempts: '0',
  dlq_message_id: '17',
  dlq_publish_time: '2026-01-02T03:04:00.000Z',
  dlq_time: '2026-01-02T03:04:05.000Z',
  dlq_replay_count: '0',
};

/** Generous: the publish request as protobuf, with the longest names that a topic and its project can have. */
const requestBytes = (attributes: Readonly<Record<string, string>>, bodyBytes: number): number =>
  Object.entries(attributes).reduce(
    (sum, [key, value]) => sum + byteLength(key) + byteLength(value) + 9,
    bodyBytes + 10 + byteLength(`projects/${'p'.repeat(63)}/topics/${'t'.repeat(255)}`) + 3,
  );

describe('deadLetterAttributes', () => {
  it('tells the story beside the original attributes', () => {
    assert.deepEqual(deadLetterAttributes(letter({ student_id: 's', environment: 'dev' }), 10), {
      ...OWN,
      student_id: 's',
      environment: 'dev',
    });
  });

  it('names the run, the ordering key and the correlation_id where they are known', () => {
    const full = letter({}, { source: 'workflow', workflowId: 'w', runId: 'r', correlationId: 'c', attempts: 5 });
    const message = { ...full.message, orderingKey: 'o' };
    assert.deepEqual(deadLetterAttributes({ ...full, message }, 10), {
      ...OWN,
      dlq_source: 'workflow',
      dlq_attempts: '5',
      dlq_workflow_id: 'w',
      dlq_run_id: 'r',
      dlq_ordering_key: 'o',
      correlation_id: 'c',
    });
  });

  it('an original correlation_id stays while ours is unknown, and gives way when it is known', () => {
    assert.equal(deadLetterAttributes(letter({ correlation_id: 'theirs' }), 0)['correlation_id'], 'theirs');
    const known = letter({ correlation_id: 'theirs' }, { correlationId: 'ours' });
    assert.equal(deadLetterAttributes(known, 0)['correlation_id'], 'ours');
  });

  it("a replayed letter's first story is replaced whole", () => {
    const replayed = letter({ dlq_reason: 'too_large', dlq_run_id: 'old', dlq_anything: 'x', dlq_replay_count: '2' });
    assert.deepEqual(deadLetterAttributes(replayed, 0), { ...OWN, dlq_replay_count: '2' });
  });

  for (const [sent, counted] of [
    ['0', '0'],
    ['7', '7'],
    ['007', '7'],
    ['999999', '999999'],
    ['1000000', '0'],
    ['-1', '0'],
    ['1.5', '0'],
    ['1e3', '0'],
    [' 1', '0'],
    ['1\n', '0'],
    ['', '0'],
    ['٣', '0'],
  ] as const) {
    it(`replay count ${JSON.stringify(sent)} counts as ${counted}`, () => {
      assert.equal(deadLetterAttributes(letter({ dlq_replay_count: sent }), 0)['dlq_replay_count'], counted);
    });
  }

  it('drops keys that Pub/Sub refuses: goog in any case, empty, over 256 bytes', () => {
    const kept = { agoog: '1', goo: '2', ['k'.repeat(256)]: '3', ['é'.repeat(128)]: '4', x: '' };
    const dropped = {
      goog: '1',
      googclient_x: '2',
      GOOGLE: '3',
      '': '4',
      ['k'.repeat(257)]: '5',
      ['é'.repeat(129)]: '6',
    };
    assert.deepEqual(deadLetterAttributes(letter({ ...kept, ...dropped }), 0), { ...OWN, ...kept });
  });

  it('drops what Pub/Sub marks its own letters with: a publisher would hide the reason behind it', () => {
    const marked = letter({ CloudPubSubDeadLetterSourceSubscription: 'x', CloudPub: 'y' });
    assert.deepEqual(deadLetterAttributes(marked, 0), { ...OWN, CloudPub: 'y' });
  });

  it('__proto__ is just a key', () => {
    const attributes = JSON.parse('{"__proto__":"p","constructor":"c"}') as Record<string, string>;
    const result = deadLetterAttributes(letter(attributes), 0);
    assert.deepEqual(Object.getOwnPropertyDescriptor(result, '__proto__')?.value, 'p');
    assert.deepEqual(Object.getOwnPropertyDescriptor(result, 'constructor')?.value, 'c');
  });

  it('100 attributes at most, and the originals give way', () => {
    const originals = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${index}`, 'v']));
    const result = deadLetterAttributes(letter(originals), 0);
    assert.equal(Object.keys(result).length, 100);
    for (const [key, value] of Object.entries(OWN)) assert.equal(result[key], value, key);
    assert.equal(result['k89'], 'v');
    assert.equal(result['k90'], undefined);
  });

  it('values are cut at 1,024 bytes on a character boundary', () => {
    const result = deadLetterAttributes(letter({ long: `a${'🎓'.repeat(300)}` }, { detail: 'é'.repeat(513) }), 0);
    assert.equal(result['dlq_detail'], 'é'.repeat(512));
    assert.equal(result['long'], `a${'🎓'.repeat(255)}`);
  });

  it('a large original gives way to the body, a small one beside it stays', () => {
    const originals = { large: 'x'.repeat(1024), small: 'y' };
    const alone = requestBytes(deadLetterAttributes(letter({}), 0), 0);
    const body = PUBSUB_LIMITS.messageBytes - alone - 700;
    const result = deadLetterAttributes(letter(originals), body);
    assert.deepEqual(result, { ...OWN, small: 'y' });
    assert.deepEqual(deadLetterAttributes(letter(originals), body - 1024), { ...OWN, ...originals });
  });

  it('a body at the limit still gets the whole story: the backstop takes what Pub/Sub refuses', () => {
    assert.deepEqual(deadLetterAttributes(letter({ student_id: 's' }), PUBSUB_LIMITS.messageBytes), OWN);
  });

  it('whatever the originals are: within every limit, ours untouched, the input unchanged', () => {
    const key = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('goog', 'Goog-x', 'dlq_id', '__proto__', 'correlation_id'),
    );
    const value = fc.oneof(fc.string({ unit: 'binary', maxLength: 600, size: 'max' }), fc.string());
    const originals = fc.dictionary(key, value, { maxKeys: 130, size: 'max' });
    const room = fc.integer({ min: 0, max: 40_000 });
    fc.assert(
      fc.property(originals, fc.string({ unit: 'binary', size: 'large' }), room, (attributes, detail, free) => {
        const before = JSON.stringify(attributes);
        const own = deadLetterAttributes(letter({}, { detail, correlationId: 'c' }), 0);
        const body = PUBSUB_LIMITS.messageBytes - requestBytes(own, 0) - 600 - free;
        const result = deadLetterAttributes(letter(attributes, { detail, correlationId: 'c' }), body);
        assert.ok(Object.keys(result).length <= PUBSUB_LIMITS.attributes);
        assert.ok(requestBytes(result, body) <= PUBSUB_LIMITS.messageBytes);
        for (const [name, text] of Object.entries(result)) {
          assert.ok(byteLength(name) >= 1 && byteLength(name) <= PUBSUB_LIMITS.keyBytes);
          assert.ok(byteLength(text) <= PUBSUB_LIMITS.valueBytes);
          assert.ok(!name.toLowerCase().startsWith('goog'));
        }
        for (const [name, text] of Object.entries(own)) {
          if (name !== 'dlq_replay_count') assert.equal(result[name], text, name);
        }
        assert.equal(JSON.stringify(attributes), before);
      }),
      // Unshrunk, as a dictionary of 130 long texts takes minutes.
      { numRuns: 200, endOnFailure: true },
    );
  });
});

describe('cutToBytes', () => {
  const sample = fc.string({ unit: fc.constantFrom('a', 'é', '€', '🎓', '\ufeff', '\u0301') });
  const limit = fc.integer({ min: 0, max: 40 });
  const isLongestPrefix = (cut: (text: string, maxBytes: number) => string) =>
    fc.property(sample, limit, (text, maxBytes) => {
      const result = cut(text, maxBytes);
      const next = [...text][[...result].length];
      return (
        text.startsWith(result) &&
        byteLength(result) <= maxBytes &&
        (next === undefined || byteLength(result + next) > maxBytes)
      );
    });

  it('gives the longest prefix of whole characters that fits', () => {
    fc.assert(isLongestPrefix(cutToBytes), { numRuns: 1000 });
  });

  it('twin: a cut by UTF-16 units, or through a character, is seen', () => {
    const byUnits = (text: string, maxBytes: number): string => text.slice(0, maxBytes);
    const through = (text: string, maxBytes: number): string => Buffer.from(text).subarray(0, maxBytes).toString();
    assert.ok(fc.check(isLongestPrefix(byUnits), { numRuns: 1000 }).failed);
    assert.ok(fc.check(isLongestPrefix(through), { numRuns: 1000 }).failed);
  });

  it('never gives half a surrogate pair on', () => {
    assert.equal(cutToBytes('a\ud83c', 10), 'a\ufffd');
    assert.equal(cutToBytes('a\ud83c', 3), 'a');
    assert.equal(cutToBytes('\ufeffabc', 4), '\ufeffa');
  });
});

describe('dlq_id', () => {
  it('is stable: consumers that have seen a letter know it again', () => {
    // printf 'sub\n17' | sha256sum
    assert.equal(dlqIdOfMessage('sub', '17'), SUB_17);
    assert.equal(dlqIdOfRun('sub', '17'), SUB_17);
  });

  it('differs for another subscription, message or run', () => {
    const ids = [dlqIdOfMessage('s', '1'), dlqIdOfMessage('s', '2'), dlqIdOfMessage('s2', '1'), dlqIdOfRun('w', 'r')];
    assert.equal(new Set(ids).size, ids.length);
  });
});

const SUB_17 = '45389f69a5acb1b5235819187ff5bfa3de5cdc68d84f28135bf0c8aa90fbe734';

describe('replayAttributes', () => {
  const FORWARDED = { CloudPubSubDeadLetterSourceDeliveryCount: '100' };

  it('keeps everything, counts the replay, and says by dlq_id that it is one', () => {
    const sent = deadLetterAttributes(letter({ environment: 'dev' }), 10);
    assert.deepEqual(replayAttributes(sent, OWN.dlq_id), { ...sent, dlq_replay_count: '1' });
    assert.equal(replayAttributes({ ...sent, dlq_replay_count: '41' }, OWN.dlq_id)['dlq_replay_count'], '42');
    assert.equal(replayAttributes({ ...sent, dlq_replay_count: '999999' }, OWN.dlq_id)['dlq_replay_count'], '999999');
    assert.equal(replayAttributes({ ...sent, dlq_replay_count: 'many' }, OWN.dlq_id)['dlq_replay_count'], '1');
  });

  it('the next letter counts it, and replaces the story', () => {
    const again = letter(replayAttributes(deadLetterAttributes(letter({ environment: 'dev' }), 10), 'old'), {
      dlqId: 'new',
      detail: 'another',
    });
    assert.deepEqual(deadLetterAttributes(again, 10), {
      ...OWN,
      dlq_id: 'new',
      dlq_detail: 'another',
      dlq_replay_count: '1',
      environment: 'dev',
    });
  });

  it("leaves out what Pub/Sub's own policy has added, and gives its letter an id", () => {
    const replayed = replayAttributes({ ...FORWARDED, environment: 'dev' }, 'by-its-own-id');
    assert.deepEqual(replayed, { environment: 'dev', dlq_id: 'by-its-own-id', dlq_replay_count: '1' });
  });

  it('stays within 100 attributes; the originals give way', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${String(index)}`, 'v']));
    const replayed = replayAttributes({ ...FORWARDED, ...many }, 'id');
    assert.equal(Object.keys(replayed).length, PUBSUB_LIMITS.attributes);
    assert.equal(replayed['dlq_id'], 'id');
  });

  it('a letter is known by its id or by what Pub/Sub adds, and a request is none', () => {
    assert.equal(isLetter({ dlq_id: dlqIdOfRun('w', 'r') }), true);
    for (const id of ['', 'x', `${dlqIdOfRun('w', 'r')}\n`]) assert.equal(isLetter({ dlq_id: id }), false, id);
    assert.equal(isLetter(FORWARDED), true);
    assert.equal(isLetter({ environment: 'dev' }), false);
  });
});
