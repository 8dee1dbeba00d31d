import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ApplicationFailure, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import type { Progress } from '../../src/contract/workflow-io.ts';
import { FAST_RETRY, processInput, startStack, type TestStack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

/** Fields of a fresh request; the correlation id is what the script is keyed by. */
function fresh(more: Record<string, unknown> = {}): Record<string, unknown> & { correlation_id: string } {
  return {
    correlation_id: `c-${randomUUID()}`,
    student_id: 'student-1',
    topic: 'Photosynthesis',
    grade_level: '9th Grade',
    ...more,
  };
}

async function failureOf(handle: WorkflowHandle): Promise<ApplicationFailure> {
  const error: unknown = await handle.result().then(
    () => assert.fail('the run should have failed'),
    (reason: unknown) => reason,
  );
  assert(error instanceof WorkflowFailedError, String(error));
  assert(error.cause instanceof ApplicationFailure, String(error.cause));
  return error.cause;
}

async function eventTypes(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).map((event) => Object.keys(event).find((key) => key.endsWith('EventAttributes')) ?? '?');
}

/** Billed actions as https://docs.temporal.io/cloud/actions counts them: start, activities, timers, child starts (2). */
async function billedActions(handle: WorkflowHandle): Promise<number> {
  const types = await eventTypes(handle);
  const count = (name: string): number => types.filter((type) => type.startsWith(name)).length;
  return (
    1 +
    count('activityTaskScheduled') +
    count('timerStarted') +
    2 * count('startChildWorkflowExecutionInitiated') +
    count('upsertWorkflowSearchAttributes') +
    count('markerRecorded')
  );
}

/** Storage is billed, and a history that grows unseen is a worker that slows down. */
async function eventsAtMost(handle: WorkflowHandle, most: number): Promise<void> {
  const { length } = await eventTypes(handle);
  assert(length <= most, `${String(length)} history events, more than ${String(most)}`);
}

