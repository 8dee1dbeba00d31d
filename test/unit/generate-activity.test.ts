/** One attempt at the content, in the SDK's mock of an activity: what is counted, what is waited for, what stops it. */
import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { ActivityCancellationDetails, ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import pino from 'pino';
import { DatabaseError, type Database } from '../../src/activities/db.ts';
import { generateContent } from '../../src/activities/generate.ts';
import type { Status } from '../../src/contract/status.ts';
import type { Statement } from '../../src/activities/sql.ts';
import {
  GENERATION_FAILURE,
  MAX_RESULT_BYTES,
  type GenerationFailureDetail,
} from '../../src/contract/generation-failure.ts';
import type { GenerationResult } from '../../src/contract/workflow-io.ts';
import { GeneratorError, HttpStatusError, type GenerationContext } from '../../src/generators/generator.ts';
import { recordInput } from '../support/content-rows.ts';

const RESULT: GenerationResult = {
  scriptText: 'script',
  media: { videoUrl: null, thumbnailUrl: null },
  usage: { provider: 'fake', model: null, inputTokens: null, outputTokens: null },
  delivered: ['text'],
};
const { request, ...OWNER } = recordInput('00000000-0000-4000-8000-000000000001', 'run-1');
const INPUT = { ...OWNER, request, attempt: 3, failures: 2 };

interface Row {
  readonly status: Status;
  readonly owner_token: string;
}
type Generate = (context: GenerationContext) => Promise<GenerationResult>;

/** A row in memory: the fenced writes find it while it is open and run-1 owns it. */
class FakeDatabase implements Database {
  readonly writesSeen: { name: string; failures: unknown }[] = [];
  row: Row | undefined = { status: 'pending', owner_token: OWNER.ownerToken };
  /** By the statement's name. */
  readonly broken = new Map<string, Error>();

  writes(statement: Statement): Promise<boolean> {
    const error = this.broken.get(statement.name);
    if (error !== undefined) return Promise.reject(error);
    this.writesSeen.push({ name: statement.name, failures: statement.values[2] });
    const open = this.row !== undefined && !['completed', 'failed', 'cancelled'].includes(this.row.status);
    return Promise.resolve(open && this.row?.owner_token === statement.values[1]);
  }
  maybeOne<T extends object>(): Promise<T | undefined> {
    return Promise.resolve(this.row as T | undefined);
  }
  many<T extends object>(): Promise<T[]> {
    return Promise.resolve([]);
  }
}

describe('generateContent', () => {
  let database: FakeDatabase;
  let environment: MockActivityEnvironment;
  let heartbeats: unknown[];
  let calls: GenerationContext[];
  let warnings: Record<string, unknown>[];
  beforeEach(() => {
    database = new FakeDatabase();
    // The SDK's own logger prints every failed activity; here they are expected.
    environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    heartbeats = [];
    environment.on('heartbeat', (detail: unknown) => heartbeats.push(detail));
    calls = [];
    warnings = [];
  });

  const run = (generate: Generate, generatorTimeoutMs = 60_000): Promise<GenerationResult> =>
    environment.run(() =>
      generateContent(
        {
          database,
          generator: {
            name: 'fake',
            check: () => Promise.resolve('fake'),
            generate: (_, context) => {
              calls.push(context);
              return generate(context);
            },
          },
          generatorTimeoutMs,
          log: pino(
            { level: 'warn' },
            { write: (line: string) => void warnings.push(JSON.parse(line) as Record<string, unknown>) },
          ),
        },
        INPUT,
      ),
    );
  async function errorOf(work: Promise<unknown>): Promise<unknown> {
    return work.then(
      () => assert.fail('it did not fail'),
      (error: unknown) => error,
    );
  }
  async function failureOf(work: Promise<unknown>): Promise<ApplicationFailure> {
    const error = await errorOf(work);
    assert.ok(error instanceof ApplicationFailure, String(error));
    return error;
  }
  const detailOf = (failure: ApplicationFailure): GenerationFailureDetail =>
    failure.details?.[0] as GenerationFailureDetail;
  /** What was written as retry_count after the start, which carries what was counted before. */
  const counted = (): unknown[] => {
    const [first, ...others] = database.writesSeen;
    assert.deepEqual(first, { name: 'start_generation', failures: INPUT.failures });
    return others.map(({ name, failures }) => {
      assert.equal(name, 'count_failure');
      return failures;
    });
  };
  const hangs: Generate = () => new Promise(() => undefined);

  it('marks the row, calls the generator once, and gives its result back', async () => {
    assert.deepEqual(await run(() => Promise.resolve(RESULT)), RESULT);
    assert.equal(calls.length, 1);
    assert.deepEqual(counted(), []);
  });

  it('sends no heartbeat in a short generation, so that none is billed', async () => {
    await run(() => Promise.resolve(RESULT));
    assert.deepEqual(heartbeats, []);
  });

  for (const [what, answer] of [
    ['nothing', undefined],
    ['no text', { ...RESULT, scriptText: null }],
    ['an empty text', { ...RESULT, scriptText: '' }],
    ['no media', { ...RESULT, media: undefined }],
    ['a number too large for JSON', { ...RESULT, usage: { ...RESULT.usage, inputTokens: 1n } }],
  ] as const) {
    it(`an answer with ${what} is a counted failure, never a run that hangs`, async () => {
      const failure = await failureOf(run(() => Promise.resolve(answer as unknown as GenerationResult)));
      assert.deepEqual([failure.type, detailOf(failure).code], [GENERATION_FAILURE.transient, 'bad_result']);
      assert.deepEqual(counted(), [INPUT.failures + 1]);
    });
  }

  it('what was paid for an answer that cannot be used is told', async () => {
    const large = { ...RESULT, scriptText: 'x'.repeat(MAX_RESULT_BYTES) };
    assert.deepEqual(detailOf(await failureOf(run(() => Promise.resolve(large)))).usage, RESULT.usage);
    const empty = { ...RESULT, scriptText: '' };
    assert.deepEqual(detailOf(await failureOf(run(() => Promise.resolve(empty)))).usage, RESULT.usage);
  });

  it('what PostgreSQL cannot hold is cleaned wherever it stands in an answer', async () => {
    const media = { videoUrl: 'https://v/\0', thumbnailUrl: null };
    const result = await run(() => Promise.resolve({ ...RESULT, media, usage: { ...RESULT.usage, model: 'm\ud800' } }));
    assert.deepEqual([result.media.videoUrl, result.usage.model], ['https://v/\u{fffd}', 'm\u{fffd}']);
  });

  it("a provider's page of HTML as the cause does not grow the failure beyond what Temporal takes", async () => {
    const page = new Error('x'.repeat(5_000_000));
    const refused = Object.assign(new Error('http 400', { cause: page }), { status: 400 });
    const failure = await failureOf(run(() => Promise.reject(refused)));
    assert.equal(failure.type, GENERATION_FAILURE.permanent);
    assert(failure.cause instanceof Error && failure.cause.message.length === 2_000);
  });

  it('keeps sending heartbeats while the generator is silent, and stops when it has answered', async () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      await run(() => {
        for (let n = 0; n < 6; n += 1) mock.timers.tick(10_000);
        return Promise.resolve(RESULT);
      });
      // A lost worker is noticed after 30 s without one.
      assert.equal(heartbeats.length, 6);
      mock.timers.tick(60_000);
      assert.equal(heartbeats.length, 6);
    } finally {
      mock.timers.reset();
    }
  });

  describe('before the generator is called', () => {
    const stops: readonly (readonly [what: string, row: Row | undefined, type: string, code: string])[] = [
      ['the row is gone', undefined, GENERATION_FAILURE.rowLost, 'row_lost'],
      ['another run owns it', { status: 'pending', owner_token: 'run-2' }, GENERATION_FAILURE.rowLost, 'row_lost'],
      ...(['completed', 'failed', 'cancelled'] as const).map(
        (status) =>
          [`it is ${status}`, { status, owner_token: 'run-1' }, GENERATION_FAILURE.rowAlreadyTerminal, status] as const,
      ),
    ];
    for (const [what, row, type, code] of stops) {
      it(`${what}: ${type}, and nobody is paid`, async () => {
        database.row = row;
        const failure = await failureOf(run(() => Promise.resolve(RESULT)));
        assert.deepEqual([failure.type, failure.nonRetryable, detailOf(failure).code], [type, true, code]);
        assert.equal(calls.length, 0);
      });
    }

    it('a database that does not answer stops it as it is, uncounted, and nobody is paid', async () => {
      const gone = new DatabaseError('start_generation', Object.assign(new Error('gone'), { code: 'ECONNRESET' }));
      database.broken.set('start_generation', gone);
      assert.equal(await errorOf(run(() => Promise.resolve(RESULT))), gone);
      assert.equal(calls.length, 0);
    });
  });

  describe('a generator that fails', () => {
    const failures: readonly (readonly [
      error: unknown,
      type: string,
      detail: GenerationFailureDetail,
      counts: boolean,
    ])[] = [
      [
        new GeneratorError('transient', 'http_500', 'x'),
        'generation_transient',
        { code: 'http_500', retryAfterMs: null },
        true,
      ],
      [
        new GeneratorError('permanent', 'safety', 'x'),
        'generation_permanent',
        { code: 'safety', retryAfterMs: null },
        true,
      ],
      [
        new GeneratorError('unavailable', 'http_429', 'x', { retryAfterMs: 7_000 }),
        'provider_unavailable',
        { code: 'http_429', retryAfterMs: 7_000 },
        false,
      ],
      [
        new GeneratorError('permanent', 'content_blocked', 'x', { usage: RESULT.usage }),
        'content_blocked',
        { code: 'content_blocked', retryAfterMs: null, usage: RESULT.usage },
        true,
      ],
      [
        new GeneratorError('permanent', 'result_too_large', 'x'),
        'result_too_large',
        { code: 'result_too_large', retryAfterMs: null },
        true,
      ],
      // A provider's own word for a refusal may be the name of something that every object has.
      ...['constructor', '__proto__', 'tostring', 'hasOwnProperty'].map(
        (code) =>
          [
            new GeneratorError('permanent', code, 'x'),
            'generation_permanent',
            { code, retryAfterMs: null },
            true,
          ] as const,
      ),
      [
        new GeneratorError('configuration', 'no_credentials', 'x'),
        'provider_unavailable',
        { code: 'no_credentials', retryAfterMs: null },
        false,
      ],
      [
        new HttpStatusError(403, 'no role', null),
        'provider_unavailable',
        { code: 'http_403', retryAfterMs: null },
        false,
      ],
      [
        new HttpStatusError(503, 'later', 9_000),
        'provider_unavailable',
        { code: 'http_503', retryAfterMs: 9_000 },
        false,
      ],
      [new Error('a bug'), 'generation_transient', { code: 'unknown', retryAfterMs: null }, true],
      ['only a text', 'generation_transient', { code: 'unknown', retryAfterMs: null }, true],
      [undefined, 'generation_transient', { code: 'unknown', retryAfterMs: null }, true],
      [Object.create(null), 'generation_transient', { code: 'unknown', retryAfterMs: null }, true],
      [
        Object.assign(new Error('x'), { message: undefined }),
        'generation_transient',
        { code: 'unknown', retryAfterMs: null },
        true,
      ],
    ];
    for (const [index, [error, type, detail, counts]] of failures.entries()) {
      it(`${String(index + 1)}: ${type}, ${detail.code}, ${counts ? 'counted' : 'not counted'}; Temporal does not retry it`, async () => {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a provider's library may reject with anything
        const failure = await failureOf(run(() => Promise.reject(error)));
        assert.deepEqual([failure.type, failure.nonRetryable, detailOf(failure)], [type, true, detail]);
        assert.deepEqual(counted(), counts ? [INPUT.failures + 1] : []);
      });
    }

    it('before it has made a promise is as any other', async () => {
      const failure = await failureOf(
        run(() => {
          throw new GeneratorError('permanent', 'safety', 'x');
        }),
      );
      assert.equal(failure.type, GENERATION_FAILURE.permanent);
    });

    it('with a page of text is cut to what a history should hold', async () => {
      const failure = await failureOf(run(() => Promise.reject(new Error(`\ud800${'x'.repeat(100_000)}`))));
      assert.match(failure.message, /^\u{fffd}x{1999}$/u);
    });

    for (const [what, broken] of [
      ['a database that is gone', new DatabaseError('count_failure', new Error('gone'))],
      [
        'a database that refuses',
        new DatabaseError('count_failure', Object.assign(new Error('no'), { code: '23514' })),
      ],
    ] as const) {
      it(`${what} while the failure is noted hides nothing: the generator's failure stands, and a warning is logged`, async () => {
        database.broken.set('count_failure', broken);
        const failure = await failureOf(run(() => Promise.reject(new GeneratorError('permanent', 'safety', 'x'))));
        assert.deepEqual([failure.type, detailOf(failure).code], [GENERATION_FAILURE.permanent, 'safety']);
        assert.equal(warnings.length, 1);
        assert.match(JSON.stringify(warnings[0]), /retry_count not written/);
      });
    }
  });

  describe('a generator that is too slow', () => {
    it('counts as transient, and its signal tells it to stop what it is paid for', async () => {
      const failure = await failureOf(
        run(
          ({ signal }) =>
            new Promise((_, reject) => {
              signal.addEventListener('abort', () => reject(new Error('stopped')));
            }),
          20,
        ),
      );
      assert.deepEqual([failure.type, failure.nonRetryable], [GENERATION_FAILURE.transient, true]);
      assert.equal(detailOf(failure).code, 'generator_timeout');
      assert.match(failure.message, /20 ms/);
      assert.deepEqual(counted(), [INPUT.failures + 1]);
    });

    it("and ignores its signal does not hold the slot; what it says later is nobody's error", async () => {
      let rejectLate: (error: Error) => void = () => undefined;
      const failure = await failureOf(
        run(
          () =>
            new Promise((_, reject) => {
              rejectLate = reject;
            }),
          20,
        ),
      );
      assert.equal(detailOf(failure).code, 'generator_timeout');
      // An unhandled rejection would fail this test.
      rejectLate(new Error('late'));
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(counted(), [INPUT.failures + 1]);
    });
  });

  describe('stopped from outside', () => {
    const shutdown = new ActivityCancellationDetails({ workerShutdown: true });

    it('a cancel of the run is a cancellation: not counted, not retried, whatever the generator does', async () => {
      for (const generate of [
        hangs,
        (({ signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => reject(new GeneratorError('permanent', 'aborted', 'x')));
          })) satisfies Generate,
      ]) {
        const fresh = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
        environment = fresh;
        database = new FakeDatabase();
        const error = await errorOf(
          run((context) => {
            setImmediate(() => fresh.cancel('CANCELLED'));
            return generate(context);
          }),
        );
        assert.ok(error instanceof CancelledFailure, String(error));
        assert.deepEqual(counted(), []);
      }
    });

    it('a cancel that was there before the generator began is one too', async () => {
      environment.cancel('CANCELLED');
      assert.ok((await errorOf(run(hangs))) instanceof CancelledFailure);
    });

    it('a worker that shuts down gives the attempt back: retried elsewhere, not counted', async () => {
      const failure = await failureOf(
        run(() => {
          setImmediate(() => environment.cancel('WORKER_SHUTDOWN', shutdown));
          return new Promise(() => undefined);
        }),
      );
      assert.deepEqual([failure.type, failure.nonRetryable], [GENERATION_FAILURE.shutdown, false]);
      assert.deepEqual(counted(), []);
    });

    it('a result that is there in spite of it is not thrown away: it is paid for', async () => {
      const result = await run(() => {
        environment.cancel('WORKER_SHUTDOWN', shutdown);
        return Promise.resolve(RESULT);
      }).catch((error: unknown) => error);
      assert.deepEqual(result, RESULT);
    });
  });

  describe('a result', () => {
    const overhead = Buffer.byteLength(JSON.stringify({ ...RESULT, scriptText: '' }));
    const ofBytes = (bytes: number, character = 'x'): Generate => {
      const count = (bytes - overhead) / Buffer.byteLength(character);
      return () => Promise.resolve({ ...RESULT, scriptText: character.repeat(Math.ceil(count)) });
    };

    it('of exactly 1 MiB is taken', async () => {
      const result = await run(ofBytes(MAX_RESULT_BYTES));
      assert.equal(Buffer.byteLength(JSON.stringify(result)), MAX_RESULT_BYTES);
    });

    for (const [what, generate] of [
      ['of one byte more', ofBytes(MAX_RESULT_BYTES + 1)],
      ['over 1 MiB in bytes, though not in characters', ofBytes(MAX_RESULT_BYTES + 1, 'é')],
    ] as const) {
      it(`${what} is too large, for good`, async () => {
        const failure = await failureOf(run(generate));
        assert.deepEqual([failure.type, failure.nonRetryable], [GENERATION_FAILURE.tooLarge, true]);
        assert.equal(detailOf(failure).code, 'result_too_large');
        assert.ok(failure.message.length < 200, 'the message does not carry the result');
      });
    }
  });
});
