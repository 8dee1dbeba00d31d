/** The writes to the row, each fenced by owner and status: what they do, and above all when they do nothing. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  cancelRequest,
  completeRequest,
  countFailure,
  failRequest,
  markMedium,
  recordRequest,
  rejectRequest,
  startGeneration,
  startMediumStage,
  storeMedium,
  storeScript,
} from '../../src/activities/content-requests.ts';
import { DatabaseError, openDatabase, type Database } from '../../src/activities/db.ts';
import { OPEN_STATUSES, STATUSES, TERMINAL_STATUSES, type Status } from '../../src/contract/status.ts';
import type { FencedResult, Ownership, RejectInput } from '../../src/contract/workflow-io.ts';
import { completeInput, failInput, recordInput, startContentRows, type ContentRows } from '../support/content-rows.ts';

const MADE = { url: 'https://v', thumbnailUrl: 'https://t', usage: null };

/** Every fenced write, and the terminal status that is its own. */
const WRITES: Readonly<
  Record<string, { own?: Status; write: (database: Database, owner: Ownership) => Promise<FencedResult> }>
> = {
  startGeneration: { write: (database, owner) => startGeneration(database, owner, 1) },
  countFailure: { write: (database, owner) => countFailure(database, owner, 1) },
  storeScript: { write: (database, owner) => storeScript(database, { ...owner, scriptText: 'script', failures: 0 }) },
  startMediumStage: {
    write: async (database, owner) => (await startMediumStage(database, owner, 'video', 0)).written,
  },
  storeMedium: { write: (database, owner) => storeMedium(database, owner, 'video', MADE) },
  markMedium: { write: (database, owner) => markMedium(database, owner, 'video', 50) },
  completeRequest: { own: 'completed', write: (database, owner) => completeRequest(database, completeInput(owner)) },
  failRequest: { own: 'failed', write: (database, owner) => failRequest(database, failInput(owner)) },
  cancelRequest: { own: 'cancelled', write: cancelRequest },
};