describe('processContentRequest', () => {
  let stack: TestStack;
  before(async () => {
    stack = await startStack({ generatorTimeoutMs: 500 });
  });
  after(() => stack.stop());

  const lettersOf = (correlationId: string) =>
    stack.letters.filter((letter) => letter.letter.correlationId === correlationId);

  it('success: the row is completed with its result, in 4 billed actions and 23 events', async () => {
    const input = processInput(fresh({ requested_modalities: ['text', 'video'] }));
    const handle = await stack.start(input);
    assert.deepEqual(await handle.result(), { outcome: 'completed', rowId: input.request.rowId, retryCount: 0 });
    const row = await stack.row(input.request.rowId);
    assert(row);
    assert.equal(row.status, 'completed');
    assert.equal(row.progress_percentage, 100);
    assert.equal(row.retry_count, 0);
    assert(row.completed_at);
    assert.equal(row.total_duration_seconds, 0);
    assert.match(row.script_text ?? '', /Photosynthesis/);
    assert.deepEqual(row.request_metadata?.['delivered'], ['text']);
    assert.deepEqual(row.request_metadata['not_delivered'], ['video']);
    assert.equal(row.request_metadata['content_sha256'], input.contentHash);
    assert.equal(await billedActions(handle), 4);
    await eventsAtMost(handle, 23);
  });

  it('fails twice, then works: retry_count 2, each failure and wait in the history', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [
      { kind: 'transient', code: 'http_500' },
      { kind: 'transient', code: 'http_502' },
      { kind: 'ok' },
    ];
    const input = processInput(fields);
    const handle = await stack.start(input);
    assert.deepEqual(await handle.result(), { outcome: 'completed', rowId: input.request.rowId, retryCount: 2 });
    const row = await stack.row(input.request.rowId);
    assert.equal(row?.status, 'completed');
    assert.equal(row.retry_count, 2);
    assert.equal(stack.calls(fields.correlation_id), 3);
    const types = await eventTypes(handle);
    assert.equal(types.filter((type) => type === 'timerStartedEventAttributes').length, 2);
    assert.equal(types.filter((type) => type === 'activityTaskFailedEventAttributes').length, 2);
    assert.equal(await billedActions(handle), 8);
    assert.deepEqual(lettersOf(fields.correlation_id), []);
  });

  it('one retry costs two billed actions and 11 events more', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'transient', code: 'http_500' }, { kind: 'ok' }];
    const handle = await stack.start(processInput(fields));
    await handle.result();
    assert.equal(await billedActions(handle), 6);
    await eventsAtMost(handle, 34);
  });

  it('never works: retry_count 5, failed, one dead letter that is explained', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'transient', code: 'http_500' }];
    const input = processInput(fields, { attributes: { origin: 'test' } });
    const handle = await stack.start(input);
    const failure = await failureOf(handle);
    assert.equal(failure.type, 'attempts_exhausted');
    const row = await stack.row(input.request.rowId);
    assert.equal(row?.status, 'failed');
    assert.equal(row.retry_count, 5);
    assert.equal(row.error_stage, 'script_generation');
    assert.equal(row.error_details?.['code'], 'attempts_exhausted');
    assert(row.failed_at);
    assert.equal(stack.calls(fields.correlation_id), 5);
    const [sent, ...others] = await waitFor('the letter', () => {
      const letters = lettersOf(fields.correlation_id);
      return letters.length > 0 && letters;
    });
    assert.deepEqual(others, []);
    assert.equal(sent?.body, JSON.stringify(fields));
    assert.equal(sent.letter.reason, 'attempts_exhausted');
    assert.equal(sent.letter.attempts, 5);
    assert.equal(sent.letter.source, 'workflow');
    assert.equal(sent.letter.message.messageId, input.source.messageId);
    assert.deepEqual(sent.letter.message.attributes, { origin: 'test' });
  });

  it('permanent failure: one call, failed, one letter, 6 billed actions and about 28 events', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'permanent', code: 'safety_block' }];
    const input = processInput(fields);
    const handle = await stack.start(input);
    assert.equal((await failureOf(handle)).type, 'generation_failed');
    const row = await stack.row(input.request.rowId);
    assert.equal(row?.status, 'failed');
    assert.equal(row.retry_count, 1);
    assert.match(row.error_message ?? '', /safety_block/);
    assert.equal(stack.calls(fields.correlation_id), 1);
    assert.equal(await billedActions(handle), 6);
    // 28, and a workflow task more (6 events) where the letter is published just as the run ends.
    await eventsAtMost(handle, 34);
  });

  it('provider unavailable, then back: nothing is counted', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [
      { kind: 'unavailable', code: 'http_503' },
      { kind: 'unavailable', code: 'http_429', retryAfterMs: 150 },
      { kind: 'ok' },
    ];
    const input = processInput(fields);
    const handle = await stack.start(input);
    assert.deepEqual(await handle.result(), { outcome: 'completed', rowId: input.request.rowId, retryCount: 0 });
    const { events } = await handle.fetchHistory();
    const waits = (events ?? [])
      .map((event) => event.timerStartedEventAttributes?.startToFireTimeout)
      .filter((wait) => wait !== undefined && wait !== null)
      .map((wait) => Number(wait.seconds ?? 0) * 1_000 + (wait.nanos ?? 0) / 1e6);
    assert.deepEqual(waits, [20, 150], 'Retry-After is honoured');
  });

  it('provider unavailable for longer than maxAgeMs: fails as provider_unavailable with a letter', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'unavailable', code: 'ECONNREFUSED' }];
    const input = processInput(fields, { retry: { ...FAST_RETRY, maxAgeMs: 300 } });
    const handle = await stack.start(input);
    assert.equal((await failureOf(handle)).type, 'provider_unavailable');
    const row = await stack.row(input.request.rowId);
    assert.equal(row?.status, 'failed');
    assert.equal(row.retry_count, 0);
    await waitFor('the letter', () => lettersOf(fields.correlation_id).length === 1);
  });

  it('a generator that never answers is a counted failure', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'hang' }, { kind: 'ok' }];
    const handle = await stack.start(processInput(fields));
    assert.equal(((await handle.result()) as { retryCount: number }).retryCount, 1);
  });

  it('a result over 1 MiB is permanent', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'bytes', bytes: 1_048_577 }];
    const input = processInput(fields);
    assert.equal((await failureOf(await stack.start(input))).type, 'result_too_large');
    assert.equal((await stack.row(input.request.rowId))?.status, 'failed');
    assert.equal(stack.calls(fields.correlation_id), 1);
  });

  it('cancel during the generation: row cancelled, no letter, run Cancelled', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'transient', code: 'http_500' }];
    const input = processInput(fields, { retry: { ...FAST_RETRY, firstWaitMs: 60_000, maxWaitMs: 60_000 } });
    const handle = await stack.start(input);
    const progress = await waitFor('the first wait', async () => {
      const answer = await handle.query<Progress>('progress');
      return answer.text.startsWith('Waiting') && answer;
    });
    assert.equal(progress.failures, 1);
    assert.equal(progress.lastFailure, 'http_500: scripted: http_500');
    assert.match(progress.text, /attempt 2 of 5 in 60 s/);
    await handle.cancel();
    await assert.rejects(handle.result(), WorkflowFailedError);
    assert.equal((await handle.describe()).status.name, 'CANCELLED');
    const row = await stack.row(input.request.rowId);
    assert.equal(row?.status, 'cancelled');
    assert.equal(row.failed_at, null);
    assert.deepEqual(lettersOf(fields.correlation_id), []);
  });

  describe('the row decides', () => {
    it('completed with the same content, no run in retention: Completed as duplicate', async () => {
      const input = processInput(fresh());
      const first = await stack.start(input);
      await first.result();
      const before_ = await stack.row(input.request.rowId);
      await stack.forget(first);
      const again = await stack.start(input);
      assert.deepEqual(await again.result(), { outcome: 'duplicate', rowId: input.request.rowId });
      assert.deepEqual(await stack.row(input.request.rowId), before_);
    });

    it('pending row of the API is taken over when student, text and grade agree ("None" = absent)', async () => {
      const id = randomUUID();
      await stack.query(
        `insert into content_requests (id, correlation_id, student_id, topic, grade_level) values ($1, $2, 's', 't', 'None')`,
        [id, `api-${id}`],
      );
      const handle = await stack.start(
        processInput({ request_id: id, correlation_id: `api-${id}`, student_id: 's', student_query: 't' }),
      );
      assert.deepEqual(await handle.result(), { outcome: 'completed', rowId: id, retryCount: 0 });
    });

    it('pending row with another text: conflict, row untouched', async () => {
      const id = randomUUID();
      await stack.query(
        `insert into content_requests (id, correlation_id, student_id, topic) values ($1, $2, 's', 'other')`,
        [id, `api-${id}`],
      );
      const before_ = await stack.row(id);
      const handle = await stack.start(
        processInput({ request_id: id, correlation_id: `api-${id}`, student_id: 's', student_query: 't' }),
      );
      assert.equal((await failureOf(handle)).type, 'conflicting_duplicate');
      assert.deepEqual(await stack.row(id), before_);
      await waitFor('the letter', () => lettersOf(`api-${id}`).length === 1);
    });

    it('row of another student: student_mismatch; correlation_id of another row: correlation_id_taken', async () => {
      const owner = fresh();
      await (await stack.start(processInput(owner))).result();
      const taken = processInput({ ...owner, request_id: randomUUID() });
      assert.equal((await failureOf(await stack.start(taken))).type, 'correlation_id_taken');
      assert.equal(await stack.row(taken.request.rowId), undefined);

      const id = randomUUID();
      await stack.query(
        `insert into content_requests (id, correlation_id, student_id, topic) values ($1, $2, 's', 't')`,
        [id, `api-${id}`],
      );
      const other = processInput({ request_id: id, correlation_id: `api-${id}`, student_id: 'x', topic: 't' });
      assert.equal((await failureOf(await stack.start(other))).type, 'student_mismatch');
    });

    it('failed: a late redelivery ends as Duplicate without a letter, a re-published message takes over', async () => {
      const fields = fresh();
      stack.script[fields.correlation_id] = [{ kind: 'permanent', code: 'safety_block' }, { kind: 'ok' }];
      const published = new Date(Date.now() - 60_000).toISOString();
      const input = processInput(fields, { publishTime: published });
      await failureOf(await stack.start(input));
      await waitFor('the letter', () => lettersOf(fields.correlation_id).length === 1);
      const failed = await stack.row(input.request.rowId);

      assert.equal((await failureOf(await stack.start(input))).type, 'Duplicate');
      assert.deepEqual(await stack.row(input.request.rowId), failed);

      const republished = processInput({ ...fields, topic: 'Another text' });
      await (await stack.start(republished)).result();
      const row = await stack.row(input.request.rowId);
      assert.equal(row?.status, 'completed');
      assert.equal(row.topic, 'Another text');
      assert.equal(row.error_message, null);
      assert.equal(lettersOf(fields.correlation_id).length, 1);
    });

    it('cancelled is final: same content Completed as duplicate, other content a conflict', async () => {
      const fields = fresh();
      const id = randomUUID();
      const input = processInput({ ...fields, request_id: id });
      await stack.query(
        `insert into content_requests (id, correlation_id, student_id, topic, grade_level, status)
         values ($1, $2, $3, $4, $5, 'cancelled')`,
        [id, fields.correlation_id, 'student-1', 'Photosynthesis', '9th Grade'],
      );
      assert.deepEqual(await (await stack.start(input)).result(), { outcome: 'duplicate', rowId: id });
    });
  });

  it('incident "swallowed update": a write that finds no row of ours ends the run, not in silence', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'transient', code: 'http_500' }, { kind: 'ok' }];
    const input = processInput(fields, { retry: { ...FAST_RETRY, firstWaitMs: 500, maxWaitMs: 500 } });
    const handle = await stack.start(input);
    await waitFor('the first failure', () => stack.calls(fields.correlation_id) === 1);
    await stack.query(`update content_requests set owner_token = 'somebody else' where id = $1`, [input.request.rowId]);
    assert.equal((await failureOf(handle)).type, 'row_lost');
    assert.equal(stack.calls(fields.correlation_id), 1, 'nothing is paid for a row that is not ours');
  });

  it('incident "row failed at the first transient error": the row stays open until the policy is spent', async () => {
    const fields = fresh();
    stack.script[fields.correlation_id] = [{ kind: 'transient', code: 'http_500' }, { kind: 'ok' }];
    const input = processInput(fields);
    await (await stack.start(input)).result();
    const events = await stack.query(
      `select event_data ->> 'new_status' as status from request_events where request_id = $1 order by created_at`,
      [input.request.rowId],
    );
    assert(!events.some((event) => event['status'] === 'failed'));
  });

  it('an outage of the database costs time, never the request', async () => {
    const input = processInput(fresh());
    await stack.query(`alter table content_requests rename to content_requests_away`);
    const handle = await stack.start(input);
    await waitFor('recordRequest is being retried', async () => {
      const pending = (await handle.describe()).raw.pendingActivities ?? [];
      return pending.some((activity) => (activity.attempt ?? 0) >= 2);
    });
    await stack.query(`alter table content_requests_away rename to content_requests`);
    assert.equal(((await handle.result()) as { retryCount: number }).retryCount, 0);
  });

  it('what PostgreSQL refuses for good (a foreign key of an adopted table) is permanent, with a letter', async () => {
    const fields = fresh({ student_id: 'nobody' });
    await stack.query(`create table test_users (user_id varchar(100) primary key)`);
    await stack.query(
      `alter table content_requests add constraint student_fk foreign key (student_id) references test_users not valid`,
    );
    try {
      const input = processInput(fields);
      assert.equal((await failureOf(await stack.start(input))).type, 'database_rejected');
      assert.equal(await stack.row(input.request.rowId), undefined);
      await waitFor('the letter', () => lettersOf(fields.correlation_id).length === 1);
    } finally {
      await stack.query(`alter table content_requests drop constraint student_fk`);
    }
  });

  it('a unique key of an adopted table that another row holds is permanent, with a letter, and not tried without end', async () => {
    const first = fresh({ student_id: 'once' });
    await (await stack.start(processInput(first))).result();
    await stack.query(`create unique index of_a_student on content_requests (student_id) where student_id = 'once'`);
    try {
      const fields = fresh({ student_id: 'once' });
      const input = processInput(fields);
      const failure = await failureOf(await stack.start(input));
      assert.deepEqual([failure.type, failure.category], ['database_rejected', undefined]);
      assert.match(failure.message, /insert_request_or_fail: 23505 .*"of_a_student"/);
      assert.equal(await stack.row(input.request.rowId), undefined);
      const [letter] = await waitFor('the letter', () => {
        const found = lettersOf(fields.correlation_id);
        return found.length > 0 && found;
      });
      assert.deepEqual([letter?.letter.reason, letter?.letter.stage], ['database_rejected', 'request_received']);
      assert.equal((await stack.row(processInput(first).request.rowId))?.status, 'completed');
    } finally {
      await stack.query('drop index of_a_student');
    }
  });

  describe('a request that PostgreSQL refuses for good while a row that the API made waits for it', () => {
    before(() => stack.query(`alter table content_requests add constraint adopted check (duration_minutes <> 99999)`));
    after(() => stack.query('alter table content_requests drop constraint adopted'));

    /** The row as an API makes it, then the message that the table refuses. */
    async function refuse(
      columns: Record<string, unknown> = {},
    ): Promise<{ handle: WorkflowHandle; rowId: string; id: string }> {
      const fields = fresh({ duration_minutes: 99_999 });
      const input = processInput(fields);
      const all = {
        id: input.request.rowId,
        correlation_id: fields.correlation_id,
        student_id: fields['student_id'],
        topic: fields['topic'],
        grade_level: fields['grade_level'],
        ...columns,
      };
      const places = Object.keys(all).map((_, index) => `$${String(index + 1)}`);
      await stack.query(
        `insert into content_requests (${Object.keys(all).join(', ')}) values (${places.join(', ')})`,
        Object.values(all),
      );
      return { handle: await stack.start(input), rowId: input.request.rowId, id: fields.correlation_id };
    }
    const rowOf = (failure: ApplicationFailure): unknown => (failure.details?.[0] as { row: unknown }).row;

    it('the row is failed and says why, the letter goes out, the run ends Failed', async () => {
      const { handle, rowId, id } = await refuse();
      const failure = await failureOf(handle);
      assert.deepEqual([failure.type, rowOf(failure)], ['database_rejected', 'written']);
      const row = await stack.row(rowId);
      assert.deepEqual([row?.status, row?.error_stage, row?.owner_token], ['failed', 'request_received', null]);
      assert.equal(row?.error_details?.['code'], 'database_rejected');
      assert.equal(row.error_details['run_id'], (await handle.describe()).runId);
      await waitFor('the letter', () => lettersOf(id).length === 1);
    });

    it('the twin: a row that a run has owned is not touched', async () => {
      const { handle, rowId } = await refuse({ owner_token: 'an earlier run' });
      const earlier = await stack.row(rowId);
      const failure = await failureOf(handle);
      assert.deepEqual([failure.type, rowOf(failure)], ['database_rejected', 'not-ours']);
      assert.deepEqual(await stack.row(rowId), earlier);
    });

    it('a cancel does not keep it from being told, nor does an outage of the database', async () => {
      // The row cannot be read or written until the table is back: recordRequest waits first, then is refused.
      await stack.query('alter table content_requests rename to content_requests_away');
      const fields = fresh({ duration_minutes: 99_999 });
      const input = processInput(fields);
      const { rowId } = input.request;
      const handle = await stack.start(input);
      await waitFor('a retried write', async () => {
        const waiting = (await handle.describe()).raw.pendingActivities ?? [];
        return waiting.some((activity) => (activity.attempt ?? 0) >= 2);
      });
      await handle.cancel();
      await stack.query(
        `insert into content_requests_away (id, correlation_id, student_id, topic, grade_level) values ($1, $2, 'student-1', 'Photosynthesis', '9th Grade')`,
        [rowId, fields.correlation_id],
      );
      await stack.query('alter table content_requests_away rename to content_requests');
      assert.equal((await failureOf(handle)).type, 'database_rejected');
      assert.equal((await stack.row(rowId))?.status, 'failed');
    });
  });
});
