/**
 * Every class of answer of both providers, by the real generators over HTTP: the row, retry_count, the dead letter and
 * the run that follow. What an answer means is tested in test/unit/gemini.test.ts and http-generator.test.ts.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Failure } from '../../src/activities/classify.ts';
import type { GeneratorConfig } from '../../src/config.ts';
import { workflowId } from '../../src/contract/names.ts';
import { answerWith, good, googleError, MODEL, startGeminiServer, USAGE } from '../support/gemini-server.ts';
import { geminiConfig, httpConfig } from '../support/provider-config.ts';
import { startScriptedServer, type Answer } from '../support/scripted-server.ts';
import { FAST_RETRY, processInput, startStack, type TestStack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

interface Expected {
  readonly run: 'COMPLETED' | 'FAILED';
  readonly row: 'completed' | 'failed';
  readonly retryCount: number;
  /** Code of row, run and letter alike; null = no letter. */
  readonly code: string | null;
  readonly calls: number;
  /** In error_message: the cause. */
  readonly says?: RegExp;
  /** Milliseconds of the run's timers, where the provider said how long to wait. */
  readonly waits?: readonly number[];
}

/** At once, and once more than the attempts of the policy: a call too many would be seen. */
const COMPLETED: Expected = { run: 'COMPLETED', row: 'completed', retryCount: 0, code: null, calls: 1 };
const COUNTED: Expected = { run: 'FAILED', row: 'failed', retryCount: 5, code: 'attempts_exhausted', calls: 5 };
const counted = (says: RegExp): Expected => ({ ...COUNTED, says });
const dead = (code: string, says: RegExp): Expected => ({
  run: 'FAILED',
  row: 'failed',
  retryCount: 1,
  code,
  calls: 1,
  says,
});
/** After two answers that ask to wait, a good one. */
const WAITED: Expected = { ...COMPLETED, calls: 3 };

interface Case {
  readonly answers: readonly Answer[];
  readonly then: Expected;
}

const retryAfter = { 'retry-after': '1' };

const GEMINI: Readonly<Record<string, Case>> = {
  '200, good': { answers: [good('x')], then: COMPLETED },
  '200 that breaks the schema': { answers: [answerWith({ title: 'x' })], then: counted(/^bad_result: .*schema/) },
  'breaks the schema twice, then good': {
    answers: [answerWith({ title: 'x' }), answerWith('no JSON'), good('x')],
    then: { ...COMPLETED, retryCount: 2, calls: 3 },
  },
  'cut off at the token limit': {
    answers: [answerWith('{"title"', 'MAX_TOKENS')],
    then: counted(/^token_limit: .*GEMINI_MAX_OUTPUT_TOKENS/),
  },
  'the answer is blocked': { answers: [answerWith('', 'SAFETY')], then: dead('content_blocked', /^content_blocked: /) },
  'the request is blocked': {
    answers: [{ status: 200, body: { promptFeedback: { blockReason: 'SAFETY' }, usageMetadata: USAGE } }],
    then: dead('content_blocked', /SAFETY/),
  },
  '400, then mended': {
    answers: twice(googleError(400, 'INVALID_ARGUMENT', 'no such field'), good('x')),
    then: WAITED,
  },
  '429 without Retry-After': {
    answers: twice(googleError(429, 'RESOURCE_EXHAUSTED', 'quota'), good('x')),
    then: WAITED,
  },
  '429 with Retry-After': {
    answers: twice({ ...googleError(429, 'RESOURCE_EXHAUSTED', 'quota'), headers: retryAfter }, good('x')),
    then: { ...WAITED, waits: [1_000, 1_000] },
  },
  '500': { answers: [googleError(500, 'INTERNAL', 'oops')], then: counted(/^http_500/) },
  '503': { answers: twice(googleError(503, 'UNAVAILABLE', 'overloaded'), good('x')), then: WAITED },
  '401, then mended': { answers: twice(googleError(401, 'UNAUTHENTICATED', 'no'), good('x')), then: WAITED },
  '403, then mended': { answers: twice(googleError(403, 'PERMISSION_DENIED', 'no role'), good('x')), then: WAITED },
  '404 model, then mended': { answers: twice(googleError(404, 'NOT_FOUND', 'retired'), good('x')), then: WAITED },
  slow: { answers: [{ fault: 'silent' }, good('x')], then: { ...COMPLETED, retryCount: 1, calls: 2 } },
  'slow for ever': { answers: [{ fault: 'silent' }], then: counted(/^generator_timeout: no answer within 700 ms/) },
  'connection reset': { answers: twice({ fault: 'reset' }, good('x')), then: WAITED },
  'half an answer': {
    answers: [{ fault: 'half', status: 200, body: { candidates: [] } }],
    then: counted(/^incomplete_answer: /),
  },
};

