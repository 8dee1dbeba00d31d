import assert from 'node:assert/strict';
import path from 'node:path';
import { STATUSES } from '../../src/contract/status.ts';
import { migrate } from '../../src/migrate/migrate.ts';
import { MIGRATIONS, MIGRATIONS_DIRECTORY } from '../../src/migrate/plan.ts';
import {
  describeOnEachPostgres,
  describeSchema,
  psqlFile,
  type TestPostgres,
  withClient,
} from '../support/postgres.ts';

/** What the original worker's add_request_tracking.sql left behind, with a completed row that has no script. */
const original = (statuses: readonly string[]): string => `
  create table users (user_id varchar(100) primary key);
  create table organizations (organization_id varchar(100) primary key);
  create type content_request_status as enum (${statuses.map((status) => `'${status}'`).join(', ')});
  create table content_requests (
    id uuid primary key default gen_random_uuid(),
    correlation_id varchar(64) not null unique,
    student_id varchar(100) not null references users (user_id) on delete cascade,
    topic varchar(500) not null,
    learning_objective text,
    grade_level varchar(50),
    duration_minutes integer,
    status content_request_status not null default 'pending',
    current_stage varchar(100),
    progress_percentage integer default 0 check (progress_percentage >= 0 and progress_percentage <= 100),
    created_at timestamp not null default current_timestamp,
    started_at timestamp,
    completed_at timestamp,
    failed_at timestamp,
    video_url text,
    script_text text,
    thumbnail_url text,
    error_message text,
    error_stage varchar(100),
    error_details jsonb,
    retry_count integer default 0,
    request_metadata jsonb,
    total_duration_seconds integer,
    organization_id varchar(100) references organizations (organization_id)
  );
  create index idx_content_requests_correlation_id on content_requests (correlation_id);
  create index idx_content_requests_student_id on content_requests (student_id);
  create index idx_content_requests_status on content_requests (status);
  create index idx_content_requests_created_at on content_requests (created_at desc);
  create index idx_content_requests_organization_id on content_requests (organization_id);
  create table request_events (
    id uuid primary key default gen_random_uuid(),
    request_id uuid not null references content_requests (id) on delete cascade,
    event_type varchar(100) not null,
    event_message text not null,
    stage_name varchar(100),
    severity varchar(20) default 'info',
    created_at timestamp not null default current_timestamp,
    event_data jsonb,
    source_service varchar(100),
    source_host varchar(255)
  );
  create index idx_request_events_request_id on request_events (request_id);
  create function log_status_change() returns trigger language plpgsql as $$
  begin
    if old.status is distinct from new.status then
      insert into request_events (request_id, event_type, event_message, severity, event_data)
      values (new.id, 'status_change', 'status changed', case when new.status::text = 'failed' then 'error' else 'info' end,
        jsonb_build_object('old_status', old.status, 'new_status', new.status, 'current_stage', new.current_stage));
    end if;
    return new;
  end
  $$;
  create trigger trigger_log_status_change after update on content_requests
    for each row execute function log_status_change();
  create view active_requests_dashboard as select id, status, created_at from content_requests;
  insert into users values ('student');
  insert into content_requests (correlation_id, student_id, topic, status)
  values ('done', 'student', 'topic', 'completed'), ('open', 'student', 'topic', 'pending');
`;

