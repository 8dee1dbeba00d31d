-- Drops content_requests, its event log and its enum. Rows are lost, so it refuses while there are any, unless told:
--
--   PGOPTIONS='-c content_processor.drop_rows=on' \
--     psql -v ON_ERROR_STOP=1 -f migrations/create_content_requests.rollback.sql "$DATABASE_URL"
--
-- Nothing is dropped by cascade: tables and views that depend on content_requests (the original's request_stages and
-- active_requests_dashboard) make it fail, and then nothing is dropped. One statement, so it happens whole or not.
do $$
declare
  forced constant boolean := coalesce(nullif(current_setting('content_processor.drop_rows', true), ''), 'off')::boolean;
  name text;
  filled boolean;
begin
  foreach name in array array['content_requests', 'request_events'] loop
    continue when to_regclass(name) is null;
    -- Nobody can add a row between the look and the drop.
    execute format('lock table %I in access exclusive mode', name);
    execute format('select exists (select from %I)', name) into filled;
    if filled and not forced then
      raise exception '% holds rows: nothing was dropped', name
        using hint = 'Set content_processor.drop_rows=on, or run the migration runner with --force, to lose them.';
    end if;
  end loop;

  drop table if exists request_events;
  drop table if exists content_requests;
  drop function if exists log_status_change();
  drop type if exists content_request_status;
end
$$;
