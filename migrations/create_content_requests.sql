-- The table content_requests, its enum and its event log.
--
--   psql -v ON_ERROR_STOP=1 -f migrations/create_content_requests.sql "$DATABASE_URL"
--
-- Running it again changes nothing. Where the table exists already (the original worker's migration
-- add_request_tracking.sql made it), it is adopted: what is missing is added, nothing that is there changes its type
-- or loses a foreign key, and every difference is printed as a notice.
--
-- Each statement stands for itself and is safe to repeat: a new enum value can be used only after the statement that
-- added it is committed, so the file is not one transaction. If a run breaks off, run it again.

-- The order is that of STATUSES in src/contract/status.ts; a test compares the two. A status that this enum lacked
-- was an outage of the original worker.
do $$
declare
  labels constant text[] := array[
    'pending',
    'validating',
    'retrieving',
    'generating_script',
    'generating_video',
    'processing_video',
    'notifying',
    'completed',
    'failed',
    'cancelled'
  ];
  present text[];
  label text;
  earlier text;
begin
  if to_regtype('content_request_status') is null then
    execute format(
      'create type content_request_status as enum (%s)',
      (select string_agg(quote_literal(value), ', ' order by position)
         from unnest(labels) with ordinality as listed (value, position))
    );
    return;
  end if;

  foreach label in array labels loop
    select array_agg(enumlabel::text order by enumsortorder)
      into present
      from pg_enum
     where enumtypid = to_regtype('content_request_status');
    if present is null then
      execute format('alter type content_request_status add value if not exists %L', label);
    elsif not label = any (present) then
      if earlier is null then
        execute format('alter type content_request_status add value if not exists %L before %L', label, present[1]);
      else
        execute format('alter type content_request_status add value if not exists %L after %L', label, earlier);
      end if;
      raise notice 'content_request_status: added the value %', label;
    end if;
    earlier := label;
  end loop;

  select array_agg(enumlabel::text order by enumsortorder)
    into present
    from pg_enum
   where enumtypid = to_regtype('content_request_status');
  if present <> labels then
    raise notice 'content_request_status differs: it has %, expected %', present, labels;
  end if;
end
$$;

-- No foreign keys to users and organizations: this product owns neither table.
-- The checks tie each status to its timestamps, so that a half-written end of a request cannot be stored.
-- A request takes about eight updates. fillfactor 80 leaves room on the page for those that change no indexed
-- column, which then cost no index entry (HOT).
create table if not exists content_requests (
  id uuid not null default gen_random_uuid(),
  correlation_id varchar(64) not null,
  student_id varchar(100) not null,
  topic varchar(500) not null,
  learning_objective text,
  grade_level varchar(50),
  duration_minutes integer,
  status content_request_status not null default 'pending',
  current_stage varchar(100),
  progress_percentage integer default 0,
  created_at timestamptz not null default current_timestamp,
  started_at timestamptz,
  completed_at timestamptz,
  failed_at timestamptz,
  video_url text,
  script_text text,
  thumbnail_url text,
  error_message text,
  error_stage varchar(100),
  error_details jsonb,
  retry_count integer default 0,
  request_metadata jsonb,
  total_duration_seconds integer,
  organization_id varchar(100),
  owner_token varchar(64),
  constraint content_requests_pkey primary key (id),
  constraint content_requests_correlation_id_key unique (correlation_id),
  constraint content_requests_progress_percentage_check check (progress_percentage between 0 and 100),
  constraint content_requests_retry_count_check check (retry_count >= 0),
  constraint content_requests_completed_at_check check ((status = 'completed') = (completed_at is not null)),
  constraint content_requests_failed_at_check check ((status = 'failed') = (failed_at is not null)),
  constraint content_requests_error_stage_check check ((status = 'failed') = (error_stage is not null)),
  constraint content_requests_script_text_check check (status <> 'completed' or script_text is not null)
) with (fillfactor = 80);

-- What happened to a request, oldest first. Written by the triggers below; operators may add lines of their own.
create table if not exists request_events (
  id uuid not null default gen_random_uuid(),
  request_id uuid not null,
  event_type varchar(100) not null,
  event_message text not null,
  stage_name varchar(100),
  severity varchar(20) not null default 'info',
  created_at timestamptz not null default current_timestamp,
  event_data jsonb,
  source_service varchar(100),
  source_host varchar(255),
  constraint request_events_pkey primary key (id),
  constraint request_events_request_id_fkey
    foreign key (request_id) references content_requests (id) on delete cascade,
  constraint request_events_severity_check check (severity in ('info', 'warning', 'error', 'critical'))
);

-- Adopt tables that were there before: add columns that are missing, print what differs.
do $$
declare
  expected record;
  actual record;
  other record;
