/** The http generator against a scripted provider, the contract's own page, and the example of the other side. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ajvModule, { type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { parse as parseYaml } from 'yaml';
import { classify } from '../../src/activities/classify.ts';
import type { HttpGeneratorConfig } from '../../src/config.ts';
import { contentHash } from '../../src/contract/content-hash.ts';
import type { ContentRequest } from '../../src/contract/request.ts';
import { projectRoot } from '../../src/dev/paths.ts';
import type { Generator, MediumAnswer } from '../../src/generators/generator.ts';
import * as contract from '../../src/generators/http/contract.ts';
import { createHttpGenerator } from '../../src/generators/http/http.ts';
import { tokenSigner } from '../../src/generators/http/token.ts';
import { createSend, retryAfterMs } from '../../src/generators/provider-http.ts';
import { startExampleProvider, type ExampleProvider } from '../support/example-provider.ts';
import { httpConfig } from '../support/provider-config.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedServer, type Answer, type ScriptedServer, type Seen } from '../support/scripted-server.ts';
import { delay } from '../support/delay.ts';
import { waitFor } from '../support/wait-for.ts';

const KEY = 'a-shared-key-of-at-least-32-bytes';

function requestOf(more: Partial<ContentRequest> = {}): ContentRequest {
  const rowId = randomUUID();
  return {
    rowId,
    correlationId: `c-${rowId}`,
    studentId: 'student-7',
    topic: 'Volcanoes',
    gradeLevel: '9',
    learningObjective: null,
    durationMinutes: null,
    organizationId: 'school-1',
    interest: null,
    environment: null,
    requestedModalities: ['text', 'audio', 'video'],
    preferredModality: 'video',
    ...more,
  };
}

const context = () => ({ signal: AbortSignal.timeout(10_000) });

const page = parseYaml(readFileSync(path.join(projectRoot, 'docs/content-provider.openapi.yaml'), 'utf8')) as {
  components: { schemas: Record<string, object> };
};

/** A schema of the page, as a check. */
function schema(name: string): ValidateFunction {
  const ajv = new ajvModule.Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema({ $id: 'page', components: page.components });
  return ajv.compile({ $ref: `page#/components/schemas/${name}` });
}

