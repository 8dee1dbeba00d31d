/** Audio and video as stages of their own: asked for, waited for without a slot, and what becomes of the row meanwhile. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { Progress } from '../../src/contract/workflow-io.ts';
import { startExampleProvider, type ExampleProvider } from '../support/example-provider.ts';
import { startMediaProvider, type MediaProvider } from '../support/media-provider.ts';
import { httpConfig, SECRET_KEY } from '../support/provider-config.ts';
import { FAST_RETRY, processInput, startStack, type Row, type TestStack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

type Input = ReturnType<typeof processInput>;

function requestOf(more: Record<string, unknown> = {}): Input {
  return processInput(
    {
      correlation_id: `c-${randomUUID()}`,
      student_id: 's',
      topic: 'Volcanoes',
      requested_modalities: ['text', 'audio', 'video'],
      ...more,
    },
    { retry: { ...FAST_RETRY, maxAgeMs: 20_000 } },
  );
}

async function failureOf(handle: WorkflowHandle): Promise<ApplicationFailure> {
  const error: unknown = await handle.result().then(
    () => assert.fail('the run should have failed'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof WorkflowFailedError, String(error));
  assert.ok(error.cause instanceof ApplicationFailure, String(error.cause));
  return error.cause;
}

describe('media', () => {
  let provider: MediaProvider;
  let stack: TestStack;
  before(async () => {
    provider = await startMediaProvider();
    stack = await startStack({ generator: provider.config, generatorTimeoutMs: 1_000, mediaTimeoutMs: 7_000 });
  });
  after(async () => {
    await stack.stop();
    await provider.stop();
  });

  /** A run whose provider works on the video, and has been looked at. */
  async function beingMade(): Promise<{ input: Input; handle: WorkflowHandle }> {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [{ status: 202, body: {} }]);
    const looks = provider.looks(input, 'video', [{ status: 202, body: {}, headers: { 'retry-after': '1' } }]);
    const handle = await stack.start(input);
    await waitFor('a look', () => looks.count >= 1);
    return { input, handle };
  }

  const rowOf = async (input: Input): Promise<Row> =>
    (await stack.row(input.request.rowId)) ?? assert.fail('there is no row');
  const activities = async (handle: WorkflowHandle): Promise<string[]> =>
    ((await handle.fetchHistory()).events ?? []).flatMap(
      (event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? [],
    );

  it('in the answer of a medium: audio, then video, and where they are', async () => {
    const input = requestOf();
    const handle = await stack.start(input);
    await handle.result();
    const row = await rowOf(input);
    assert.equal(row.status, 'completed');
    assert.equal(row.video_url, 'https://cdn.example/video');
    assert.equal(row.thumbnail_url, 'https://cdn.example/video.jpg');
    assert.equal(row.request_metadata?.['audio_url'], 'https://cdn.example/audio');
    assert.deepEqual(row.request_metadata['delivered'], ['text', 'audio', 'video']);
    assert.deepEqual(row.request_metadata['not_delivered'], []);
    assert.deepEqual(Object.keys(row.request_metadata['media_usage'] as object), ['audio', 'video']);
    assert.deepEqual(await activities(handle), [
      'recordRequest',
      'generateContent',
      'storeScript',
      'startMedium',
      'startMedium',
      'completeRequest',
    ]);
    assert.deepEqual(
      provider.asked(input).map(({ stage, script_text: script }) => [stage, script]),
      [
        ['script', undefined],
        ['audio', 'A lesson on Volcanoes.'],
        ['video', 'A lesson on Volcanoes.'],
      ],
    );
  });

  it('only what was asked for and is offered is asked for; the rest is named', async () => {
    const text = requestOf({ requested_modalities: ['text'] });
    const images = requestOf({ requested_modalities: ['images', 'audio'] });
    for (const handle of await Promise.all([text, images].map((input) => stack.start(input)))) await handle.result();
    assert.deepEqual(provider.stages(text), ['script']);
    assert.deepEqual(provider.stages(images), ['script', 'audio']);
    assert.deepEqual((await rowOf(images)).request_metadata?.['not_delivered'], ['images']);
  });

  it('202: status, stage and progress of the row, the run and its history while the provider works', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [{ status: 202, body: { progress: 10 } }]);
    const looks = provider.looks(input, 'video', [
      { status: 202, body: { progress: 50 }, headers: { 'retry-after': '1' } },
    ]);
    const handle = await stack.start(input);
    const half = await waitFor('the row says what the provider says', async () => {
      const row = await stack.row(input.request.rowId);
      return row?.progress_percentage === 80 && row;
    });
    assert.deepEqual([half.status, half.current_stage], ['processing_video', 'video_generation']);
    assert.equal(half.script_text, 'A lesson on Volcanoes.', 'what is paid for is in the row already');
    const progress = await handle.query<Progress>('progress');
    assert.deepEqual(
      [progress.stage, progress.text],
      ['video_generation', 'The provider makes the video, attempt 1 of 5'],
    );
    await waitFor('three looks', () => looks.count >= 3);
    looks.answer({ status: 200, body: { url: 'https://cdn.example/v', thumbnail_url: null } });
    await handle.result();
    const row = await rowOf(input);
    assert.deepEqual([row.status, row.progress_percentage, row.video_url], ['completed', 100, 'https://cdn.example/v']);
    assert.equal(row.retry_count, 0, 'a wait is no failure');
    assert.equal(provider.stages(input).filter((stage) => stage === 'video').length, 1);
    const { events } = await handle.fetchHistory();
    assert.equal(
      (events ?? []).length <= 46,
      true,
      `${String(events?.length)} events for ${String(looks.count)} looks`,
    );
  });

  it('generating_video while the provider is asked, with audio as well: the enum has no word for it', async () => {
    const input = requestOf({ requested_modalities: ['audio'] });
    provider.script(input, 'audio', [{ fault: 'silent' }, { status: 200, body: { url: 'https://cdn.example/a' } }]);
    const handle = await stack.start(input);
    const row = await waitFor('audio is asked for', async () => {
      const found = await stack.row(input.request.rowId);
      return found?.current_stage === 'audio_generation' && found;
    });
    assert.deepEqual([row.status, row.progress_percentage], ['generating_video', 55]);
    await handle.result();
    assert.equal((await rowOf(input)).retry_count, 1, 'no answer in time is a counted failure of this stage');
  });

  it('Retry-After is honoured, before the first look and between looks', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [{ status: 202, body: {}, headers: { 'retry-after': '2' } }]);
    const looks = provider.looks(input, 'video', [
      { status: 202, body: {}, headers: { 'retry-after': '1' } },
      { status: 429, headers: { 'retry-after': '1' } },
      { status: 200, body: { url: 'https://cdn.example/v' } },
    ]);
    const handle = await stack.start(input);
    await handle.result();
    const [asked = 0, first = 0, second = 0, third = 0] = [...provider.times(input, 'video'), ...looks.times];
    // Timers may be early by a clock's grain, never by more.
    assert.deepEqual(
      [first - asked >= 1_900, second - first >= 900, third - second >= 900],
      [true, true, true],
      [first - asked, second - first, third - second].join(),
    );
    assert.equal(looks.count, 3);
  });

  it('no slot is held meanwhile: twelve videos wait, and a worker with a hundred slots has them all free', async () => {
    const inputs = Array.from({ length: 12 }, () => requestOf({ requested_modalities: ['video'] }));
    const looks = inputs.map((input) => {
      provider.script(input, 'video', [{ status: 202, body: {} }]);
      return provider.looks(input, 'video', [{ status: 202, body: {}, headers: { 'retry-after': '3' } }]);
    });
    const handles = await Promise.all(inputs.map((input) => stack.start(input)));
    await waitFor('all have been looked at', () => looks.every(({ count }) => count >= 1));
    await waitFor('no activity is running', () => stack.activitiesRunning() === 0);
    const described = await Promise.all(handles.map((handle) => handle.describe()));
    assert.deepEqual(
      described.map(({ raw }) => raw.pendingActivities?.map(({ activityType }) => activityType?.name)),
      inputs.map(() => ['awaitMedium']),
    );
    for (const look of looks) look.answer({ status: 200, body: { url: 'https://cdn.example/v' } });
    await Promise.all(handles.map((handle) => handle.result()));
  });

  it('questions without an answer are asked again, and count nothing', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [{ status: 202, body: {} }]);
    const again = { 'retry-after': '1' };
    const looks = provider.looks(input, 'video', [
      { status: 503, headers: again },
      { status: 429, headers: again },
      { status: 200, body: { url: 'https://cdn.example/v' } },
    ]);
    await (await stack.start(input)).result();
    assert.equal((await rowOf(input)).retry_count, 0);
    assert.equal(looks.count, 3);
  });

  for (const [what, answer] of [
    ['refused', { status: 401, headers: { 'retry-after': '1' } }],
    ['without an answer', { status: 503, headers: { 'retry-after': '1' } }],
  ] as const) {
    it(`looks that are ${what} until the limit is over: waited for, uncounted, then asked for anew`, async () => {
      const input = requestOf({ requested_modalities: ['video'] });
      const made = { status: 200, body: { url: 'https://cdn.example/v' } } as const;
      provider.script(input, 'video', [{ status: 202, body: {} }, made]);
      provider.looks(input, 'video', [answer]);
      await (await stack.start(input)).result();
      const row = await rowOf(input);
      assert.deepEqual([row.status, row.retry_count], ['completed', 0]);
      assert.deepEqual(provider.stages(input), ['script', 'video', 'video']);
    });
  }

  it('a look that is refused for good: failed at once', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [{ status: 202, body: {} }]);
    const looks = provider.looks(input, 'video', [{ status: 400, body: { title: 'no such thing' } }]);
    assert.equal((await failureOf(await stack.start(input))).type, 'generation_failed');
    assert.equal(looks.count, 1);
    assert.match((await rowOf(input)).error_message ?? '', /^http_400: HTTP 400: no such thing/);
  });

  it('a medium that failed is counted and asked for anew; the script is not paid for again', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [{ status: 202, body: {} }]);
    provider.looks(input, 'video', [
      { status: 422, body: { code: 'render_failed', retryable: true } },
      { status: 404 },
      { status: 200, body: { url: 'https://cdn.example/v' } },
    ]);
    await (await stack.start(input)).result();
    const row = await rowOf(input);
    assert.deepEqual([row.status, row.retry_count, row.video_url], ['completed', 2, 'https://cdn.example/v']);
    assert.deepEqual(provider.stages(input), ['script', 'video', 'video', 'video']);
  });

  it('a medium that fails for good: failed in its stage, a letter, and the script is kept', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [{ status: 202, body: {} }]);
    provider.looks(input, 'video', [{ status: 422, body: { code: 'content_blocked', detail: 'not for minors' } }]);
    const handle = await stack.start(input);
    assert.equal((await failureOf(handle)).type, 'content_blocked');
    const row = await rowOf(input);
    assert.deepEqual([row.status, row.error_stage, row.retry_count], ['failed', 'video_generation', 1]);
    assert.equal(row.script_text, 'A lesson on Volcanoes.');
    assert.equal(
      (row.request_metadata?.['usage'] as { provider: string }).provider,
      'http',
      'what was paid for is told',
    );
    const letter = await waitFor('the letter', () =>
      stack.letters.find((each) => each.letter.correlationId === input.request.correlationId),
    );
    assert.deepEqual([letter.letter.stage, letter.letter.reason], ['video_generation', 'content_blocked']);
  });

  it('audio that is made stays in the row when the video fails', async () => {
    const input = requestOf();
    provider.script(input, 'video', [{ status: 422, body: { code: 'no_video' } }]);
    assert.equal((await failureOf(await stack.start(input))).type, 'generation_failed');
    const metadata = (await rowOf(input)).request_metadata;
    assert.equal(metadata?.['audio_url'], 'https://cdn.example/audio');
    assert.deepEqual(Object.keys(metadata['media_usage'] as object), ['audio']);
  });

  it('attempts are counted for each stage, retry_count over all', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'script', [{ status: 500 }, { status: 500 }, provider.aScript]);
    provider.script(input, 'video', [{ status: 500 }]);
    assert.equal((await failureOf(await stack.start(input))).type, 'attempts_exhausted');
    const row = await rowOf(input);
    assert.deepEqual([row.retry_count, row.error_stage], [7, 'video_generation']);
    assert.equal(provider.stages(input).filter((stage) => stage === 'video').length, 5);
  });

  it('a provider that never ends: counted after the limit, then asked anew', async () => {
    const input = requestOf({ requested_modalities: ['video'] });
    provider.script(input, 'video', [
      { status: 202, body: {} },
      { status: 200, body: { url: 'https://cdn.example/v' } },
    ]);
    provider.looks(input, 'video', [{ status: 202, body: {}, headers: { 'retry-after': '1' } }]);
    const handle = await stack.start(input);
    await handle.result();
    const row = await rowOf(input);
    assert.deepEqual([row.status, row.retry_count], ['completed', 1]);
    const { lastFailure } = await handle.query<Progress>('progress');
    assert.equal(lastFailure, 'media_pending: the provider still makes the video');
  });

  it("nobody looks until long after the limit: that is not the provider's, counts nothing and pays nothing twice", async () => {
    const { input, handle } = await beingMade();
    const { workflowService } = stack.temporal.client;
    const activity = { namespace: 'default', execution: { workflowId: handle.workflowId }, type: 'awaitMedium' };
    await workflowService.pauseActivity({ ...activity, identity: 'test' });
    const { raw } = await handle.describe();
    const scheduled = Number(raw.pendingActivities?.[0]?.scheduledTime?.seconds);
    await waitFor('its limit of 7 s is over', () => Date.now() / 1_000 - scheduled > 9);
    provider.looks(input, 'video', [{ status: 200, body: { url: 'https://cdn.example/v' } }]);
    await workflowService.unpauseActivity({ ...activity, identity: 'test' });
    await handle.result();
    const row = await rowOf(input);
    assert.deepEqual([row.status, row.retry_count], ['completed', 0]);
    assert.deepEqual(provider.stages(input), ['script', 'video']);
  });

  it('cancel while the provider works: row cancelled with its script, no letter, and no look more', async () => {
    const { input, handle } = await beingMade();
    await handle.cancel();
    const error: unknown = await handle.result().catch((reason: unknown) => reason);
    assert.ok(error instanceof WorkflowFailedError && error.cause instanceof CancelledFailure, String(error));
    const row = await rowOf(input);
    assert.deepEqual([row.status, row.script_text], ['cancelled', 'A lesson on Volcanoes.']);
    assert.deepEqual(
      stack.letters.filter(({ letter }) => letter.correlationId === input.request.correlationId),
      [],
    );
  });

  it('a row that another run took: ends in silence at the next look', async () => {
    const { input, handle } = await beingMade();
    await stack.query(`update content_requests set owner_token = 'somebody else' where id = $1`, [input.request.rowId]);
    assert.equal((await failureOf(handle)).type, 'row_lost');
  });

  describe('with the example of the docs', () => {
    let example: ExampleProvider;
    let second: TestStack;
    before(async () => {
      example = await startExampleProvider({ SECRET_KEY, SECONDS: '1' });
      second = await startStack({
        generator: httpConfig(example.url),
      });
    });
    after(async () => {
      await second.stop();
      await example.stop();
    });

    it('a request for audio and video is completed', async () => {
      const input = requestOf();
      await (await second.start(input)).result();
      const row = await second.row(input.request.rowId);
      assert.deepEqual([row?.status, row?.video_url], ['completed', 'https://cdn.example/video']);
    });
  });
});
