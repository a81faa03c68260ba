-- name: append_records
-- Exactly-once append of a batch from a spool, and what its records say of the session.
SELECT r.verdict, r.stored, r.first_seq, r.skipped, NULL::text AS told_to
  FROM append_records($1, $2, $3, $4::int, $5::bigint, $6::jsonb) r;

-- name: append_all
-- Several of one moment, in their order, each with what the session above is told of it:
-- [spoke, epoch, session, attempt, first, records, told].
SELECT r.verdict, r.stored, r.first_seq, r.skipped, r.told_to FROM append_all($1::jsonb) r;

-- name: events_after
-- The story of a session after a sequence number.
SELECT e.seq, e.at, e.attempt, e.kind, e.body FROM session_events e
 WHERE e.birth_day = $1 AND e.session_id = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4;

-- name: story_of
-- Where the story of a session stands.
SELECT s.birth_day, s.last_seq, s.state FROM sessions s WHERE s.session_id = $1;

-- name: ensure_partitions
SELECT ensure_partitions($1::int) AS made;

-- name: note_saved
-- Where the work of an attempt was saved.
SELECT note_saved($1, $2, $3, $4::int, $5::jsonb) AS verdict;