const script: Answer = { status: 200, body: { script_text: 'A lesson.' } };
const HTTP: Readonly<Record<string, Case>> = {
  '200, good': { answers: [script], then: COMPLETED },
  '200 that breaks the contract': { answers: [{ status: 200, body: {} }], then: counted(/^bad_result: .*script_text/) },
  blocked: {
    answers: [{ status: 422, body: { code: 'content_blocked', title: 'not for minors' } }],
    then: dead('content_blocked', /not for minors/),
  },
  '422': { answers: [{ status: 422, body: { code: 'too_vague' } }], then: dead('generation_failed', /^too_vague/) },
  '400': { answers: [{ status: 400, body: { detail: 'why' } }], then: dead('generation_failed', /^http_400: .*why/) },
  'too large': {
    answers: [{ status: 200, body: { script_text: 'x'.repeat(1_100_000) } }],
    then: dead('result_too_large', /^result_too_large/),
  },
  'a result over 1 MiB': {
    answers: [{ status: 200, body: { script_text: 'x'.repeat(1_048_577) } }],
    then: { ...dead('result_too_large', /^result_too_large: the result is/) },
  },
  'a word of the language as its code': {
    answers: [{ status: 422, body: { code: 'constructor' } }],
    then: dead('generation_failed', /^constructor: HTTP 422/),
  },
  '503 with a long page': { answers: twice({ status: 503, body: 'x'.repeat(2_000_000) }, script), then: WAITED },
  '429 with Retry-After': {
    answers: twice({ status: 429, headers: retryAfter }, script),
    then: { ...WAITED, waits: [1_000, 1_000] },
  },
  '409': { answers: twice({ status: 409 }, script), then: WAITED },
  '503': { answers: twice({ status: 503 }, script), then: WAITED },
  '403, then mended': { answers: twice({ status: 403 }, script), then: WAITED },
  '404, then mended': { answers: twice({ status: 404 }, script), then: WAITED },
  'a redirect, then mended': { answers: twice({ status: 302, headers: { location: '/' } }, script), then: WAITED },
  '500, then good': {
    answers: [{ status: 500 }, script],
    then: { ...COMPLETED, retryCount: 1, calls: 2 },
  },
  'connection reset': { answers: twice({ fault: 'reset' }, script), then: WAITED },
  'half an answer': {
    answers: [{ fault: 'half', status: 200, body: { a: 'b' } }],
    then: counted(/^incomplete_answer/),
  },
  slow: { answers: [{ fault: 'silent' }, script], then: { ...COMPLETED, retryCount: 1, calls: 2 } },
};

function twice(bad: Answer, last: Answer): Answer[] {
  return [bad, bad, last];
}

interface Provider {
  readonly config: GeneratorConfig;
  /** What this request is answered with. */
  script(input: ReturnType<typeof processInput>, answers: readonly Answer[]): void;
  calls(input: ReturnType<typeof processInput>): number;
  stop(): Promise<void>;
}

async function gemini(): Promise<Provider> {
  const server = await startGeminiServer();
  return {
    config: geminiConfig(server.url, { inputPrice: 1, outputPrice: 10, maxResponseBytes: 1_000_000 }),
    script: (input, answers) => void server.steps.set(input.request.topic, answers),
    calls: (input) => server.calls(input.request.topic),
    stop: () => server.stop(),
  };
}

async function http(): Promise<Provider> {
  const steps = new Map<string, readonly Answer[]>();
  const calls = new Map<string, number>();
  const server = await startScriptedServer(({ method, body }) => {
    if (method === 'GET') return { status: 200, body: { name: 'scripted' } };
    const { request_id: id } = JSON.parse(body) as { request_id: string };
    const call = calls.get(id) ?? 0;
    calls.set(id, call + 1);
    const answers = steps.get(id) ?? [];
    return answers[Math.min(call, answers.length - 1)] ?? { status: 599 };
  });
  return {
    config: httpConfig(`${server.url}/generate`, { maxResponseBytes: 1_080_000 }),
    script: (input, answers) => void steps.set(input.request.rowId, answers),
    calls: (input) => calls.get(input.request.rowId) ?? 0,
    stop: () => server.stop(),
  };
}

