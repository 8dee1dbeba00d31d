/** One medium, in the SDK's mock of an activity: what the database's absence costs, and what a changed worker makes of it. */
import assert from 'node:assert/strict';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import pino from 'pino';
import { DatabaseError, type Database } from '../../src/activities/db.ts';
import { awaitMedium, startMedium, type MediaDeps } from '../../src/activities/media.ts';
import type { Statement } from '../../src/activities/sql.ts';
import { GENERATION_FAILURE } from '../../src/contract/generation-failure.ts';
import {
  GeneratorError,
  PROVIDER_MOVED,
  type MediaGenerator,
  type MediumAnswer,
} from '../../src/generators/generator.ts';
import { recordInput } from '../support/content-rows.ts';

const { request, ...OWNER } = recordInput('00000000-0000-4000-8000-000000000001', 'run-1');
const START = { ...OWNER, request, medium: 'video', failures: 2 } as const;
const AWAIT = { ...OWNER, medium: 'video', statusUrl: 'https://provider/jobs/1', failures: 2 } as const;
const MADE: MediumAnswer = { kind: 'made', made: { url: 'https://v/\0', thumbnailUrl: null, usage: null } };
const PENDING: MediumAnswer = {
  kind: 'pending',
  statusUrl: 'https://provider/jobs/1',
  retryAfterMs: 7_000,
  progress: 5,
};

