import assert from 'node:assert/strict';
import fc from 'fast-check';
import { canonicalUuid } from '../../../src/contract/identity.ts';
import { parse, type ParsedMessage } from '../../../src/contract/message.ts';
import { MODALITIES } from '../../../src/contract/request.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const parseJson = (message: unknown): ParsedMessage => parse(encode(JSON.stringify(message)), {});

const VISIBLE = /[^\s\p{Cc}\p{Cf}]/u;
/**
 * The unit `binary` is any code point but surrogates, so the lengths here are code points by construction. Mostly
 * short: the limits are the examples' business, and a failure over 10,000 characters takes minutes to shrink.
 */
const text = (minLength: number, maxLength: number) =>
  fc.string({ unit: 'binary', minLength, maxLength }).filter((value) => !value.includes('\0'));
const visible = (maxLength: number) => text(1, maxLength).filter((value) => VISIBLE.test(value));
const anyCase = (value: string) =>
  fc.constantFrom(value, value.toUpperCase(), `${value.charAt(0).toUpperCase()}${value.slice(1)}`);
const modality = fc.constantFrom(...MODALITIES).chain(anyCase);
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });

/** Every notation that PostgreSQL reads, of one UUID. */
const notations = fc.uuid().chain((canonical) =>
  fc
    .record({
      hyphens: fc.array(fc.boolean(), { minLength: 7, maxLength: 7 }),
      upper: fc.boolean(),
      braces: fc.boolean(),
    })
    .map(({ hyphens, upper, braces }) => {
      const groups = canonical.replaceAll('-', '').match(/.{4}/g) ?? [];
      const joined = groups.map((group, index) => (hyphens[index] === true ? `${group}-` : group)).join('');
      const cased = upper ? joined.toUpperCase() : joined;
      return { canonical, notation: braces ? `{${cased}}` : cased };
    }),
);

const optional = {
  grade_level: orNull(fc.oneof(fc.integer({ min: 1, max: 12 }), text(1, 50))),
  learning_objective: orNull(text(1, 300)),
  duration_minutes: orNull(fc.integer({ min: 1, max: 2_147_483_647 })),
  organization_id: orNull(text(1, 100)),
  interest: orNull(text(0, 100)),
  environment: orNull(text(1, 50)),
  requested_modalities: orNull(fc.array(modality, { minLength: 1, maxLength: 8 })),
  preferred_modality: orNull(modality),
};
const validMessage = fc.record(
  { correlation_id: text(1, 64), student_id: text(1, 100), topic: visible(500), ...optional },
  { requiredKeys: ['correlation_id', 'student_id', 'topic'] },
);

const KNOWN_KEYS = [
  ...['request_id', 'correlation_id', 'student_id', 'student_query', 'topic', 'grade_level', 'learning_objective'],
  ...['duration_minutes', 'organization_id', 'interest', 'environment', 'requested_modalities', 'preferred_modality'],
];
/** JSON objects whose keys are often ours, so that the rules are reached and not only the key filter. */
const nearMessage = fc.dictionary(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...KNOWN_KEYS) },
    fc.string(),
    fc.constantFrom('__proto__', 'constructor'),
  ),
  fc.oneof(
    fc.jsonValue(),
    fc.uuid(),
    fc.integer({ min: 0, max: 13 }),
    fc.string({ unit: fc.constantFrom('a', '\0', '\ud800', '🎓') }),
  ),
);