begin
  for expected in
    select *
      from (values
        ('content_requests', 'id', 'uuid', 'not null default gen_random_uuid()'),
        ('content_requests', 'correlation_id', 'character varying(64)', 'not null'),
        ('content_requests', 'student_id', 'character varying(100)', 'not null'),
        ('content_requests', 'topic', 'character varying(500)', 'not null'),
        ('content_requests', 'learning_objective', 'text', ''),
        ('content_requests', 'grade_level', 'character varying(50)', ''),
        ('content_requests', 'duration_minutes', 'integer', ''),
        ('content_requests', 'status', 'content_request_status', 'not null default ''pending'''),
        ('content_requests', 'current_stage', 'character varying(100)', ''),
        ('content_requests', 'progress_percentage', 'integer', 'default 0'),
        ('content_requests', 'created_at', 'timestamp with time zone', 'not null default current_timestamp'),
        ('content_requests', 'started_at', 'timestamp with time zone', ''),
        ('content_requests', 'completed_at', 'timestamp with time zone', ''),
        ('content_requests', 'failed_at', 'timestamp with time zone', ''),
        ('content_requests', 'video_url', 'text', ''),
        ('content_requests', 'script_text', 'text', ''),
        ('content_requests', 'thumbnail_url', 'text', ''),
        ('content_requests', 'error_message', 'text', ''),
        ('content_requests', 'error_stage', 'character varying(100)', ''),
        ('content_requests', 'error_details', 'jsonb', ''),
        ('content_requests', 'retry_count', 'integer', 'default 0'),
        ('content_requests', 'request_metadata', 'jsonb', ''),
        ('content_requests', 'total_duration_seconds', 'integer', ''),
        ('content_requests', 'organization_id', 'character varying(100)', ''),
        ('content_requests', 'owner_token', 'character varying(64)', ''),
        ('request_events', 'id', 'uuid', 'not null default gen_random_uuid()'),
        ('request_events', 'request_id', 'uuid', 'not null'),
        ('request_events', 'event_type', 'character varying(100)', 'not null'),
        ('request_events', 'event_message', 'text', 'not null'),
        ('request_events', 'stage_name', 'character varying(100)', ''),
        ('request_events', 'severity', 'character varying(20)', 'not null default ''info'''),
        ('request_events', 'created_at', 'timestamp with time zone', 'not null default current_timestamp'),
        ('request_events', 'event_data', 'jsonb', ''),
        ('request_events', 'source_service', 'character varying(100)', ''),
        ('request_events', 'source_host', 'character varying(255)', '')
      ) as listed (table_name, column_name, type_name, rest)
  loop
    select format_type(atttypid, atttypmod) as type_name, attnotnull as required, atthasdef as has_default
      into actual
      from pg_attribute
     where attrelid = to_regclass(expected.table_name)
       and attname = expected.column_name
       and not attisdropped;
    if not found then
      if expected.rest = 'not null' then
        raise exception '% has no column %: this is not the table that the worker knows',
          expected.table_name, expected.column_name;
      end if;
      execute format('alter table %I add column if not exists %I %s %s',
        expected.table_name, expected.column_name, expected.type_name, expected.rest);
      raise notice '%: added the column %', expected.table_name, expected.column_name;
    else
      if actual.type_name <> expected.type_name then
        raise notice '%.% differs: its type is %, expected %',
          expected.table_name, expected.column_name, actual.type_name, expected.type_name;
      end if;
      if actual.required <> (expected.rest like 'not null%') then
        raise notice '%.% differs: it is %, expected %', expected.table_name, expected.column_name,
          case when actual.required then 'not null' else 'nullable' end,
          case when actual.required then 'nullable' else 'not null' end;
      end if;
      if actual.has_default <> (expected.rest like '%default %') then
        raise notice '%.% differs: it has % default', expected.table_name, expected.column_name,
          case when actual.has_default then 'an unexpected' else 'no' end;
      end if;
    end if;
  end loop;

  -- A column that must be given and that the worker does not know makes every insert fail.
  for other in
    select attname
      from pg_attribute
     where attrelid = to_regclass('content_requests')
       and attnum > 0 and not attisdropped and attnotnull and not atthasdef and attidentity = ''
       and attname not in ('id', 'correlation_id', 'student_id', 'topic', 'status', 'created_at')
  loop
    raise warning 'content_requests.% is not null, has no default and is unknown to the worker: inserts will fail',
      other.attname;
  end loop;

  for other in
    select conname, pg_get_constraintdef(oid) as definition
      from pg_constraint
     where conrelid = to_regclass('content_requests') and contype = 'f'
  loop
    raise notice 'content_requests differs: it keeps % %; the worker ends a request that violates it as failed',
      other.conname, other.definition;
  end loop;

  if not exists (
    select from pg_class, unnest(reloptions) as option
     where oid = to_regclass('content_requests') and option like 'fillfactor=%'
  ) then
    alter table content_requests set (fillfactor = 80);
    raise notice 'content_requests: set fillfactor 80';
  end if;
end
$$;

-- On an adopted table the checks are NOT VALID: rows written by the original worker may break them (its completed
-- rows carry no script), new and updated rows may not. `alter table content_requests validate constraint …` later.
do $$
declare
  expected record;
