/** Limits on what comes from outside that no other test holds; docs/security.md lists them all. */
import assert from 'node:assert/strict';
import { classify } from '../../src/activities/classify.ts';
import { describeError } from '../../src/bridge/grpc.ts';
import { readBridgeConfig } from '../../src/config.ts';
import { MAX_MESSAGE_BYTES, parse } from '../../src/contract/message.ts';
import { createHttpGenerator } from '../../src/generators/http/http.ts';
import { traceFields } from '../../src/log.ts';
import { httpConfig } from '../support/provider-config.ts';
import { startScriptedServer, type Answer } from '../support/scripted-server.ts';

const PROMPTLY_MS = 2_000;

describe('limits: a message', () => {
  const prompt = (body: string) => {
    const began = performance.now();
    const parsed = parse(Buffer.from(body), {});
    assert.ok(performance.now() - began < PROMPTLY_MS, `${String(performance.now() - began)} ms`);
    return parsed;
  };
  const codeOf = (body: string): string => {
    const parsed = prompt(body);
    return parsed.kind === 'rejection' ? parsed.code : parsed.kind;
  };
  const rest = '"correlation_id":"c","student_id":"s","topic":"t"';

  it('nested as deeply as its size allows, whole or cut', () => {
    const depth = MAX_MESSAGE_BYTES / 2 - 100;
    assert.equal(codeOf('['.repeat(MAX_MESSAGE_BYTES)), 'not_json');
    assert.equal(codeOf('['.repeat(depth) + ']'.repeat(depth)), 'not_an_object');
    assert.equal(codeOf(`{${rest},"other":${'['.repeat(depth)}${']'.repeat(depth)}}`), 'request');
    assert.equal(
      codeOf(`{"correlation_id":"c","student_id":"s","topic":${'['.repeat(depth)}${']'.repeat(depth)}}`),
      'invalid_fields',
    );
    assert.equal(codeOf('{"a":'.repeat(80_000) + '1' + '}'.repeat(80_000)), 'invalid_fields');
  });

  it('the same key again and again: the last one counts, as everywhere in JSON', () => {
    const parsed = prompt(`{${'"topic":"a",'.repeat(30_000)}${rest}}`);
    assert.ok(parsed.kind === 'request', 'a request');
    assert.equal(parsed.request.topic, 't');
  });

  it('ten thousands of keys that nobody knows, and faults that do not grow with them', () => {
    const keys = Array.from({ length: 30_000 }, (_, index) => `"k${String(index)}":1`).join(',');
    assert.equal(codeOf(`{${rest},${keys}}`), 'request');
    const parsed = prompt(
      `{"requested_modalities":[${'1,'.repeat(200_000)}1],"student_id":${'['.repeat(1_000)}${']'.repeat(1_000)}}`,
    );
    assert.ok(parsed.kind === 'rejection' && parsed.detail.length < 500, 'a short detail');
  });

  it('one byte more than 512 KiB is too large, and exactly so many are not', () => {
    const padded = (bytes: number): string => `{${rest},"x":"${'x'.repeat(bytes - rest.length - 9)}"}`;
    assert.equal(Buffer.byteLength(padded(MAX_MESSAGE_BYTES)), MAX_MESSAGE_BYTES);
    assert.equal(codeOf(padded(MAX_MESSAGE_BYTES)), 'request');
    assert.equal(codeOf(padded(MAX_MESSAGE_BYTES + 1)), 'too_large');
  });

  it('a traceparent of a megabyte, or of another shape, is none', () => {
    const sound = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    assert.equal(Object.keys(traceFields('p', sound)).length, 3);
    for (const wrong of [sound.repeat(20_000), `${sound}${'0'.repeat(1_000_000)}`, ` ${sound}`, `${sound}\n`]) {
      const began = performance.now();
      assert.deepEqual(traceFields('p', wrong), {});
      assert.ok(performance.now() - began < 200, 'at once');
    }
  });
});

describe('limits: a provider', () => {
  async function codeFor(answer: Answer, maxResponseBytes = 4_194_304): Promise<string> {
    const server = await startScriptedServer(() => answer);
    try {
      const generator = createHttpGenerator(httpConfig(`${server.url}/x`, { maxResponseBytes }));
      await generator.check(AbortSignal.timeout(10_000));
      return 'ok';
    } catch (error) {
      const { kind, code } = classify(error);
      return `${kind} ${code}`;
    } finally {
      await server.stop();
    }
  }

  it('an answer of brackets alone is counted, and never parsed', async () => {
    const before = process.memoryUsage().heapUsed;
    assert.equal(await codeFor({ status: 200, body: '['.repeat(4_000_000) }), 'transient bad_result');
    assert.equal(await codeFor({ status: 200, body: `[${'[],'.repeat(500_000)}1]` }), 'transient bad_result');
    assert.ok(process.memoryUsage().heapUsed - before < 64_000_000, 'no tree was made of it');
    const many = `{"name":"n","other":[${'1,'.repeat(200_000)}1]}`;
    assert.equal(await codeFor({ status: 200, body: many }), 'ok', 'the twin: many values are fine');
  });

  it('headers without end are a counted failure', async () => {
    const headers = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [`x-${String(index)}`, 'x'.repeat(1_000)]),
    );
    assert.equal(await codeFor({ status: 200, body: { name: 'n' }, headers }), 'transient unknown');
    assert.equal(await codeFor({ status: 200, body: { name: 'n' }, headers: { 'x-1': 'x' } }), 'ok');
  });

  it('a byte more than GENERATOR_MAX_RESPONSE_BYTES is too large', async () => {
    const body = JSON.stringify({ name: 'n'.repeat(150) });
    assert.equal(await codeFor({ status: 200, body }, body.length), 'ok');
    assert.equal(await codeFor({ status: 200, body }, body.length - 1), 'permanent result_too_large');
  });
});

describe('limits: what is told', () => {
  it('an error of Temporal or Pub/Sub is cut at 500 characters, however long its chain', () => {
    let error = new Error('x'.repeat(10_000));
    for (let depth = 0; depth < 1_000; depth += 1)
      error = new Error(`${String(depth)} ${'y'.repeat(1_000)}`, { cause: error });
    assert.equal(describeError(error).length, 500);
    const circle = new Error('a');
    circle.cause = circle;
    assert.equal(describeError(circle), 'a');
  });

  it('a setting of a megabyte is refused where it has a form, and not repeated', () => {
    const long = 'x'.repeat(1_000_000);
    assert.throws(
      () =>
        readBridgeConfig({
          PUBSUB_TOPIC: long,
          TEMPORAL_ADDRESS: long,
          BRIDGE_CONCURRENCY: '9'.repeat(1_000_000),
          LOG_LEVEL: long,
        }),
      (error: Error) =>
        error.message.length < 3_000 && /BRIDGE_CONCURRENCY: .*PUBSUB|PUBSUB_TOPIC: /s.test(error.message),
    );
  });
});
