import assert from 'node:assert/strict';
import pg from 'pg';
import { describeOnEachPostgres, type TestPostgres } from '../support/postgres.ts';

/** Column values as SQL. */
type Columns = Readonly<Record<string, string>>;

const REQUEST: Columns = { student_id: `'student'`, topic: `'topic'` };
const COMPLETED: Columns = { ...REQUEST, status: `'completed'`, completed_at: 'now()', script_text: `'script'` };
const FAILED: Columns = { ...REQUEST, status: `'failed'`, failed_at: 'now()', error_stage: `'validation'` };

describeOnEachPostgres('content_requests defends itself', (start) => {
  let postgres: TestPostgres;
  let client: pg.Client;
  let rows = 0;

  before(async () => {
    postgres = await start();
    client = new pg.Client(await postgres.createDatabase('checks', await postgres.templateDatabase()));
    await client.connect();
  });
  after(async () => {
    await client.end();
    await postgres.stop();
  });

  const insert = async (columns: Columns): Promise<string> => {
    const all: Columns = { correlation_id: `'row-${(rows += 1)}'`, ...columns };
    const { rows: inserted } = await client.query<{ id: string }>(
      `insert into content_requests (${Object.keys(all).join(', ')})
       values (${Object.values(all).join(', ')})
       returning id`,
    );
    const id = inserted[0]?.id;
    assert.ok(id);
    return id;
  };
  const refused = (columns: Columns, constraint: string): Promise<void> =>
    assert.rejects(insert(columns), (error) => error instanceof pg.DatabaseError && error.constraint === constraint);

  it('fills in the defaults', async () => {
    const { rows: found } = await client.query(
      `select status, progress_percentage, retry_count, owner_token, created_at is not null as dated
         from content_requests where id = $1`,
      [await insert(REQUEST)],
    );
    assert.deepEqual(found, [
      { status: 'pending', progress_percentage: 0, retry_count: 0, owner_token: null, dated: true },
    ]);
  });

  // Each pair differs in one column: the first is taken, the second is refused by the check that is named.
  const pairs: readonly (readonly [what: string, constraint: string, taken: Columns, refusedColumns: Columns])[] = [
    [
      'progress above 100',
      'progress_percentage_check',
      { ...REQUEST, progress_percentage: '100' },
      { ...REQUEST, progress_percentage: '101' },
    ],
    [
      'progress below 0',
      'progress_percentage_check',
      { ...REQUEST, progress_percentage: '0' },
      { ...REQUEST, progress_percentage: '-1' },
    ],
    [
      'a negative retry count',
      'retry_count_check',
      { ...REQUEST, retry_count: '0' },
      { ...REQUEST, retry_count: '-1' },
    ],
    ['completed without a time', 'completed_at_check', COMPLETED, { ...COMPLETED, completed_at: 'null' }],
    ['a completion time, not completed', 'completed_at_check', REQUEST, { ...REQUEST, completed_at: 'now()' }],
    ['failed without a time', 'failed_at_check', FAILED, { ...FAILED, failed_at: 'null' }],
    ['a failure time, not failed', 'failed_at_check', REQUEST, { ...REQUEST, failed_at: 'now()' }],
    ['failed without a stage', 'error_stage_check', FAILED, { ...FAILED, error_stage: 'null' }],
    ['an error stage, not failed', 'error_stage_check', REQUEST, { ...REQUEST, error_stage: `'validation'` }],
    ['completed without a script', 'script_text_check', COMPLETED, { ...COMPLETED, script_text: 'null' }],
  ];
  for (const [what, constraint, taken, refusedColumns] of pairs) {
    it(`refuses ${what}`, async () => {
      await insert(taken);
      await refused(refusedColumns, `content_requests_${constraint}`);
    });
  }

  it('refuses a second row with the correlation_id', async () => {
    await insert({ ...REQUEST, correlation_id: `'twice'` });
    await refused({ ...REQUEST, correlation_id: `'twice'` }, 'content_requests_correlation_id_key');
  });

  it('has a case for each of its checks', async () => {
    const { rows: checks } = await client.query<{ name: string }>(
      `select conname as name from pg_constraint
        where conrelid = 'content_requests'::regclass and contype = 'c' order by conname`,
    );
    assert.deepEqual(
      checks.map(({ name }) => name),
      [...new Set(pairs.map(([, constraint]) => `content_requests_${constraint}`))].sort(),
    );
  });

  it('logs each status once, with its owner, and nothing else', async () => {
    await client.query(`set application_name = 'the worker'`);
    const id = await insert(REQUEST);
    await client.query(
      `update content_requests
          set status = 'generating_script', current_stage = 'script_generation', owner_token = 'run-1' where id = $1`,
      [id],
    );
    await client.query('update content_requests set progress_percentage = 50 where id = $1', [id]);
    await client.query(`update content_requests set status = 'generating_script' where id = $1`, [id]);
    await client.query(
      `update content_requests set status = 'failed', failed_at = now(), error_stage = 'script_generation'
        where id = $1`,
      [id],
    );
    const { rows: events } = await client.query(
      `select event_type, event_message, stage_name, severity, event_data, source_service
         from request_events where request_id = $1 order by created_at`,
      [id],
    );
    const event = (message: string, stage: string | null, severity: string, data: object): object => ({
      event_type: 'status_change',
      event_message: message,
      stage_name: stage,
      severity,
      event_data: data,
      source_service: 'the worker',
    });
    const stage = 'script_generation';
    assert.deepEqual(events, [
      event('created as pending', null, 'info', {
        old_status: null,
        new_status: 'pending',
        current_stage: null,
        owner_token: null,
      }),
      event('status pending -> generating_script', stage, 'info', {
        old_status: 'pending',
        new_status: 'generating_script',
        current_stage: stage,
        owner_token: 'run-1',
      }),
      event('status generating_script -> failed', stage, 'error', {
        old_status: 'generating_script',
        new_status: 'failed',
        current_stage: stage,
        owner_token: 'run-1',
      }),
    ]);
    await client.query('delete from content_requests where id = $1', [id]);
    const { rowCount } = await client.query('select from request_events where request_id = $1', [id]);
    assert.equal(rowCount, 0, 'the log goes with the request');
  });

  it('refuses an event of unknown severity', async () => {
    const id = await insert(REQUEST);
    const log = (severity: string): Promise<unknown> =>
      client.query(
        `insert into request_events (request_id, event_type, event_message, severity) values ($1, 'note', 'text', $2)`,
        [id, severity],
      );
    await log('critical');
    await assert.rejects(log('loud'), { constraint: 'request_events_severity_check' });
  });

  it('updates progress on the same page, without index entries', async () => {
    const id = await insert(REQUEST);
    for (const progress of [10, 20, 30]) {
      await client.query('update content_requests set progress_percentage = $2 where id = $1', [id, progress]);
    }
    await client.query('select pg_stat_force_next_flush()');
    const { rows: found } = await client.query<{ hot: string }>(
      `select n_tup_hot_upd as hot from pg_stat_user_tables where relname = 'content_requests'`,
    );
    assert.ok(Number(found[0]?.hot) >= 3);
  });
});