begin
  for expected in
    select *
      from (values
        ('content_requests', 'content_requests_progress_percentage_check', 'progress_percentage between 0 and 100'),
        ('content_requests', 'content_requests_retry_count_check', 'retry_count >= 0'),
        ('content_requests', 'content_requests_completed_at_check',
          '(status = ''completed'') = (completed_at is not null)'),
        ('content_requests', 'content_requests_failed_at_check', '(status = ''failed'') = (failed_at is not null)'),
        ('content_requests', 'content_requests_error_stage_check',
          '(status = ''failed'') = (error_stage is not null)'),
        ('content_requests', 'content_requests_script_text_check',
          'status <> ''completed'' or script_text is not null'),
        ('request_events', 'request_events_severity_check',
          'severity in (''info'', ''warning'', ''error'', ''critical'')')
      ) as listed (table_name, constraint_name, expression)
  loop
    if not exists (
      select from pg_constraint
       where conrelid = to_regclass(expected.table_name) and conname = expected.constraint_name
    ) then
      execute format('alter table %I add constraint %I check (%s) not valid',
        expected.table_name, expected.constraint_name, expected.expression);
      raise notice '%: added the check % (not valid: old rows were not looked at)',
        expected.table_name, expected.constraint_name;
    end if;
  end loop;
end
$$;

-- Equality on one column. An adopted table has these under names of its own: an index on the same column is enough.
-- correlation_id has its unique index. The log's index also serves the cascade from content_requests.
do $$
declare
  expected record;
begin
  for expected in
    select *
      from (values
        ('content_requests', 'idx_content_requests_student', 'student_id', '(student_id)'),
        ('content_requests', 'idx_content_requests_status', 'status', '(status)'),
        ('content_requests', 'idx_content_requests_created', 'created_at', '(created_at desc)'),
        ('content_requests', 'idx_content_requests_organization', 'organization_id', '(organization_id)'),
        ('request_events', 'idx_request_events_request', 'request_id', '(request_id)')
      ) as listed (table_name, index_name, column_name, definition)
  loop
    if not exists (
      select from pg_index
        join pg_attribute on attrelid = indrelid and attnum = indkey[0]
       where indrelid = to_regclass(expected.table_name)
         and attname = expected.column_name
         and indnkeyatts = 1 and indpred is null and indisvalid
    ) then
      execute format('create index if not exists %I on %I %s',
        expected.index_name, expected.table_name, expected.definition);
    end if;
  end loop;

  if not exists (
    select from pg_index
      join pg_attribute on attrelid = indrelid and attnum = indkey[0]
     where indrelid = to_regclass('content_requests')
       and attname = 'correlation_id'
       and indnkeyatts = 1 and indpred is null and indisunique and indisvalid
  ) then
    raise warning 'content_requests differs: correlation_id is not unique';
  end if;
end
$$;

-- One line per status a request has had, the first included. The original logged updates only, without the owner.
create or replace function log_status_change() returns trigger
language plpgsql
as $$
declare
  old_status text := case when tg_op = 'UPDATE' then old.status::text end;
begin
  insert into request_events (request_id, event_type, event_message, stage_name, severity, event_data, source_service)
  values (
    new.id,
    'status_change',
    case
      when old_status is null then format('created as %s', new.status)
      else format('status %s -> %s', old_status, new.status)
    end,
    new.current_stage,
    case when new.status::text = 'failed' then 'error' else 'info' end,
    jsonb_build_object(
      'old_status', old_status,
      'new_status', new.status,
      'current_stage', new.current_stage,
      'owner_token', new.owner_token
    ),
    -- The session that wrote, not the function: worker, API and psql are told apart by their application_name.
    nullif(left(current_setting('application_name', true), 100), '')
  );
  return null;
end
$$;

-- Two triggers, because WHEN can name the old row in an update only; a progress update then calls no function at all.
-- The original's trigger on the same function would log every change a second time: it is replaced in the same
-- transaction, so that no change goes unlogged.
do $$
declare
  other record;
begin
  for other in
    select tgname
      from pg_trigger
      join pg_proc on pg_proc.oid = tgfoid
     where tgrelid = to_regclass('content_requests')
       and not tgisinternal
       and proname = 'log_status_change'
       and tgname not in ('log_first_status', 'log_status_change')
  loop
    execute format('drop trigger %I on content_requests', other.tgname);
    raise notice 'content_requests: replaced the trigger %, which logged status changes without the owner',
      other.tgname;
  end loop;

  create or replace trigger log_first_status
    after insert on content_requests
    for each row
    execute function log_status_change();

  create or replace trigger log_status_change
    after update on content_requests
    for each row
    when (old.status is distinct from new.status)
    execute function log_status_change();
end
$$;

comment on column content_requests.owner_token is
  'First execution run id of the workflow run that owns the row; every write of the worker names it.';
