-- Drops the five compound indexes while the table is in use. Rows are untouched; running it again does nothing.
--
--   psql -v ON_ERROR_STOP=1 -f migrations/add_compound_indexes_content_requests.rollback.sql "$DATABASE_URL"
--
-- Run it in autocommit, as psql -f does: drop index concurrently refuses to run inside a transaction.
drop index concurrently if exists idx_content_requests_correlation_status;
drop index concurrently if exists idx_content_requests_student_status_created;
drop index concurrently if exists idx_content_requests_status_created;
drop index concurrently if exists idx_content_requests_org_status_created;
drop index concurrently if exists idx_content_requests_failed_debugging;