describe('a medium', () => {
  /** Statements that the database does not take. */
  let broken: ReadonlySet<string>;
  let refused: boolean;
  let written: string[];
  let reports: unknown[];
  let lines: string[];
  beforeEach(() => {
    broken = new Set();
    refused = false;
    written = [];
    reports = [];
    lines = [];
  });

  const note = (statement: Statement): void => {
    if (broken.has(statement.name))
      throw new DatabaseError(statement.name, Object.assign(new Error('x'), { code: refused ? '23514' : '57P01' }));
    written.push(statement.name);
  };
  const database: Database = {
    writes: (statement) =>
      Promise.resolve(statement)
        .then(note)
        .then(() => true),
    maybeOne: async <T extends object>(statement: Statement): Promise<T | undefined> => {
      await Promise.resolve();
      note(statement);
      return { script_text: 'script' } as unknown as T;
    },
    many: () => Promise.resolve([]),
  };

  function deps(answer: MediumAnswer | Error | null): MediaDeps {
    const reply = (): Promise<MediumAnswer> =>
      answer instanceof Error || answer === null
        ? Promise.reject(answer ?? new Error('never'))
        : Promise.resolve(answer);
    const media: MediaGenerator = { start: reply, look: reply };
    return {
      database,
      generator: {
        name: 'fake',
        generate: () => Promise.reject(new Error('not asked for')),
        check: () => Promise.resolve(''),
        ...(answer === null ? {} : { media }),
      },
      generatorTimeoutMs: 5_000,
      mediaTimeoutMs: 60_000,
      log: pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }),
      onProvider: (failure) => void reports.push(failure?.kind ?? null),
    };
  }

  /** `agoMs`: since its first try was scheduled. */
  const run = <T>(work: () => Promise<T>, agoMs = 0): Promise<T> =>
    new MockActivityEnvironment(
      { scheduledTimestampMs: Date.now() - agoMs },
      { logger: new DefaultLogger('ERROR') },
    ).run(work);
  async function failureOf(work: Promise<unknown>): Promise<ApplicationFailure> {
    const error: unknown = await work.catch((reason: unknown) => reason);
    assert.ok(error instanceof ApplicationFailure, String(error));
    return error;
  }

  it('is kept at once, clean, and its stage is marked before it is asked for', async () => {
    const answer = await run(() => startMedium(deps(MADE), START));
    assert.deepEqual(answer, { kind: 'made', made: { url: 'https://v/\u{fffd}', thumbnailUrl: null, usage: null } });
    assert.deepEqual(written, ['start_medium', 'store_medium']);
  });

  it('what was given is not asked for again because the database was away when it came', async () => {
    broken = new Set(['store_medium', 'mark_medium']);
    assert.equal((await run(() => startMedium(deps(MADE), START))).kind, 'made');
    assert.equal((await run(() => startMedium(deps(PENDING), START))).kind, 'pending');
    assert.equal((await run(() => awaitMedium(deps(MADE), AWAIT))).url, 'https://v/\u{fffd}');
    assert.equal(lines.filter((line) => line.includes('the end of the run carries it')).length, 3);
  });

  it('what the database refuses for good ends it before more is paid for', async () => {
    refused = true;
    broken = new Set(['store_medium']);
    await assert.rejects(
      run(() => startMedium(deps(MADE), START)),
      DatabaseError,
    );
  });

  it('a look that says not yet: benign, and asked again when the provider says', async () => {
    const failure = await failureOf(run(() => awaitMedium(deps(PENDING), AWAIT)));
    assert.deepEqual(
      [failure.type, failure.category, failure.nonRetryable, failure.nextRetryDelay],
      [GENERATION_FAILURE.mediaPending, 'BENIGN', false, 7_000],
    );
  });

  it('waits that make no sense are cut: none spins, none sleeps for a day', async () => {
    for (const [asked, given] of [
      [0, 1_000],
      [86_400_000, 600_000],
    ] as const) {
      const failure = await failureOf(run(() => awaitMedium(deps({ ...PENDING, retryAfterMs: asked }), AWAIT)));
      assert.equal(failure.nextRetryDelay, given);
    }
  });

  it('a wait ends with the limit, and what is answered then is the last word', async () => {
    const limited = { ...AWAIT, limitMs: 20_000 };
    const away = new GeneratorError('unavailable', 'http_503', 'x');
    for (const [answer, type] of [
      [{ ...PENDING, retryAfterMs: 60_000 }, GENERATION_FAILURE.mediaPending],
      [away, GENERATION_FAILURE.mediaUnknown],
    ] as const) {
      const before = await failureOf(run(() => awaitMedium(deps(answer), limited), 10_000));
      assert.deepEqual([before.type, before.nonRetryable], [type, false]);
      const after = await failureOf(run(() => awaitMedium(deps(answer), limited), 20_000));
      assert.deepEqual([after.type, after.nonRetryable, after.nextRetryDelay], [type, true, undefined]);
    }
    const pending = await failureOf(
      run(() => awaitMedium(deps({ ...PENDING, retryAfterMs: 60_000 }), limited), 10_000),
    );
    const delay = Number(pending.nextRetryDelay);
    assert.ok(delay > 5_000 && delay <= 10_000, `asked again in ${String(delay)} ms, and 10,000 are left`);
  });

  it('however late it is, the provider is asked: the wait for a worker is not its own', async () => {
    const made = await run(() => awaitMedium(deps(MADE), { ...AWAIT, limitMs: 20_000 }), 86_400_000);
    assert.equal(made.url, 'https://v/\u{fffd}');
  });

  it('a run of before has no limit here: the one of its activity ends it', async () => {
    const failure = await failureOf(run(() => awaitMedium(deps(PENDING), AWAIT), 86_400_000));
    assert.deepEqual([failure.nonRetryable, failure.nextRetryDelay], [false, 7_000]);
  });

  it('taken by the provider before: asked for anew, uncounted, and the one of now is not blamed', async () => {
    const moved = new GeneratorError('unavailable', PROVIDER_MOVED, 'x');
    const failure = await failureOf(run(() => awaitMedium(deps(moved), AWAIT)));
    assert.deepEqual([failure.type, failure.nonRetryable], [GENERATION_FAILURE.unavailable, true]);
    assert.deepEqual([reports, written], [[], []]);
  });

  it('a generator that makes no media: waits, is told in the log, and readiness does not blame it', async () => {
    for (const work of [() => startMedium(deps(null), START), () => awaitMedium(deps(null), AWAIT)]) {
      const failure = await failureOf(run<unknown>(work));
      assert.deepEqual([failure.type, failure.nonRetryable], [GENERATION_FAILURE.unavailable, true]);
    }
    assert.equal(lines.filter((line) => line.includes('no media provider')).length, 2);
    assert.deepEqual(reports, []);
  });
});