describeOnEachPostgres('migrations adopt the table of the original worker', (start) => {
  let postgres: TestPostgres;
  let databases = 0;

  before(async () => {
    postgres = await start();
  });
  after(() => postgres.stop());

  const newDatabase = async (statuses: readonly string[] = STATUSES): Promise<string> => {
    const url = await postgres.createDatabase(`adopted_${String((databases += 1))}`);
    await withClient(url, (client) => client.query(original(statuses)));
    return url;
  };
  const run = (url: string): ReturnType<typeof migrate> => migrate(url, { log: () => undefined });

  it('only adds, and prints what it added and what differs', async () => {
    const url = await newDatabase();
    const before = await describeSchema(url);
    const { applied, notices } = await run(url);
    assert.deepEqual(applied, [...MIGRATIONS]);
    const after = await describeSchema(url);

    // The function and its trigger are ours now; nothing else went away. reloptions stand in the table's line.
    const gone = before.filter((line) => !after.includes(line)).map((line) => line.split(/[ (\n]/, 3).join(' '));
    assert.deepEqual(gone, ['function CREATE OR', 'table content_requests r', 'trigger CREATE TRIGGER']);
    const added = after.filter((line) => !before.includes(line));
    assert.ok(added.includes('column content_requests.25 owner_token character varying(64) not null f default '));
    assert.deepEqual(
      added.filter((line) => line.startsWith('constraint')).map((line) => line.split(' ')[1]),
      [
        'content_requests.content_requests_completed_at_check',
        'content_requests.content_requests_error_stage_check',
        'content_requests.content_requests_failed_at_check',
        'content_requests.content_requests_retry_count_check',
        'content_requests.content_requests_script_text_check',
        'request_events.request_events_severity_check',
      ],
    );
    assert.ok(added.filter((line) => line.startsWith('constraint')).every((line) => line.endsWith('NOT VALID')));
    assert.equal(added.filter((line) => line.startsWith('index')).length, 5, 'no second index on a single column');

    for (const expected of [
      'content_requests: added the column owner_token',
      'content_requests.created_at differs: its type is timestamp without time zone, expected timestamp with time zone',
      'request_events.severity differs: it is nullable, expected not null',
      /^content_requests differs: it keeps content_requests_student_id_fkey FOREIGN KEY/,
      /^content_requests differs: it keeps content_requests_organization_id_fkey FOREIGN KEY/,
      'content_requests: set fillfactor 80',
      /^content_requests: added the check content_requests_script_text_check/,
      /^content_requests: replaced the trigger trigger_log_status_change/,
    ]) {
      const seen = notices.some((line) => (typeof expected === 'string' ? line === expected : expected.test(line)));
      assert.ok(seen, `${String(expected)} in\n${notices.join('\n')}`);
    }
  });

  it('gives the same catalog by psql -f, and nothing more on a second run', async () => {
    const [byPsql, byRunner] = [await newDatabase(), await newDatabase()];
    for (const name of MIGRATIONS) await psqlFile(byPsql, path.join(MIGRATIONS_DIRECTORY, `${name}.sql`));
    await run(byRunner);
    const schema = await describeSchema(byRunner);
    assert.deepEqual(await describeSchema(byPsql), schema);
    const { applied, notices } = await run(byPsql);
    assert.deepEqual(applied, [...MIGRATIONS]);
    assert.deepEqual(
      notices.filter((line) => !line.includes(' differs: ')),
      [],
    );
    assert.deepEqual(await describeSchema(byPsql), schema);
  });

  it('keeps old rows that break a check, and refuses new ones', async () => {
    const url = await newDatabase();
    await run(url);
    await withClient(url, async (client) => {
      const { rows } = await client.query('select correlation_id from content_requests order by correlation_id');
      assert.deepEqual(rows, [{ correlation_id: 'done' }, { correlation_id: 'open' }]);
      await assert.rejects(
        client.query(`update content_requests set status = 'completed' where correlation_id = 'open'`),
        { code: '23514' },
      );
    });
  });

  it('logs each change once', async () => {
    const url = await newDatabase();
    const changeStatus = (): Promise<unknown> =>
      withClient(url, (client) =>
        client.query(
          `update content_requests set status = case status when 'pending' then 'validating' else 'retrieving' end::content_request_status
            where correlation_id = 'open'`,
        ),
      );
    const events = (): Promise<unknown[]> =>
      withClient(url, async (client) => {
        const { rows } = await client.query<{ event_message: string }>(
          'select event_message from request_events order by created_at',
        );
        return rows.map(({ event_message }) => event_message);
      });
    await changeStatus();
    assert.deepEqual(await events(), ['status changed']);
    await run(url);
    await changeStatus();
    assert.deepEqual(await events(), ['status changed', 'status validating -> retrieving']);
  });

  it('adds the statuses that the enum lacks, each in its place', async () => {
    // Of those that stay, completed is used by a row and pending by a default.
    const url = await newDatabase(['pending', 'generating_script', 'completed', 'archived']);
    const { notices } = await run(url);
    await withClient(url, async (client) => {
      const { rows } = await client.query<{ labels: string }>(
        'select enum_range(null::content_request_status)::text as labels',
      );
      assert.equal(rows[0]?.labels, `{${[...STATUSES, 'archived'].join(',')}}`);
    });
    assert.equal(notices.filter((line) => line.startsWith('content_request_status: added the value')).length, 7);
    assert.ok(notices.some((line) => line.startsWith('content_request_status differs: it has {pending')));
  });

  it('refuses a table that cannot be the one', async () => {
    const url = await postgres.createDatabase('another');
    await withClient(url, (client) => client.query('create table content_requests (id uuid primary key, title text)'));
    await assert.rejects(run(url), /content_requests/);
    const { rows } = await withClient(url, (client) =>
      client.query(`select from pg_attribute where attrelid = 'content_requests'::regclass and attnum > 0`),
    );
    assert.equal(rows.length, 2);
  });

  it('warns of a column that would make every insert fail', async () => {
    const url = await newDatabase();
    await withClient(url, (client) =>
      client
        .query(`alter table content_requests add column tenant text not null default ''`)
        .then(() => client.query('alter table content_requests alter column tenant drop default')),
    );
    const { notices } = await run(url);
    assert.ok(notices.some((line) => line.startsWith('content_requests.tenant is not null, has no default')));
  });
});