describe('http generator', () => {
  let server: ScriptedServer;
  let next: Answer;
  before(async () => {
    server = await startScriptedServer(() => next);
  });
  after(() => server.stop());
  beforeEach(() => {
    next = { status: 200, body: { script_text: 'A lesson.' } };
  });

  const configOf = (more: Partial<HttpGeneratorConfig> = {}): HttpGeneratorConfig =>
    httpConfig(`${server.url}/v1/generate`, { secretKey: KEY, maxResponseBytes: 10_000, ...more });
  const generator = (more: Partial<HttpGeneratorConfig> = {}): Generator => createHttpGenerator(configOf(more));
  const last = (): Seen => server.seen.at(-1) ?? assert.fail('nothing was asked');
  const media = () => generator().media ?? assert.fail('no media');

  async function meaningOf(work: Promise<unknown>) {
    return classify(
      await work.then(
        () => assert.fail('it did not fail'),
        (reason: unknown) => reason,
      ),
    );
  }

  describe('what it sends', () => {
    it('a request as the page says, without who the student is', async () => {
      const request = requestOf();
      await generator().generate(request, context());
      const { method, path: asked, headers, body } = last();
      assert.deepEqual([method, asked, headers['content-type']], ['POST', '/v1/generate', 'application/json']);
      const valid = schema('GenerateRequest');
      assert.equal(valid(JSON.parse(body)), true, JSON.stringify(valid.errors));
      assert.doesNotMatch(body, /student-7|school-1/);
      assert.equal((JSON.parse(body) as { content_sha256: string }).content_sha256, contentHash(request));
      assert.equal(valid({ ...(JSON.parse(body) as object), attempt: 1 }), false, 'the twin: a key more is told');
    });

    it('the row id as idempotency key, and the same body for every attempt', async () => {
      const request = requestOf();
      await generator().generate(request, context());
      const first = last();
      await generator().generate(request, context());
      assert.equal(first.headers['idempotency-key'], request.rowId);
      assert.equal(last().headers['idempotency-key'], request.rowId);
      assert.equal(last().body, first.body);
    });

    it('a key of its own and the script for a medium', async () => {
      const request = requestOf();
      next = { status: 200, body: { url: 'https://cdn.example/1' } };
      await media().start('video', request, 'A lesson.', context());
      assert.equal(last().headers['idempotency-key'], `${request.rowId}/video`);
      const valid = schema('GenerateRequest');
      const body = JSON.parse(last().body) as Record<string, unknown>;
      assert.equal(valid(body), true, JSON.stringify(valid.errors));
      assert.deepEqual([body['stage'], body['script_text']], ['video', 'A lesson.']);
      await media().start('video', request, 'A lesson.', context());
      assert.equal(last().body, JSON.stringify(body), 'the same for every attempt');
      await media().start('video', request, 'Another lesson.', context());
      const other = JSON.parse(last().body) as Record<string, unknown>;
      assert.notEqual(other['content_sha256'], body['content_sha256'], 'the video of another script is another');
    });

    it('a signature for a minute, for this provider and this row, new each time', async () => {
      const request = requestOf();
      const tokens = new Set<unknown>();
      for (const algorithm of ['HS256', 'HS512'] as const) {
        const secretKey = KEY.repeat(2);
        await generator({ algorithm, secretKey, url: `${server.url}/v1/generate?tenant=3` }).generate(
          request,
          context(),
        );
        const token = String(last().headers['authorization']).replace(/^Bearer /, '');
        assert.equal(decodeProtectedHeader(token).alg, algorithm);
        const { payload } = await jwtVerify(token, new TextEncoder().encode(secretKey), {
          issuer: 'content-processor',
          audience: `${server.url}/v1/generate`,
          subject: request.rowId,
        });
        assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 60);
        tokens.add(payload.jti);
        await assert.rejects(jwtVerify(token, new TextEncoder().encode(KEY)), 'the twin: another key does not fit');
      }
      assert.equal(tokens.size, 2);
    });
  });

  describe('what it makes of an answer', () => {
    it('script only', async () => {
      next = {
        status: 200,
        body: { script_text: 'A lesson.', usage: { model: 'm', input_tokens: 3, output_tokens: 5, cost_usd: 0.25 } },
      };
      assert.deepEqual(await generator().generate(requestOf(), context()), {
        scriptText: 'A lesson.',
        media: { videoUrl: null, thumbnailUrl: null },
        usage: {
          provider: 'http',
          model: 'm',
          inputTokens: 3,
          outputTokens: 5,
          costUsd: 0.25,
          promptVersion: null,
        },
        delivered: ['text'],
        offers: [],
      });
    });

    it('media in the answer, what was asked for of them', async () => {
      const urls = {
        audio_url: 'https://cdn.example/a',
        video_url: 'gs://b/v',
        thumbnail_url: 'https://cdn.example/t',
      };
      next = { status: 200, body: { script_text: 'A lesson.', media: urls, offers: ['audio'] } };
      const all = await generator().generate(requestOf(), context());
      assert.deepEqual(all.media, {
        videoUrl: 'gs://b/v',
        thumbnailUrl: 'https://cdn.example/t',
        audioUrl: 'https://cdn.example/a',
      });
      assert.deepEqual(all.delivered, ['text', 'audio', 'video']);
      const text = await generator().generate(requestOf({ requestedModalities: ['text'] }), context());
      assert.deepEqual(text.media, { videoUrl: null, thumbnailUrl: null });
      assert.deepEqual(text.delivered, ['text']);
    });

    it('a medium at once, or a place to look at', async () => {
      next = { status: 200, body: { url: 'https://cdn.example/v', thumbnail_url: 'https://cdn.example/t' } };
      assert.deepEqual(await media().start('video', requestOf(), 's', context()), {
        kind: 'made',
        made: { url: 'https://cdn.example/v', thumbnailUrl: 'https://cdn.example/t', usage: nothingUsed },
      });
      next = { status: 202, body: { status_url: '/jobs/1?x=2', progress: 40 }, headers: { 'retry-after': '3' } };
      const pending: MediumAnswer = {
        kind: 'pending',
        statusUrl: `${server.url}/jobs/1?x=2`,
        retryAfterMs: 3_000,
        progress: 40,
      };
      assert.deepEqual(await media().start('video', requestOf(), 's', context()), pending);
      // Every look goes where the answer to being asked has said.
      next = { status: 202, body: { status_url: '/jobs/2' } };
      assert.deepEqual(await media().look(pending.statusUrl, 'video', 'row-1', context()), {
        ...pending,
        retryAfterMs: null,
        progress: 0,
      });
      assert.deepEqual([last().method, last().path], ['GET', '/jobs/1?x=2']);
      assert.match(String(last().headers['authorization']), /^Bearer ey/);
    });

    const nothingUsed = {
      provider: 'http',
      model: null,
      inputTokens: null,
      outputTokens: null,
      costUsd: null,
      promptVersion: null,
    };

    for (const [what, answer, expected] of [
      ['breaks the contract', { status: 200, body: { script: 'x' } }, { kind: 'transient', code: 'bad_result' }],
      ['a blank script', { status: 200, body: { script_text: ' \n' } }, { kind: 'transient', code: 'bad_result' }],
      [
        'a script to run in place of a medium',
        { status: 200, body: { script_text: 'x', media: { video_url: 'javascript:alert(1)' } } },
        { kind: 'transient', code: 'bad_result' },
      ],
      [
        'a medium whose address has a line break in it',
        { status: 200, body: { script_text: 'x', media: { video_url: 'https://x/\ny' } } },
        { kind: 'transient', code: 'bad_result' },
      ],
      [
        '503 with a page that is larger than the limit',
        { status: 503, body: 'x'.repeat(50_000) },
        { kind: 'unavailable', code: 'http_503', wait: null },
      ],
      ['half of a 403', { fault: 'half', status: 403, body: { a: 'b' } }, { kind: 'configuration', code: 'http_403' }],
      ['nothing', { status: 204 }, { kind: 'transient', code: 'bad_result' }],
      [
        'a code that is a word of the language',
        { status: 422, body: { code: 'constructor' } },
        { kind: 'permanent', code: 'constructor' },
      ],
      [
        '422 that may be tried again, with a code that is none',
        { status: 422, body: { code: 'RENDER-FAILED', retryable: true } },
        { kind: 'transient', code: 'http_422' },
      ],
      ['no JSON', { status: 200, body: '<html>' }, { kind: 'transient', code: 'bad_result' }],
      ['half', { fault: 'half', status: 200, body: { a: 'b' } }, { kind: 'transient', code: 'incomplete_answer' }],
      [
        'too large',
        { status: 200, body: { script_text: 'x'.repeat(10_000) } },
        { kind: 'permanent', code: 'result_too_large' },
      ],
      ['400', { status: 400, body: { title: 'no' } }, { kind: 'permanent', code: 'http_400' }],
      ['401', { status: 401 }, { kind: 'configuration', code: 'http_401' }],
      ['403', { status: 403 }, { kind: 'configuration', code: 'http_403' }],
      ['404', { status: 404, body: '<html>' }, { kind: 'configuration', code: 'http_404' }],
      ['a redirect', { status: 307, headers: { location: '/' } }, { kind: 'configuration', code: 'http_307' }],
      ['409', { status: 409, headers: { 'retry-after': '2' } }, { kind: 'unavailable', code: 'http_409', wait: 2_000 }],
      ['413', { status: 413 }, { kind: 'permanent', code: 'http_413' }],
      ['422', { status: 422, body: { code: 'too_vague' } }, { kind: 'permanent', code: 'too_vague' }],
      ['422 without a word', { status: 422 }, { kind: 'permanent', code: 'http_422' }],
      [
        '422 that may be tried again',
        { status: 422, body: { code: 'render_failed', retryable: true } },
        { kind: 'transient', code: 'render_failed' },
      ],
      [
        'blocked',
        { status: 422, body: { code: 'content_blocked', detail: 'not for minors', retryable: true } },
        { kind: 'permanent', code: 'content_blocked' },
      ],
      ['429', { status: 429 }, { kind: 'unavailable', code: 'http_429', wait: null }],
      [
        '429 with Retry-After',
        { status: 429, headers: { 'retry-after': '9' } },
        { kind: 'unavailable', code: 'http_429', wait: 9_000 },
      ],
      ['500', { status: 500, body: 'oops' }, { kind: 'transient', code: 'http_500' }],
      ['503', { status: 503 }, { kind: 'unavailable', code: 'http_503', wait: null }],
    ] as const) {
      it(`${what}: ${expected.kind}, ${expected.code}`, async () => {
        next = answer;
        const { kind, code } = expected;
        assert.deepEqual(
          await meaningOf(generator().generate(requestOf(), context())),
          kind === 'unavailable' ? { kind, code, retryAfterMs: expected.wait } : { kind, code },
        );
      });
    }

    it('what an answer repeats of the request goes nowhere: neither the topic nor the signature', async () => {
      for (const [status, type] of [
        [400, 'text/plain'],
        [403, 'text/html'],
      ] as const) {
        const echo = await startScriptedServer(({ headers, body }) => ({
          status,
          body: `you sent ${body} with ${String(headers['authorization'])}`,
          headers: { 'content-type': type },
        }));
        const error: unknown = await generator({ url: echo.url })
          .generate(requestOf({ topic: 'My secret question' }), context())
          .catch((reason: unknown) => reason);
        await echo.stop();
        assert.match(String(error), /no statement of the provider \(text\/(plain|html), \d+ bytes\)/);
        assert.doesNotMatch(String(error), /secret|Bearer ey/);
      }
      next = { status: 400, body: { detail: 'you sent Bearer eyJhbGciOiJIUzI1NiJ9.x' } };
      await assert.rejects(generator().generate(requestOf(), context()), /you sent Bearer …$/);
    });

    it('a connection that is lost after long work counts: it may have been paid for', async () => {
      const drops = await startScriptedServer(async () => {
        await delay(150);
        return { fault: 'reset' };
      });
      const ask = (workAfterMs: number): Promise<unknown> =>
        createSend({ maxResponseBytes: 1_000, workAfterMs })(drops.url, {
          method: 'POST',
          headers: {},
          signal: AbortSignal.timeout(5_000),
        });
      assert.deepEqual(await meaningOf(ask(100)), { kind: 'transient', code: 'incomplete_answer' });
      assert.equal((await meaningOf(ask(1_000))).kind, 'unavailable', 'the twin: soon after it was sent');
      await drops.stop();
    });

    it('a byte order mark before the answer is none of our business', async () => {
      next = { status: 200, body: '\u{feff}{"script_text": "A lesson."}' };
      assert.equal((await generator().generate(requestOf(), context())).scriptText, 'A lesson.');
    });

    it('an address is stored as a URL reads it', async () => {
      next = { status: 200, body: { url: 'https://CDN.example/ab/../v' } };
      const made = await media().start('video', requestOf(), 's', context());
      assert.equal(made.kind === 'made' && made.made.url, 'https://cdn.example/v');
    });

    it('a code that is no code is not passed on', async () => {
      next = { status: 422, body: { code: 'x'.repeat(65) } };
      assert.deepEqual(await meaningOf(generator().generate(requestOf(), context())), {
        kind: 'permanent',
        code: 'http_422',
      });
    });

    it('a connection that is reset, and nobody there: unavailable', async () => {
      next = { fault: 'reset' };
      assert.equal((await meaningOf(generator().generate(requestOf(), context()))).kind, 'unavailable');
      const url = `http://127.0.0.1:${String(await freePort())}/`;
      assert.deepEqual(await meaningOf(generator({ url }).generate(requestOf(), context())), {
        kind: 'unavailable',
        code: 'ECONNREFUSED',
        retryAfterMs: null,
      });
    });

    it('https where http is spoken: configuration, as no wait mends it', async () => {
      const url = `${server.url.replace('http:', 'https:')}/`;
      assert.equal((await meaningOf(generator({ url }).generate(requestOf(), context()))).kind, 'configuration');
    });
  });

  describe('looks go to the provider only', () => {
    const elsewhere = [
      'http://127.0.0.1:9/jobs/1',
      'https://evil.example/jobs/1',
      '//evil.example/jobs/1',
      'file:///etc/passwd',
      'http://metadata.google.internal/computeMetadata/v1/',
      'http://',
      'blob:http://127.0.0.1/x',
    ];
    for (const statusUrl of elsewhere) {
      it(`${statusUrl}: refused, and not asked`, async () => {
        next = { status: 202, body: { status_url: statusUrl } };
        const before = server.seen.length;
        const meaning = await meaningOf(media().start('video', requestOf(), 's', context()));
        assert.deepEqual(meaning, { kind: 'transient', code: 'bad_result' });
        // The address of a medium that was taken before: by a provider that was configured then.
        const moved = { kind: 'unavailable', code: 'provider_moved', retryAfterMs: null };
        assert.deepEqual(await meaningOf(media().look(statusUrl, 'video', 'r', context())), moved);
        assert.equal(server.seen.length, before + 1);
      });
    }

    it('a medium that is lost is counted, and asked for anew', async () => {
      for (const status of [404, 410]) {
        next = { status };
        const meaning = await meaningOf(media().look(`${server.url}/jobs/1`, 'video', 'r', context()));
        assert.deepEqual(meaning, { kind: 'transient', code: 'medium_lost' });
      }
    });
  });

  it('Retry-After: seconds and dates; anything else says nothing', () => {
    const now = Date.parse('2026-11-24T12:00:00Z');
    for (const [header, expected] of [
      ['0', 0],
      ['120', 120_000],
      [' 7 ', 7_000],
      ['Tue, 24 Nov 2026 12:00:30 GMT', 30_000],
      ['Tue, 24 Nov 2026 11:00:00 GMT', 0],
      ['-5', null],
      ['1.5', null],
      ['soon', null],
      ['9999999999', null],
      ['', null],
    ] as const) {
      assert.equal(retryAfterMs({ headers: { 'retry-after': header } }, now), expected, header);
    }
    assert.equal(retryAfterMs({ headers: {} }, now), null);
    assert.equal(
      retryAfterMs({ headers: { 'retry-after': ['3', 'soon', '5'] } }, now),
      5_000,
      'of several the longest',
    );
  });

  describe('the page and the code agree', () => {
    const url = 'https://cdn.example/x';
    const samples: Readonly<Record<string, readonly unknown[]>> = {
      Description: [{ name: 'x' }, { name: '' }, {}, { name: 3 }],
      ScriptAnswer: [
        { script_text: 'x' },
        { script_text: 'x', media: null, offers: null, usage: null },
        { script_text: 'x', media: { video_url: url, audio_url: null }, offers: ['audio', 'video'] },
        { script_text: 'x', usage: { model: 'm', input_tokens: 1, output_tokens: 0, cost_usd: 0.1 } },
        { script_text: '' },
        {},
        { script_text: 'x', offers: ['images'] },
        { script_text: 'x', media: { video_url: 'ftp://x/y' } },
        { script_text: ' \n' },
        ...['https:x', ' https://x', 'HTTPS://x', 'gs:x', 'https://x y', 'ht\ntps://x'].map((video_url) => ({
          script_text: 'x',
          media: { video_url },
        })),
        { script_text: 'x', usage: { input_tokens: -1 } },
        { script_text: 'x', usage: { input_tokens: 1.5 } },
      ],
      MediumAnswer: [{ url }, { url: 'gs://b/o', thumbnail_url: url }, {}, { url: 'javascript:1' }, { url: null }],
      TakenAnswer: [{ status_url: '/x', progress: 3 }, { status_url: '/x' }, {}, { status_url: '' }, { status_url: 3 }],
      PendingAnswer: [{}, { progress: null }, { progress: 3, more: 1 }, { progress: 101 }, { progress: 'half' }],
    };
    for (const [name, values] of Object.entries(samples)) {
      it(name, () => {
        const valid = schema(name);
        const code = contract[name as 'Description'];
        const verdicts = values.map((value) => valid(value));
        assert.deepEqual(
          values.map((value) => code.safeParse(value).success),
          verdicts,
        );
        assert.deepEqual([...new Set(verdicts)].sort(), [false, true], 'samples of both kinds');
      });
    }
  });

  describe('the example of the other side', () => {
    let example: ExampleProvider;
    before(async () => {
      example = await startExampleProvider({ SECRET_KEY: KEY, SECONDS: '1' });
    });
    after(() => example.stop());
    const provider = (secretKey = KEY): Generator => generator({ url: example.url, secretKey });

    it('has 40 lines', () => {
      const text = readFileSync(path.join(projectRoot, 'docs/examples/content-provider.mjs'), 'utf8');
      assert.equal(text.trimEnd().split('\n').length, 40);
    });

    it('is checked, and refuses another key', async () => {
      assert.match(await provider().check(AbortSignal.timeout(5_000)), /^example provider answers at 127\.0\.0\.1:/);
      const refused = await meaningOf(provider('x'.repeat(40)).check(AbortSignal.timeout(5_000)));
      assert.deepEqual(refused, { kind: 'configuration', code: 'http_401' });
    });

    it('makes a script, then a video after a while, and neither twice', async () => {
      const request = requestOf();
      const result = await provider().generate(request, context());
      assert.match(result.scriptText, /^# Volcanoes/);
      assert.deepEqual(result.offers, ['audio', 'video']);
      const { media: made } = provider();
      assert.ok(made, 'it makes media');
      const started = await made.start('video', request, result.scriptText, context());
      assert.ok(started.kind === 'pending', started.kind);
      assert.deepEqual(await made.start('video', request, result.scriptText, context()), started, 'asked twice');
      const done = await waitFor('the video', async () => {
        const look = await made.look(started.statusUrl, 'video', request.rowId, context());
        return look.kind === 'made' && look.made;
      });
      assert.match(done.url, /^https:\/\/cdn\.example\//);
      assert.equal(done.thumbnailUrl, 'https://cdn.example/thumbnail.jpg');
    });

    it('keeps to the page', async () => {
      const sign = tokenSigner({ ...configOf(), url: example.url });
      const ask = async (body: object | null, url = example.url): Promise<[number, unknown]> => {
        const response = await fetch(url, {
          method: body === null ? 'GET' : 'POST',
          headers: { authorization: `Bearer ${await sign('row-1')}`, 'idempotency-key': randomUUID() },
          ...(body === null ? {} : { body: JSON.stringify(body) }),
        });
        return [response.status, await response.json()];
      };
      const expectPage = ([status, body]: [number, unknown], expected: number, name: string): void => {
        const valid = schema(name);
        assert.deepEqual([status, valid(body)], [expected, true], JSON.stringify(valid.errors));
      };
      expectPage(await ask(null), 200, 'Description');
      expectPage(await ask({ stage: 'script', topic: 'x', content_sha256: 'y' }), 200, 'ScriptAnswer');
      expectPage(await ask({ stage: 'video', content_sha256: 'y' }), 202, 'TakenAnswer');
      expectPage(await ask(null, new URL('/status/nowhere', example.url).href), 404, 'Problem');
    });
  });
});