for (const [name, start, cases] of [
  ['gemini', gemini, GEMINI],
  ['http', http, HTTP],
] as const) {
  describe(`what becomes of a request when ${name} answers with`, () => {
    let provider: Provider;
    let stack: TestStack;
    const verdicts: (Failure | null)[] = [];
    /** All are under way at once; most of their time is waits. */
    const underWay = new Map<string, { input: ReturnType<typeof processInput>; end: Promise<string | null> }>();
    before(async () => {
      provider = await start();
      stack = await startStack({
        generator: provider.config,
        generatorTimeoutMs: 700,
        onProvider: (verdict) => void verdicts.push(verdict),
      });
      for (const [what, { answers }] of Object.entries(cases)) {
        const input = requestOf(answers);
        underWay.set(what, { input, end: endOf(input) });
      }
    });
    after(async () => {
      await stack.stop();
      await provider.stop();
    });

    function requestOf(answers: readonly Answer[], retry = { ...FAST_RETRY, maxAgeMs: 20_000 }) {
      const input = processInput(
        { correlation_id: `c-${randomUUID()}`, student_id: 's', topic: `Topic ${randomUUID()}` },
        { retry },
      );
      provider.script(input, answers);
      return input;
    }

    /** The run's failure code, or null. */
    async function endOf(input: ReturnType<typeof processInput>): Promise<string | null> {
      const handle = await stack.start(input);
      const error: unknown = await handle.result().then(
        () => null,
        (reason: unknown) => reason,
      );
      if (error === null) return null;
      assert.ok(error instanceof WorkflowFailedError);
      assert.ok(error.cause instanceof ApplicationFailure, String(error.cause));
      return error.cause.type ?? '';
    }

    const lettersOf = (input: ReturnType<typeof processInput>) =>
      stack.letters.filter(({ letter }) => letter.correlationId === input.request.correlationId);

    for (const [what, { then }] of Object.entries(cases)) {
      it(`${what}: run ${then.run}, row ${then.row}, retry_count ${String(then.retryCount)}, letter ${then.code ?? 'none'}`, async () => {
        const started = underWay.get(what);
        assert.ok(started, 'it was started');
        const { input } = started;
        assert.equal(await started.end, then.code);
        const row = await stack.row(input.request.rowId);
        assert.equal(row?.status, then.row);
        assert.equal(row.retry_count, then.retryCount);
        assert.equal(provider.calls(input), then.calls);
        const run = stack.temporal.client.workflow.getHandle(workflowId.process(input.request.rowId));
        assert.equal((await run.describe()).status.name, then.run);
        if (then.waits !== undefined) {
          const { events } = await run.fetchHistory();
          const waits = (events ?? []).flatMap(({ timerStartedEventAttributes: timer }) =>
            timer ? [Number(timer.startToFireTimeout?.seconds ?? 0) * 1_000] : [],
          );
          assert.deepEqual(waits, then.waits);
        }
        if (then.code === null) {
          assert.notEqual(row.script_text ?? '', '');
          assert.deepEqual(lettersOf(input), []);
          return;
        }
        assert.equal(row.error_stage, 'script_generation');
        assert.equal(row.error_details?.['code'], then.code);
        assert.match(row.error_message ?? '', then.says ?? /./);
        const [letter, ...others] = await waitFor('the letter', () => {
          const found = lettersOf(input);
          return found.length > 0 && found;
        });
        assert.deepEqual(others, []);
        assert.equal(letter?.letter.reason, then.code);
        assert.equal(letter.letter.attempts, then.retryCount);
      });
    }

    it('a configuration that nobody mends: waits, burns no attempt, then fails as provider_unavailable', async () => {
      const refusal = name === 'gemini' ? googleError(403, 'PERMISSION_DENIED', 'no role') : { status: 403 };
      const input = requestOf([refusal], { ...FAST_RETRY, maxAgeMs: 2_500 });
      verdicts.length = 0;
      assert.equal(await endOf(input), 'provider_unavailable');
      const row = await stack.row(input.request.rowId);
      assert.equal(row?.status, 'failed');
      assert.equal(row.retry_count, 0);
      assert.match(row.error_message ?? '', /^http_403/);
      assert.equal(provider.calls(input) >= 2, true, 'it was waited for');
      await waitFor('the letter', () => lettersOf(input).length === 1);
      assert.equal(lettersOf(input)[0]?.letter.reason, 'provider_unavailable');
      assert.equal(lettersOf(input)[0]?.letter.attempts, 0);
      assert.deepEqual([...new Set(verdicts.map((verdict) => verdict?.kind))], ['configuration'], 'readiness is told');
    });

    if (name === 'gemini') {
      it('usage and cost stand in request_metadata, with the prompt version and what failed attempts cost', async () => {
        const input = requestOf([answerWith('no JSON'), answerWith('{', 'MAX_TOKENS'), good('x')]);
        await endOf(input);
        const metadata = (await stack.row(input.request.rowId))?.request_metadata;
        const costUsd = (400 + 1_000 * 10) / 1e6;
        assert.deepEqual(metadata?.['usage'], {
          provider: 'gemini',
          model: MODEL,
          inputTokens: 400,
          outputTokens: 1_000,
          costUsd,
          promptVersion: 'lesson-script/1',
        });
        assert.deepEqual(metadata['failed_attempts_usage'], {
          attempts: 2,
          inputTokens: 800,
          outputTokens: 2_000,
          costUsd: 2 * costUsd,
        });
      });

      it('a request that failed says what it cost', async () => {
        const input = requestOf([answerWith('', 'SAFETY')]);
        await endOf(input);
        const usage = (await stack.row(input.request.rowId))?.error_details?.['usage'];
        assert.deepEqual(usage, { attempts: 1, inputTokens: 400, outputTokens: 1_000, costUsd: 0.0104 });
      });
    }
  });
}