describe('parse: properties', () => {
  it('any bytes never throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => assert.ok(parse(bytes, {}).kind)));
  });

  it('a valid message with any bytes changed never throws', () => {
    const change = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(validMessage, change, (message, changes) => {
        const bytes = encode(JSON.stringify(message));
        for (const [index, byte] of changes) bytes[index % bytes.length] = byte;
        assert.ok(parse(bytes, {}).kind);
      }),
    );
  });

  it('any JSON never throws and is read the same twice', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), nearMessage), (message) => {
        assert.deepEqual(parseJson(message), parseJson(message));
      }),
      { numRuns: 1000 },
    );
  });

  it('a valid message is accepted, and kept as sent', () => {
    fc.assert(
      fc.property(validMessage, (message) => {
        const result = parseJson(message);
        assert.ok(result.kind === 'request', result.kind === 'rejection' ? result.detail : '');
        assert.equal(result.request.correlationId, message.correlation_id);
        assert.equal(result.request.studentId, message.student_id);
        assert.equal(result.request.topic, message.topic);
        assert.equal(result.body, JSON.stringify(message));
      }),
      { numRuns: 500 },
    );
  });

  it('a redelivery, whatever the order and spacing of its keys, derives the same row and hash', () => {
    fc.assert(
      fc.property(validMessage, fc.array(fc.nat(), { minLength: 16, maxLength: 16 }), (message, order) => {
        const entries = Object.entries(message).map((entry, index) => ({ entry, rank: order[index] ?? 0 }));
        entries.sort((one, other) => one.rank - other.rank);
        const shuffled = Object.fromEntries(entries.map(({ entry }) => entry));
        const [first, again] = [parseJson(message), parse(encode(JSON.stringify(shuffled, null, 2)), {})];
        assert.ok(first.kind === 'request' && again.kind === 'request');
        assert.deepEqual(again.request, first.request);
        assert.equal(again.contentHash, first.contentHash);
      }),
    );
  });

  it("the plan's shape and the API's say the same when they say the same", () => {
    fc.assert(
      fc.property(
        notations,
        validMessage,
        fc.integer({ min: 1, max: 12 }),
        ({ canonical, notation }, message, grade) => {
          const { topic, requested_modalities, preferred_modality, ...shared } = message;
          const modalities = requested_modalities ?? ['video'];
          const preferred = preferred_modality ?? 'video';
          const api = parseJson({
            ...shared,
            request_id: notation,
            student_query: topic,
            grade_level: grade,
            requested_modalities: [...modalities, ...modalities].reverse(),
            preferred_modality: preferred.toUpperCase(),
          });
          const plan = parseJson({
            ...message,
            request_id: canonical,
            student_query: null,
            grade_level: String(grade),
          });
          assert.ok(api.kind === 'request' && plan.kind === 'request');
          assert.equal(api.request.rowId, canonical);
          assert.equal(plan.request.rowId, canonical);
          assert.equal(api.contentHash, plan.contentHash);
        },
      ),
    );
  });

  it('another text is another content', () => {
    fc.assert(
      fc.property(validMessage, visible(500), (message, topic) => {
        fc.pre(topic !== message.topic);
        const [one, other] = [parseJson(message), parseJson({ ...message, topic })];
        assert.ok(one.kind === 'request' && other.kind === 'request');
        assert.equal(one.request.rowId, other.request.rowId);
        assert.notEqual(one.contentHash, other.contentHash);
      }),
    );
  });

  it('unknown keys never change the result', () => {
    const unknown = fc.dictionary(
      fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'constructor', 'status', 'TOPIC')),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(fc.oneof(validMessage, nearMessage), unknown, (message, extra) => {
        const strangers = Object.entries(extra).filter(([key]) => !KNOWN_KEYS.includes(key));
        const own = Object.entries(message).filter(([key]) => KNOWN_KEYS.includes(key));
        // The body is the text as it came, so it alone may differ.
        const result = (entries: readonly (readonly [string, unknown])[]) => ({
          ...parseJson(Object.fromEntries(entries)),
          body: null,
        });
        assert.deepEqual(result([...strangers, ...own]), result(own));
        assert.deepEqual(result([...own, ...strangers]), result(own));
      }),
    );
  });

  it('detail never contains a value', () => {
    const secret = fc.string({ minLength: 6, maxLength: 20 }).map((value) => `¤${value}`);
    const wrong = secret.chain((value) =>
      fc.constantFrom<unknown>(`${value}\0`, `${value}\ud800`, value.repeat(2000), [value], { [value]: value }),
    );
    const message = fc.record(Object.fromEntries(KNOWN_KEYS.map((key) => [key, wrong])), { requiredKeys: [] });
    fc.assert(
      fc.property(message, fc.string(), (fields, cut) => {
        for (const body of [JSON.stringify(fields), `${JSON.stringify(fields)}${cut}¤`, JSON.stringify([fields])]) {
          const result = parse(encode(body), {});
          assert.ok(result.kind === 'rejection');
          assert.ok(!result.detail.includes('¤'), result.detail);
          assert.ok(!JSON.stringify(result.faults).includes('¤'));
        }
      }),
    );
  });

  it('a rejection has faults; its identity is that of the request it would be without them', () => {
    fc.assert(
      fc.property(validMessage, orNull(notations), fc.constantFrom('grade_level', 'topic'), (message, id, field) => {
        const sent = { ...message, request_id: id?.notation ?? null };
        const result = parseJson({ ...sent, [field]: false });
        assert.ok(result.kind === 'rejection' && result.faults.length === 1);
        assert.deepEqual(
          result.identity,
          id === null ? { correlationId: message.correlation_id } : { rowId: id.canonical },
        );
      }),
    );
  });
});

describe('canonicalUuid: properties', () => {
  it('every notation has one canonical form, which is its own', () => {
    fc.assert(
      fc.property(notations, ({ canonical, notation }) => {
        assert.equal(canonicalUuid(notation), canonical);
        assert.equal(canonicalUuid(canonical), canonical);
      }),
    );
  });

  it('whatever it accepts, it accepts again unchanged', () => {
    const near = fc.string({ unit: fc.constantFrom(...'0aF-{}'), minLength: 32, maxLength: 40 });
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (value) => {
        const once = canonicalUuid(value);
        if (once !== null) assert.equal(canonicalUuid(once), once);
      }),
    );
  });
});

describe('lengths are code points', () => {
  const units = fc.constantFrom('a', '🎓', '\u0301');
  const around = fc.string({ unit: units, minLength: 40, maxLength: 110, size: 'max' });
  const agreesWith = (length: (value: string) => number) =>
    fc.property(around, (student_id) => {
      const accepted = parseJson({ correlation_id: 'c', topic: 't', student_id }).kind === 'request';
      return accepted === length(student_id) <= 100;
    });

  it('parse agrees with a count of code points', () => {
    fc.assert(
      agreesWith((value) => [...value].length),
      { numRuns: 500 },
    );
  });

  it('twin: it does not agree with a count of UTF-16 units, and the property sees it', () => {
    assert.ok(
      fc.check(
        agreesWith((value) => value.length),
        { numRuns: 500 },
      ).failed,
    );
  });
});
