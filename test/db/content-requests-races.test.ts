/** Two sessions at the same row at the same moment: every race is held at a lock until all who take part wait there. */
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
  type RecordInput,
} from '../../src/activities/content-requests.ts';
import { DatabaseError, openDatabase, type DatabasePool } from '../../src/activities/db.ts';
import type { RecordDecision } from '../../src/contract/workflow-io.ts';
import { completeInput, failInput, recordInput, startContentRows, type ContentRows } from '../support/content-rows.ts';

const REPUBLISHED = '2126-01-01T00:00:00Z';
const FOR_UPDATE = 'select from content_requests where id = $1 for update';
const INSERT = `insert into content_requests (id, correlation_id, student_id, topic) values ($1, $2, 'x', 'x')`;

describe('races for a row', () => {
  let rows: ContentRows;
  before(async () => {
    rows = await startContentRows('races');
  });
  after(() => rows.stop());

  const said = (decision: RecordDecision): string => (decision.kind === 'conflict' ? decision.code : decision.kind);
  const recordAll = (inputs: readonly RecordInput[]): Promise<RecordDecision[]> =>
    Promise.all(inputs.map((input) => recordRequest(rows.database, input)));
  /** Both look for the row at the same moment, and neither finds one: a third session's insert is undone under them. */
  const recordNew = async (inputs: readonly RecordInput[]): Promise<string[]> => {
    const [{ rowId, request }] = inputs as [RecordInput];
    const decisions = await rows.raced([INSERT, [rowId, request.correlationId]], 'rollback', inputs.length, () =>
      recordAll(inputs),
    );
    return decisions.map(said);
  };
  const ownerOf = async (rowId: string): Promise<unknown> => (await rows.row(rowId))?.['owner_token'];

  it('two runs, same content: one after the other owns it, and who came first has lost it', async () => {
    const rowId = randomUUID();
    const tokens = ['run-1', 'run-2'];
    assert.deepEqual(await recordNew(tokens.map((token) => recordInput(rowId, token))), ['owned', 'owned']);
    const last = await ownerOf(rowId);
    for (const ownerToken of tokens) {
      const expected = ownerToken === last ? 'written' : 'row-lost';
      assert.equal((await startGeneration(rows.database, { rowId, ownerToken }, 0)).kind, expected);
    }
    // The second took over a row that was pending and stayed so: no status changed, no line was written.
    assert.equal((await rows.events(rowId)).length, 2);
  });

  it('two runs, other content: one owns it, the other is a conflict, and the row is wholly of one', async () => {
    const rowId = randomUUID();
    const inputs = [
      recordInput(rowId, 'run-1', { topic: 'Gravity', contentHash: 'hash-1' }),
      recordInput(rowId, 'run-2', { topic: 'Friction', contentHash: 'hash-2' }),
    ];
    const decisions = await recordNew(inputs);
    assert.deepEqual([...decisions].sort(), ['conflicting_duplicate', 'owned']);
    const owner = inputs[decisions.indexOf('owned')];
    const row = await rows.row(rowId);
    assert.deepEqual([row?.['owner_token'], row?.['topic']], [owner?.ownerToken, owner?.request.topic]);
  });

  it('the same run twice, because the first answer was late: both are told that it owns the row', async () => {
    const rowId = randomUUID();
    const input = recordInput(rowId, 'run-1');
    assert.deepEqual(await recordNew([input, input]), ['owned', 'owned']);
    assert.deepEqual(await rows.events(rowId), ['info: created as pending by run-1']);
  });

  it('a late try of a run that is gone: the row stays with the run that asked later', async () => {
    const rowId = randomUUID();
    const gone = recordInput(rowId, 'run-1', { askedAt: '2026-11-24T09:00:01.000Z' });
    await recordRequest(rows.database, gone);
    await failRequest(rows.database, failInput({ rowId, ownerToken: 'run-1' }));
    const later = { publishTime: REPUBLISHED, askedAt: '2026-11-24T09:00:01.001Z' };
    assert.equal(said(await recordRequest(rows.database, recordInput(rowId, 'run-2', later))), 'owned');
    const owner = { rowId, ownerToken: 'run-2' };
    await startGeneration(rows.database, owner, 0);
    await assert.rejects(recordRequest(rows.database, gone), /is owned by a run that asked for it later$/);
    assert.deepEqual(await completeRequest(rows.database, completeInput(owner)), { kind: 'written' });

    // The twin: a run that asks later than the owner takes an open row over.
    const open = randomUUID();
    await recordRequest(rows.database, recordInput(open, 'run-1'));
    const next = recordInput(open, 'run-2', { askedAt: '2026-11-24T09:00:02.000Z' });
    assert.equal(said(await recordRequest(rows.database, next)), 'owned');
    assert.equal(await ownerOf(open), 'run-2');
  });

  it('somebody else takes the correlation_id of a message whose row has another one: the row stays its own', async () => {
    const rowId = await rows.insert({ correlation_id: `api-${randomUUID()}` });
    const correlationId = `late-${randomUUID()}`;
    const input = recordInput(rowId, 'run-1', { correlationId });
    assert.equal(said(await recordRequest(rows.database, input)), 'owned');
    const other = recordInput(randomUUID(), 'run-2', { correlationId });
    assert.equal(said(await recordRequest(rows.database, other)), 'owned');
    // The same run again, whose answer was lost; and the next one, after a terminate.
    assert.equal(said(await recordRequest(rows.database, input)), 'owned');
    const next = recordInput(rowId, 'run-3', { correlationId, askedAt: '2026-11-24T09:00:02.000Z' });
    assert.equal(said(await recordRequest(rows.database, next)), 'owned');
    // The twin: a row that it has not had yet is not taken with a correlation_id that is another's.
    const fresh = await rows.insert({ correlation_id: `api-${randomUUID()}` });
    assert.equal(
      said(await recordRequest(rows.database, recordInput(fresh, 'run-4', { correlationId }))),
      'correlation_id_taken',
    );
  });

  it('two rows, one correlation_id: one is made, the other is told who holds it', async () => {
    const correlationId = `shared-${randomUUID()}`;
    const inputs = ['run-1', 'run-2'].map((token) => recordInput(randomUUID(), token, { correlationId }));
    const decisions = await recordNew(inputs);
    assert.deepEqual([...decisions].sort(), ['correlation_id_taken', 'owned']);
    const made = await rows.query('select id from content_requests where correlation_id = $1', [correlationId]);
    assert.deepEqual(made, [{ id: inputs[decisions.indexOf('owned')]?.rowId }]);
  });

  it('a failed row and two messages published later: the first takes it over, the second finds it taken', async () => {
    const rowId = await rows.insert({ status: 'failed', owner_token: 'run-0' });
    const inputs = ['hash-1', 'hash-2'].map((contentHash, index) =>
      recordInput(rowId, `run-${String(index + 1)}`, { contentHash, publishTime: REPUBLISHED }),
    );
    const decisions = (await rows.raced([FOR_UPDATE, [rowId]], 'commit', 2, () => recordAll(inputs))).map(said);
    assert.deepEqual([...decisions].sort(), ['conflicting_duplicate', 'owned']);
    assert.equal(await ownerOf(rowId), inputs[decisions.indexOf('owned')]?.ownerToken);
  });

  it('a row that is deleted while it is being recorded is made anew', async () => {
    const rowId = await rows.insert();
    const input = recordInput(rowId, 'run-1');
    const decision = await rows.raced(['delete from content_requests where id = $1', [rowId]], 'commit', 1, () =>
      recordRequest(rows.database, input),
    );
    assert.equal(said(decision), 'owned');
    assert.equal(await ownerOf(rowId), 'run-1');
  });

  describe('a table that was adopted with a unique key of its own', () => {
    const KEY = 'of_a_student';
    before(() =>
      rows.query(`create unique index ${KEY} on content_requests (student_id, topic) where topic like 'key %'`),
    );
    after(() => rows.query(`drop index ${KEY}`));

    /** The product's pool, with somebody who is in time before the statement of that name. */
    const inTimeBefore = (name: string, meddle: () => Promise<unknown>): DatabasePool => ({
      ...rows.database,
      inTransaction: (work) =>
        rows.database.inTransaction((database) =>
          work({
            ...database,
            writes: async (statement) => {
              if (statement.name === name) await meddle();
              return database.writes(statement);
            },
          }),
        ),
    });

    it('whoever holds the key: refused for good, and neither row is touched', async () => {
      const holder = await rows.insert({ topic: 'key held' });
      const earlier = await rows.row(holder);
      const input = recordInput(randomUUID(), 'run-1', { topic: 'key held' });
      await assert.rejects(recordRequest(rows.database, input), (error) => {
        assert.ok(error instanceof DatabaseError, String(error));
        assert.deepEqual([error.code, error.permanent, error.constraint], ['23505', true, KEY]);
        assert.doesNotMatch(error.message, /key held/, 'no value of the row');
        return true;
      });
      assert.deepEqual(await rows.row(holder), earlier);
      assert.equal(await rows.row(input.rowId), undefined);
    });

    it('the holder of the key is gone a moment later: recorded', async () => {
      const holder = await rows.insert({ topic: 'key given up' });
      const gone = (): Promise<unknown> => rows.query('delete from content_requests where id = $1', [holder]);
      const input = recordInput(randomUUID(), 'run-1', { topic: 'key given up' });
      assert.equal(said(await recordRequest(inTimeBefore('insert_request_or_fail', gone), input)), 'owned');
      assert.equal(await ownerOf(input.rowId), 'run-1');
    });

    it('and gone while the insert waits for its end: recorded', async () => {
      const holder = await rows.insert({ topic: 'key waited for' });
      const input = recordInput(randomUUID(), 'run-1', { topic: 'key waited for' });
      const deleting = ['delete from content_requests where id = $1', [holder]] as const;
      const decision = await rows.raced([deleting[0], [...deleting[1]]], 'commit', 1, () =>
        recordRequest(rows.database, input),
      );
      assert.equal(said(decision), 'owned');
    });

    /** [who is in time with what, under which name of the key, what the retry then says] */
    const inTime: readonly (readonly [string, (input: RecordInput) => readonly [string, string], string, string])[] = [
      ['this id', (input) => [input.rowId, 'another-correlation'], 'content_requests_pkey', 'student_mismatch'],
      ['this id, in an adopted table', (input) => [input.rowId, 'and-another'], 'adopted_pk', 'student_mismatch'],
      [
        'this correlation_id',
        (input) => [randomUUID(), input.request.correlationId],
        'content_requests_correlation_id_key',
        'correlation_id_taken',
      ],
      [
        'this correlation_id, in an adopted table',
        (input) => [randomUUID(), input.request.correlationId],
        'ix_adopted_correlation_id',
        'correlation_id_taken',
      ],
    ];
    for (const [what, values, name, then] of inTime) {
      it(`somebody inserts ${what} meanwhile: tried again, and then ${then}`, async () => {
        const key = what.startsWith('this id') ? 'content_requests_pkey' : 'content_requests_correlation_id_key';
        const rename = (from: string, to: string): Promise<unknown> =>
          from === to ? Promise.resolve() : rows.query(`alter index ${from} rename to ${to}`);
        await rename(key, name);
        const topic = `key ${what}`;
        await rows.insert({ topic });
        const input = recordInput(randomUUID(), 'run-1', { topic });
        const meddle = (): Promise<unknown> => rows.query(INSERT, [...values(input)]);
        await assert.rejects(recordRequest(inTimeBefore('insert_request_or_fail', meddle), input), (error) => {
          assert.ok(error instanceof Error && !(error instanceof DatabaseError), `permanent: ${String(error)}`);
          assert.match(error.message, /another session took its id or correlation_id/);
          assert.ok(error.cause instanceof DatabaseError, 'the refusal is its cause');
          assert.equal(error.cause.constraint, name);
          return true;
        });
        assert.equal(said(await recordRequest(rows.database, input)), then);
        await rename(name, key);
      });
    }

    it('a key of its own is no reason to refuse a duplicate or a taken correlation_id', async () => {
      const rowId = await rows.insert({ topic: 'key twice' });
      assert.equal(
        said(await recordRequest(rows.database, recordInput(rowId, 'run-1', { topic: 'key twice' }))),
        'owned',
      );
      const other = recordInput(randomUUID(), 'run-2', { topic: 'key twice', correlationId: `correlation-${rowId}` });
      assert.equal(said(await recordRequest(rows.database, other)), 'correlation_id_taken');
    });
  });

  it('a row that stays locked is trouble that passes, and the pool is free again', async () => {
    const rowId = await rows.insert();
    const hurried = openDatabase(
      { url: rows.url, poolSize: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 200 },
      { applicationName: 'test', onIdleError: () => undefined },
    );
    const input = recordInput(rowId, 'run-1');
    await rows.database.inTransaction(async (holder) => {
      await holder.writes({ name: 'hold', text: FOR_UPDATE, values: [rowId], index: null });
      await assert.rejects(recordRequest(hurried, input), (error) => {
        assert.ok(error instanceof DatabaseError);
        assert.deepEqual([error.code, error.permanent], ['57014', false]);
        return true;
      });
    });
    assert.equal(said(await recordRequest(hurried, input)), 'owned');
    await hurried.close();
  });

  describe('a zombie: a worker that still works for a run whose row was taken over', () => {
    const zombie = (rowId: string) => ({ rowId, ownerToken: 'run-1' });
    const writes = {
      startGeneration: (rowId: string) => startGeneration(rows.database, zombie(rowId), 9),
      countFailure: (rowId: string) => countFailure(rows.database, zombie(rowId), 9),
      storeScript: (rowId: string) => storeScript(rows.database, { ...zombie(rowId), scriptText: 'late', failures: 9 }),
      startMediumStage: async (rowId: string) =>
        (await startMediumStage(rows.database, zombie(rowId), 'video', 9)).written,
      storeMedium: (rowId: string) =>
        storeMedium(rows.database, zombie(rowId), 'video', { url: 'https://late', thumbnailUrl: null, usage: null }),
      markMedium: (rowId: string) => markMedium(rows.database, zombie(rowId), 'video', 50),
      completeRequest: (rowId: string) => completeRequest(rows.database, completeInput(zombie(rowId), 9)),
      failRequest: (rowId: string) => failRequest(rows.database, failInput(zombie(rowId), 9)),
      cancelRequest: (rowId: string) => cancelRequest(rows.database, zombie(rowId)),
    };
    for (const [name, write] of Object.entries(writes)) {
      it(`${name}, late: row-lost, nothing changed`, async () => {
        const rowId = await rows.insert({ status: 'generating_script', owner_token: 'run-1' });
        assert.equal(said(await recordRequest(rows.database, recordInput(rowId, 'run-2'))), 'owned');
        const earlier = await rows.row(rowId);
        assert.deepEqual(await write(rowId), { kind: 'row-lost' });
        assert.deepEqual(await rows.row(rowId), earlier);
      });

      it(`${name}, at the very moment of the take-over: row-lost, nothing changed`, async () => {
        const rowId = await rows.insert({ status: 'generating_script', owner_token: 'run-1' });
        const takeOver = `update content_requests set owner_token = 'run-2' where id = $1`;
        const result = await rows.raced([takeOver, [rowId]], 'commit', 1, () => write(rowId));
        assert.deepEqual(result, { kind: 'row-lost' });
        const row = await rows.row(rowId);
        const seen = [row?.['status'], row?.['owner_token'], row?.['retry_count'], row?.['script_text']];
        assert.deepEqual(seen, ['generating_script', 'run-2', 0, null]);
      });
    }
  });

  it('a poison message while a run takes the row: the run keeps it', async () => {
    const rowId = await rows.insert();
    const own = `update content_requests set owner_token = 'run-1' where id = $1`;
    const reject = { lookup: { rowId }, code: 'invalid_fields', detail: 'x', messageId: 'm' } as const;
    const result = await rows.raced([own, [rowId]], 'commit', 1, () => rejectRequest(rows.database, reject));
    assert.deepEqual(result, { outcome: 'untouched' });
    assert.equal((await rows.row(rowId))?.['status'], 'pending');
  });

  it('a run that was refused while another takes the row: that one keeps it', async () => {
    const rowId = await rows.insert();
    const own = `update content_requests set owner_token = 'run-1' where id = $1`;
    const refused = { ...failInput({ rowId, ownerToken: 'run-2' }), neverOwned: true } as const;
    const result = await rows.raced([own, [rowId]], 'commit', 1, () => failRequest(rows.database, refused));
    assert.deepEqual(result, { kind: 'row-lost' });
    assert.equal((await rows.row(rowId))?.['status'], 'pending');
  });

  it('two ends of one run, because a first write was late: the row has one, and the other is told', async () => {
    const owner = {
      rowId: await rows.insert({ status: 'generating_script', owner_token: 'run-1' }),
      ownerToken: 'run-1',
    };
    const results = await rows.raced([FOR_UPDATE, [owner.rowId]], 'commit', 2, () =>
      Promise.all([completeRequest(rows.database, completeInput(owner)), cancelRequest(rows.database, owner)]),
    );
    assert.deepEqual(results.map(({ kind }) => kind).sort(), ['row-already-terminal', 'written']);
    assert.equal((await rows.events(owner.rowId)).length, 2);
  });
});
