import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { contentHash } from '../../../src/contract/content-hash.ts';
import { canonicalUuid, CORRELATION_NAMESPACE, rowIdOf } from '../../../src/contract/identity.ts';
import { codePoints } from '../../../src/contract/message-fields.ts';
import { parse } from '../../../src/contract/message.ts';
import { BODIES } from './message-examples/bodies.ts';
import { FIELD_EXAMPLES } from './message-examples/fields.ts';
import { IDENTITIES } from './message-examples/identities.ts';
import { PUBLISHED } from './message-examples/published.ts';

const EXAMPLES = [...PUBLISHED, ...IDENTITIES, ...FIELD_EXAMPLES, ...BODIES];

describe('parse: examples', () => {
  it('the table has at least 80 rows, each with a name of its own', () => {
    assert.ok(EXAMPLES.length >= 80, `${EXAMPLES.length} rows`);
    const names = EXAMPLES.map(({ name }) => name);
    assert.deepEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      [],
    );
  });

  it('the message of the README is one, and nothing in it is dropped', () => {
    const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
    const shown = /```json\n([^]*?)```/.exec(readme)?.[1] ?? '';
    const result = parse(Buffer.from(shown), {});
    assert.ok(result.kind === 'request', JSON.stringify(result));
    const { rowId, environment, ...request } = result.request;
    assert.deepEqual([rowId, environment], [rowIdOf('my-first'), null]);
    assert.deepEqual(
      Object.values(request).filter((value) => value === null),
      [],
    );
    assert.deepEqual(request.requestedModalities, ['text', 'audio', 'video']);
  });

  for (const { name, bytes, expected } of EXAMPLES) {
    it(name, () => {
      const result = parse(bytes, {});
      if (result.kind === 'request') {
        const { request, body } = result;
        assert.deepEqual({ kind: result.kind, request }, expected);
        assert.equal(result.contentHash, contentHash(request));
        assert.deepEqual(Buffer.from(body, 'utf8'), Buffer.from(bytes), 'the body gives the bytes back');
      } else {
        const { kind, code, faults, identity } = result;
        const fields = [...new Set(faults.map(({ field }) => field))];
        assert.deepEqual({ kind, code, fields, identity }, expected);
        assert.equal(result.detail, faults.map(({ field, fault }) => `${field} ${fault}`).join('; '));
      }
    });
  }

  it('attributes never fill a missing field', () => {
    const attributes = { request_id: '3fa4d8d8-355a-4a88-8139-a97f03358ec0', student_id: 's', topic: 't' };
    const bytes = new TextEncoder().encode('{}');
    assert.deepEqual(parse(bytes, attributes), parse(bytes, {}));
  });

  it('what the prototype of all objects carries fills no field', () => {
    const bytes = new TextEncoder().encode('{"correlation_id":"c","student_id":"s"}');
    Object.defineProperty(Object.prototype, 'topic', { value: 't', configurable: true });
    try {
      assert.equal(parse(bytes, {}).kind, 'rejection');
    } finally {
      Reflect.deleteProperty(Object.prototype, 'topic');
    }
  });

  it('names every fault of one field', () => {
    const result = parse(new TextEncoder().encode('{"correlation_id":"c","student_id":"s","topic":"\\u0000"}'), {});
    assert.ok(result.kind === 'rejection');
    assert.equal(result.detail, 'topic must not contain NUL or lone surrogates; topic must not be blank');
  });
});

/** Values that rows already carry: a change here is a migration, not a refactoring. */
describe('what is stored', () => {
  it('rowIdOf is UUIDv5, as any other implementation computes it', () => {
    assert.equal(CORRELATION_NAMESPACE, '5c0c2d1e-8f0b-4c7a-9f43-6b1d7a2e90d4');
    assert.equal(rowIdOf('test-001'), 'bfc35f26-39d4-5197-a150-bd847d97c858');
    assert.equal(rowIdOf('req_0123456789abcdef'), 'bd966ac4-0334-5b01-bc91-ea7fbe232d02');
  });

  it("the content hash of the plan's first message", () => {
    const first = PUBLISHED[0]?.expected;
    assert.ok(first?.kind === 'request');
    assert.equal(contentHash(first.request), '3a6803878c72f59399c11ae2e86d02406caed90262db735a8f86a7173d903ddb');
  });

  it('the content hash sees every field but the environment and the order of modalities', () => {
    const first = PUBLISHED[0]?.expected;
    assert.ok(first?.kind === 'request');
    const { request } = first;
    const hash = contentHash({ ...request, requestedModalities: ['text', 'video'] });
    const same = { ...request, environment: 'other', requestedModalities: ['video', 'text'] } as const;
    assert.equal(contentHash(same), hash);
    const changed = {
      rowId: 'x',
      correlationId: 'x',
      studentId: 'x',
      topic: 'x',
      gradeLevel: 'x',
      learningObjective: 'x',
      durationMinutes: 1,
      organizationId: 'x',
      interest: 'x',
      requestedModalities: ['audio'],
      preferredModality: 'audio',
    } as const;
    for (const [key, value] of Object.entries(changed)) {
      assert.notEqual(contentHash({ ...request, [key]: value }), contentHash(request), key);
    }
    assert.deepEqual([...Object.keys(changed), 'environment'].sort(), Object.keys(request).sort());
  });

  it('canonicalUuid gives lower case with hyphens, or null', () => {
    assert.equal(canonicalUuid('{3FA4D8D8355A4A888139A97F03358EC0}'), '3fa4d8d8-355a-4a88-8139-a97f03358ec0');
    assert.equal(canonicalUuid('urn:uuid:3fa4d8d8-355a-4a88-8139-a97f03358ec0'), null);
  });

  it('codePoints counts pairs once and halves too', () => {
    assert.deepEqual(['', 'a', '🎓', 'e\u0301', '\ud83c', '\udf93\ud83c'].map(codePoints), [0, 1, 1, 2, 1, 2]);
  });
});