describe('content_requests', () => {
  let rows: ContentRows;
  before(async () => {
    rows = await startContentRows('content_requests');
  });
  after(() => rows.stop());

  /** The row is the same before and after. */
  async function untouched<T>(rowId: string, work: () => Promise<T>): Promise<T> {
    const earlier = [await rows.row(rowId), await rows.events(rowId)];
    const result = await work();
    assert.deepEqual([await rows.row(rowId), await rows.events(rowId)], earlier);
    return result;
  }

  for (const [name, { own, write }] of Object.entries(WRITES)) {
    describe(name, () => {
      for (const status of OPEN_STATUSES) {
        it(`writes a row that is ${status} and its own`, async () => {
          const owner = { rowId: await rows.insert({ status, owner_token: 'run-1' }), ownerToken: 'run-1' };
          assert.deepEqual(await write(rows.database, owner), { kind: 'written' });
        });
      }

      for (const status of STATUSES) {
        for (const token of ['run-2', null]) {
          it(`row-lost: the row is ${status} and owned by ${token ?? 'nobody'}`, async () => {
            const rowId = await rows.insert({ status, owner_token: token });
            const result = await untouched(rowId, () => write(rows.database, { rowId, ownerToken: 'run-1' }));
            assert.deepEqual(result, { kind: 'row-lost' });
          });
        }
      }

      it('row-lost: the row is gone', async () => {
        const owner = { rowId: randomUUID(), ownerToken: 'run-1' };
        assert.deepEqual(await write(rows.database, owner), { kind: 'row-lost' });
      });

      for (const status of TERMINAL_STATUSES) {
        const expected =
          status === own
            ? ({ kind: 'written', again: true } as const)
            : ({ kind: 'row-already-terminal', status } as const);
        it(`${expected.kind}, nothing changed: its own row is ${status} already`, async () => {
          const owner = { rowId: await rows.insert({ status, owner_token: 'run-1' }), ownerToken: 'run-1' };
          assert.deepEqual(await untouched(owner.rowId, () => write(rows.database, owner)), expected);
        });
      }
    });
  }

  describe('media', () => {
    const look = async (owner: Ownership): Promise<unknown[]> => {
      const row = await rows.row(owner.rowId);
      return [row?.['status'], row?.['current_stage'], row?.['progress_percentage']];
    };
    const begun = async (): Promise<Ownership> => {
      const owner = { rowId: await rows.insert({ owner_token: 'run-1' }), ownerToken: 'run-1' };
      await startGeneration(rows.database, owner, 0);
      await storeScript(rows.database, { ...owner, scriptText: 'script\0', failures: 0 });
      return owner;
    };

    it('the script is in the row before the media are asked for, and comes back for them', async () => {
      const owner = await begun();
      assert.deepEqual(await look(owner), ['generating_script', 'script_generation', 50]);
      const started = await startMediumStage(rows.database, owner, 'audio', 0);
      assert.deepEqual(started, { written: { kind: 'written' }, scriptText: 'script\u{fffd}' });
      assert.deepEqual(await look(owner), ['generating_video', 'audio_generation', 55]);
    });

    it('progress is a share of the medium, from anything that a provider may say, and never falls', async () => {
      const owner = await begun();
      await startMediumStage(rows.database, owner, 'video', 0);
      for (const [said, expected] of [
        [0, 65],
        [50, 80],
        [20, 80],
        [NaN, 80],
        [-7, 80],
        [1e9, 95],
        [Infinity, 95],
      ] as const) {
        assert.deepEqual(await markMedium(rows.database, owner, 'video', said), { kind: 'written' });
        assert.deepEqual(await look(owner), ['processing_video', 'video_generation', expected], String(said));
      }
      await startMediumStage(rows.database, owner, 'video', 1);
      assert.deepEqual(await look(owner), ['generating_video', 'video_generation', 95]);
    });

    it('a failed row keeps what was paid for, and a run that takes it over begins without', async () => {
      const owner = await begun();
      const usage = { provider: 'http', model: 'm', inputTokens: null, outputTokens: null, costUsd: 2.5 };
      await storeScript(rows.database, { ...owner, scriptText: 'script', failures: 0, usage });
      await storeMedium(rows.database, owner, 'audio', { ...MADE, url: 'https://a', usage });
      await storeMedium(rows.database, owner, 'video', { ...MADE, usage });
      await failRequest(rows.database, failInput(owner));
      const results = async (): Promise<unknown[]> => {
        const row = await rows.row(owner.rowId);
        const metadata = row?.['request_metadata'] as Record<string, unknown>;
        const columns = [row?.['script_text'], row?.['video_url'], row?.['thumbnail_url']];
        return [...columns, metadata['audio_url'], metadata['usage'], metadata['media_usage']];
      };
      const kept = ['script', 'https://v', 'https://t', 'https://a', usage, { audio: usage, video: usage }];
      assert.deepEqual(await results(), kept);
      await recordRequest(rows.database, recordInput(owner.rowId, 'run-2', { publishTime: '2126-01-01T00:00:00Z' }));
      assert.deepEqual(await results(), [null, null, null, undefined, undefined, undefined]);
    });

    it('what was made, used and spent in vain stands in the metadata', async () => {
      const owner = await begun();
      const usage = { provider: 'http', model: 'm', inputTokens: 1, outputTokens: 2, costUsd: 0.5 };
      const spent = { attempts: 2, inputTokens: null, outputTokens: 9, costUsd: 1.5 };
      const input = completeInput(owner);
      const media = { videoUrl: 'https://v', thumbnailUrl: 'https://t', audioUrl: 'https://a' };
      const result = { ...input.result, media, delivered: ['text', 'video'], mediaUsage: { video: usage } };
      await completeRequest(rows.database, { ...input, result, spent });
      const row = await rows.row(owner.rowId);
      assert.deepEqual([row?.['video_url'], row?.['thumbnail_url']], ['https://v', 'https://t']);
      const metadata = row?.['request_metadata'] as Record<string, unknown>;
      assert.equal(metadata['audio_url'], 'https://a');
      assert.deepEqual(metadata['media_usage'], { video: usage });
      assert.deepEqual(metadata['failed_attempts_usage'], spent);
    });

    it('a media_usage that is no object gives way', async () => {
      for (const odd of ['null', '"x"', '[1]', '7']) {
        const owner = await begun();
        await rows.query(
          `update content_requests set request_metadata = jsonb_build_object('media_usage', $2::jsonb) where id = $1`,
          [owner.rowId, odd],
        );
        await storeMedium(rows.database, owner, 'video', {
          ...MADE,
          usage: { provider: 'p', model: null, inputTokens: null, outputTokens: null },
        });
        const metadata = (await rows.row(owner.rowId))?.['request_metadata'] as Record<string, object>;
        assert.deepEqual(Object.keys(metadata['media_usage'] ?? {}), ['video'], odd);
      }
    });

    it('a failed row says what was spent', async () => {
      const owner = await begun();
      const spent = { attempts: 1, inputTokens: 3, outputTokens: 9, costUsd: null };
      await failRequest(rows.database, { ...failInput(owner), spent });
      const details = (await rows.row(owner.rowId))?.['error_details'] as Record<string, unknown>;
      assert.deepEqual(details['usage'], spent);
    });
  });

  describe('retry_count', () => {
    it('never falls, whichever write carries an older count', async () => {
      const owner = { rowId: await rows.insert({ owner_token: 'run-1', retry_count: null }), ownerToken: 'run-1' };
      const count = async (): Promise<unknown> => (await rows.row(owner.rowId))?.['retry_count'];
      await startGeneration(rows.database, owner, 0);
      assert.equal(await count(), 0, 'an adopted row may hold null');
      await countFailure(rows.database, owner, 2);
      await countFailure(rows.database, owner, 1);
      assert.equal(await count(), 2);
      await startGeneration(rows.database, owner, 1);
      assert.equal(await count(), 2);
      await completeRequest(rows.database, completeInput(owner, 1));
      assert.equal(await count(), 2);
    });

    it('never falls at a failure, and begins anew with a new run', async () => {
      const owner = { rowId: await rows.insert({ owner_token: 'run-1', retry_count: 4 }), ownerToken: 'run-1' };
      await failRequest(rows.database, failInput(owner, 3));
      assert.equal((await rows.row(owner.rowId))?.['retry_count'], 4);
      const later = recordInput(owner.rowId, 'run-2', { publishTime: '2126-01-01T00:00:00Z' });
      assert.deepEqual(await recordRequest(rows.database, later), { kind: 'owned' });
      assert.equal((await rows.row(owner.rowId))?.['retry_count'], 0);
    });
  });

  it('a result that was paid for is stored though it holds what PostgreSQL cannot: NUL, half a surrogate pair', async () => {
    const owner = { rowId: await rows.insert({ owner_token: 'run-1' }), ownerToken: 'run-1' };
    const input = completeInput(owner);
    const scriptText = 'a\0b\ud800c';
    const result = { ...input.result, scriptText };
    assert.deepEqual(await completeRequest(rows.database, { ...input, result }), { kind: 'written' });
    assert.equal((await rows.row(owner.rowId))?.['script_text'], 'a\u{fffd}b\u{fffd}c');
  });

  it('metadata of an adopted row may be JSON null, or no object: what we add is not lost in an array', async () => {
    for (const request_metadata of ['null', '[1]', '"text"']) {
      const rowId = await rows.insert({ request_metadata });
      assert.deepEqual(await recordRequest(rows.database, recordInput(rowId, 'run-1')), { kind: 'owned' });
      const metadata = (await rows.row(rowId))?.['request_metadata'] as Record<string, unknown>;
      assert.equal(metadata['content_sha256'], 'hash-1');
    }
  });

  it('a row keeps the correlation_id that its maker polls by', async () => {
    const rowId = await rows.insert({ correlation_id: 'made-by-the-api' });
    const input = recordInput(rowId, 'run-1', { correlationId: rowId });
    assert.deepEqual(await recordRequest(rows.database, input), { kind: 'owned' });
    assert.equal((await rows.row(rowId))?.['correlation_id'], 'made-by-the-api');
  });

  it('a delivery that failed and comes again is told by its message, though its clock says that it is newer', async () => {
    const rowId = await rows.insert();
    const published = '2126-01-01T00:00:00.000000Z';
    const input = recordInput(rowId, 'run-1', { publishTime: published });
    assert.deepEqual(await recordRequest(rows.database, input), { kind: 'owned' });
    await failRequest(rows.database, failInput({ rowId, ownerToken: 'run-1' }, 1));
    const again = { ...input, ownerToken: 'run-2' };
    assert.deepEqual(await recordRequest(rows.database, again), { kind: 'late-redelivery' });
    const replayed = { ...again, messageId: 'replayed' };
    assert.deepEqual(await recordRequest(rows.database, replayed), { kind: 'owned' });
  });

  describe('recordRequest', () => {
    it('makes a row that says all the message said', async () => {
      const rowId = randomUUID();
      const input = recordInput(rowId, 'run-1', { gradeLevel: '9', durationMinutes: 3, interest: 'football' });
      assert.deepEqual(await recordRequest(rows.database, input), { kind: 'owned' });
      const { started_at, created_at, ...row } = (await rows.row(rowId)) ?? {};
      assert.ok(started_at instanceof Date && created_at instanceof Date);
      assert.deepEqual(Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)), {
        id: rowId,
        correlation_id: `correlation-${rowId}`,
        student_id: 'student-1',
        topic: 'Photosynthesis',
        grade_level: '9',
        duration_minutes: 3,
        status: 'pending',
        current_stage: 'request_received',
        progress_percentage: 0,
        retry_count: 0,
        owner_token: 'run-1',
        request_metadata: {
          content_sha256: 'hash-1',
          message_id: 'message-of-run-1',
          publish_time: '2026-11-24T09:00:00.000Z',
          owned_since: '2026-11-24T09:00:01.000Z',
          interest: 'football',
          environment: null,
          requested_modalities: ['video'],
          preferred_modality: 'video',
        },
      });
      await untouched(rowId, async () =>
        assert.deepEqual(await recordRequest(rows.database, input), { kind: 'owned' }),
      );
    });

    it('takes a failed row over as if it were new, and keeps what others noted in its metadata', async () => {
      const owner = { rowId: await rows.insert({ owner_token: 'run-1' }), ownerToken: 'run-1' };
      await failRequest(rows.database, failInput(owner, 2));
      await rows.query(`update content_requests set request_metadata = '{"note": "by hand"}' where id = $1`, [
        owner.rowId,
      ]);
      const late = recordInput(owner.rowId, 'run-2');
      await untouched(owner.rowId, async () => {
        assert.deepEqual(await recordRequest(rows.database, late), { kind: 'late-redelivery' });
      });
      const again = recordInput(owner.rowId, 'run-2', { publishTime: '2126-01-01T00:00:00Z', topic: 'Gravity' });
      assert.deepEqual(await recordRequest(rows.database, again), { kind: 'owned' });
      const row = await rows.row(owner.rowId);
      const cleared = ['failed_at', 'error_stage', 'error_message', 'error_details'].map((column) => row?.[column]);
      assert.deepEqual(cleared, [null, null, null, null]);
      assert.deepEqual([row?.['status'], row?.['topic'], row?.['owner_token']], ['pending', 'Gravity', 'run-2']);
      assert.equal((row?.['request_metadata'] as Record<string, unknown>)['note'], 'by hand');
    });

    it("touches neither another student's row nor one with other content nor the holder of its correlation_id", async () => {
      const rowId = await rows.insert();
      const refusedAs = (input: ReturnType<typeof recordInput>): Promise<unknown> =>
        untouched(rowId, async () => {
          const decision = await recordRequest(rows.database, input);
          return decision.kind === 'conflict' ? decision.code : decision.kind;
        });
      assert.equal(await refusedAs(recordInput(rowId, 'run-1', { studentId: 'student-2' })), 'student_mismatch');
      assert.equal(await refusedAs(recordInput(rowId, 'run-1', { topic: 'Gravity' })), 'conflicting_duplicate');
      const other = recordInput(randomUUID(), 'run-1', { correlationId: `correlation-${rowId}` });
      assert.equal(await refusedAs(other), 'correlation_id_taken');
      assert.equal(await rows.row(other.rowId), undefined);
    });

    it('a foreign key of an adopted table: refused for good, and no row', async () => {
      const url = await rows.postgres.createDatabase('adopted', await rows.postgres.templateDatabase());
      const adopted = openDatabase(
        { url, poolSize: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 },
        { applicationName: 'test', onIdleError: () => undefined },
      );
      for (const text of [
        'create table users (user_id varchar(100) primary key)',
        'alter table content_requests add constraint of_a_user foreign key (student_id) references users (user_id)',
      ]) {
        await adopted.writes({ name: text.slice(0, 60), text, values: [], index: null });
      }
      await assert.rejects(recordRequest(adopted, recordInput(randomUUID(), 'run-1')), (error) => {
        assert.ok(error instanceof DatabaseError);
        assert.deepEqual([error.code, error.permanent, error.constraint], ['23503', true, 'of_a_user']);
        return true;
      });
      const count = { name: 'count', text: 'select id from content_requests', values: [], index: null };
      assert.deepEqual(await adopted.many(count), []);
      await adopted.close();
    });
  });

  describe('the event log', () => {
    const begun = async (): Promise<Ownership> => {
      const rowId = randomUUID();
      await recordRequest(rows.database, recordInput(rowId, 'run-1'));
      const owner = { rowId, ownerToken: 'run-1' };
      await startGeneration(rows.database, owner, 0);
      await countFailure(rows.database, owner, 1);
      await startGeneration(rows.database, owner, 1);
      return owner;
    };
    const BEGUN = ['info: created as pending by run-1', 'info: status pending -> generating_script by run-1'];

    /** How a run ends, and the line that says so; the second call is a retried write. */
    const ends: readonly (readonly [line: string, end: (owner: Ownership) => Promise<FencedResult>])[] = [
      ['info: status generating_script -> completed', (owner) => completeRequest(rows.database, completeInput(owner))],
      ['error: status generating_script -> failed', (owner) => failRequest(rows.database, failInput(owner))],
      ['info: status generating_script -> cancelled', (owner) => cancelRequest(rows.database, owner)],
    ];
    for (const [line, end] of ends) {
      it(`has one line for each status, in order: … ${line}`, async () => {
        const owner = await begun();
        await end(owner);
        await end(owner);
        assert.deepEqual(await rows.events(owner.rowId), [...BEGUN, `${line} by run-1`]);
      });
    }

    it('tells of a run that takes over, and which process wrote', async () => {
      const owner = await begun();
      await failRequest(rows.database, failInput(owner));
      await recordRequest(rows.database, recordInput(owner.rowId, 'run-2', { publishTime: '2126-01-01T00:00:00Z' }));
      assert.deepEqual((await rows.events(owner.rowId)).slice(2), [
        'error: status generating_script -> failed by run-1',
        'info: status failed -> pending by run-2',
      ]);
      const [source] = await rows.query('select distinct source_service from request_events where request_id = $1', [
        owner.rowId,
      ]);
      assert.deepEqual(source, { source_service: 'content-worker' });
    });
  });

  describe('failRequest of a run that never came to own the row', () => {
    const fail = (rowId: string, runId = 'run-x'): Promise<FencedResult> =>
      failRequest(rows.database, {
        ...failInput({ rowId, ownerToken: 'token-1' }),
        code: 'database_rejected',
        stage: 'request_received',
        runId,
        neverOwned: true,
      });

    it('fails a row that is pending and was never owned, and no other row; its own retried write is a success', async () => {
      const [rowId, bystander] = [await rows.insert(), await rows.insert()];
      await untouched(bystander, async () => assert.deepEqual(await fail(rowId), { kind: 'written' }));
      const row = await rows.row(rowId);
      assert.deepEqual(
        [row?.['status'], row?.['error_stage'], row?.['owner_token']],
        ['failed', 'request_received', null],
      );
      assert.deepEqual(row?.['error_details'], {
        code: 'database_rejected',
        attempts: 0,
        workflow_id: 'content-request/x',
        run_id: 'run-x',
      });
      await untouched(rowId, async () => {
        assert.deepEqual(await fail(rowId), { kind: 'written', again: true });
        assert.deepEqual(await fail(rowId, 'run-y'), { kind: 'row-lost' }, 'the twin: of another run');
      });
    });

    it('leaves every row alone that a run has owned or that is not pending, and makes none', async () => {
      for (const status of STATUSES) {
        // Its own token too: it never came to own the row, so a row that says so is none of this call's.
        for (const owner_token of status === 'pending' ? ['run-1', 'token-1'] : ['run-1', 'token-1', null]) {
          const rowId = await rows.insert({ status, owner_token });
          await untouched(rowId, async () => assert.deepEqual(await fail(rowId), { kind: 'row-lost' }));
        }
      }
      const missing = randomUUID();
      assert.deepEqual(await fail(missing), { kind: 'row-lost' });
      assert.equal(await rows.row(missing), undefined);
    });

    it('a valid message of the same request is not lost to it: it takes the row over', async () => {
      const rowId = await rows.insert();
      await fail(rowId);
      assert.deepEqual(await recordRequest(rows.database, recordInput(rowId, 'run-1')), { kind: 'owned' });
    });
  });

  describe('rejectRequest', () => {
    const byId = (rowId: string): RejectInput['lookup'] => ({ rowId });
    const byCorrelation = (rowId: string): RejectInput['lookup'] => ({ correlationId: `correlation-${rowId}` });
    const reject = (lookup: RejectInput['lookup'], detail = 'student_id is required'): Promise<unknown> =>
      rejectRequest(rows.database, { lookup, code: 'invalid_fields', detail, messageId: 'message-1' });

    for (const [how, lookup] of [
      ['by row id', byId],
      ['by correlation_id', byCorrelation],
    ] as const) {
      it(`${how}: fails a row that is pending and was never owned, once, and no other row`, async () => {
        const [rowId, bystander] = [await rows.insert(), await rows.insert()];
        await untouched(bystander, async () => {
          assert.deepEqual(await reject(lookup(rowId)), { outcome: 'failed' });
        });
        const row = await rows.row(rowId);
        assert.deepEqual(
          [row?.['status'], row?.['error_stage'], row?.['error_message'], row?.['error_details'], row?.['owner_token']],
          ['failed', 'validation', 'student_id is required', { code: 'invalid_fields', message_id: 'message-1' }, null],
        );
        await untouched(rowId, async () => assert.deepEqual(await reject(lookup(rowId)), { outcome: 'untouched' }));
      });

      it(`${how}: leaves every row alone that a run has owned or that is not pending, and makes none`, async () => {
        for (const status of STATUSES) {
          for (const owner_token of status === 'pending' ? ['run-1'] : ['run-1', null]) {
            const rowId = await rows.insert({ status, owner_token });
            await untouched(rowId, async () => assert.deepEqual(await reject(lookup(rowId)), { outcome: 'untouched' }));
          }
        }
        const missing = randomUUID();
        assert.deepEqual(await reject(lookup(missing)), { outcome: 'untouched' });
        assert.equal(await rows.row(missing), undefined);
      });
    }

    it('stores what PostgreSQL can hold of a detail, which quotes names that a sender chose', async () => {
      const rowId = await rows.insert();
      await reject(byId(rowId), `a\0b\ud800c${'x'.repeat(5_000)}`);
      const message = String((await rows.row(rowId))?.['error_message']);
      assert.match(message, /^a\u{fffd}b\u{fffd}cx+$/u);
      assert.equal(message.length, 2_000);
    });

    it('a valid message of the same request is never lost to it, whichever was published first', async () => {
      const before = await rows.insert();
      await reject(byId(before));
      assert.deepEqual(await recordRequest(rows.database, recordInput(before, 'run-1')), { kind: 'owned' });
      const rowId = await rows.insert();
      await reject(byId(rowId));
      const corrected = recordInput(rowId, 'run-1', { publishTime: '2126-01-01T00:00:00Z' });
      assert.deepEqual(await recordRequest(rows.database, corrected), { kind: 'owned' });
    });
  });
});
