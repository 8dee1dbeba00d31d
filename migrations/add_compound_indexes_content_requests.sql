-- Five compound indexes of content_requests, built while the table is in use.
--
--   psql -v ON_ERROR_STOP=1 -f migrations/add_compound_indexes_content_requests.sql "$DATABASE_URL"
--
-- Run it in autocommit, as psql -f does: create index concurrently refuses to run inside a transaction (no -1, no
-- --single-transaction). Each build waits for every transaction that is open when it starts.
--
-- A build that was cancelled or failed leaves an INVALID index, which slows writes, serves no read, and which
-- `if not exists` skips. The last statement of this file fails if there is one. `npm run migrate` drops and rebuilds
-- it; by hand: drop index concurrently <name>; and run this file again.
--
-- Size and use, some days later:
--
--   select indexrelname, idx_scan, idx_tup_read, pg_size_pretty(pg_relation_size(indexrelid)) as size
--     from pg_stat_user_indexes
--    where relname = 'content_requests'
--    order by idx_scan desc;
--
-- An index that stays at idx_scan 0 can go. A larger maintenance_work_mem makes the builds faster.
-- Rollback: add_compound_indexes_content_requests.rollback.sql.

-- Worker idempotency: where correlation_id = $1 and status not in ('completed', 'failed'). 10-100 per second and worker.
create index concurrently if not exists idx_content_requests_correlation_status
  on content_requests (correlation_id, status);

comment on index idx_content_requests_correlation_status is
  'Worker idempotency: a request by correlation_id that has not ended';

-- A student's open requests, newest first; the poller of the web client. 1-10 per second and active student.
create index concurrently if not exists idx_content_requests_student_status_created
  on content_requests (student_id, status, created_at desc);

comment on index idx_content_requests_student_status_created is
  'Student''s list: requests by student and status, newest first';

-- The administrators' list: where status = $1 order by created_at desc limit 50. 0.1-1 per second.
create index concurrently if not exists idx_content_requests_status_created
  on content_requests (status, created_at desc);

comment on index idx_content_requests_status_created is
  'Administrators'' list: requests by status, newest first';

-- Analytics of an organization. Partial: requests without an organization never appear there. 0.01-0.1 per second.
create index concurrently if not exists idx_content_requests_org_status_created
  on content_requests (organization_id, status, created_at desc)
  where organization_id is not null;

comment on index idx_content_requests_org_status_created is
  'Organization analytics: requests by organization and status, newest first';

-- Failed requests by stage, newest failure first: where an operator with a dead letter looks. 0.01-0.1 per second.
create index concurrently if not exists idx_content_requests_failed_debugging
  on content_requests (status, error_stage, failed_at desc)
  where status = 'failed';

comment on index idx_content_requests_failed_debugging is
  'Failure investigation: failed requests by stage, newest failure first';

-- `if not exists` is content with an INVALID index; this is not.
do $$
declare
  broken text;
begin
  select string_agg(pg_class.relname, ', ' order by pg_class.relname)
    into broken
    from pg_index
    join pg_class on pg_class.oid = indexrelid
   where indrelid = to_regclass('content_requests')
     and not indisvalid
     and pg_class.relname in (
       'idx_content_requests_correlation_status',
       'idx_content_requests_student_status_created',
       'idx_content_requests_status_created',
       'idx_content_requests_org_status_created',
       'idx_content_requests_failed_debugging'
     );
  if broken is not null then
    raise exception 'invalid index: %', broken
      using hint = 'An earlier build broke off. Drop it with drop index concurrently, then run this file again.';
  end if;
end
$$;
