-- name: answer_question
-- ok | unknown | over | answered.
SELECT q.verdict, q.spoke_id FROM answer_question($1, $2::bigint, $3, $4, $5) q;

-- name: question_of
SELECT q.session_id, q.number, q.attempt, q.body, q.asked_at, q.answer, q.answer_by, q.decision,
       q.decided_by, q.decided_at, s.task, s.attempt = q.attempt AND m.released_at IS NULL AS live
  FROM questions q JOIN sessions s ON s.session_id = q.session_id
  JOIN mappings m ON m.session_id = q.session_id AND m.attempt = q.attempt
 WHERE q.session_id = $1 AND q.number = $2::bigint;

-- name: questions_asked
-- Open ones, or all: of a session, of all below one (itself not), or of everybody; oldest first.
WITH RECURSIVE below AS (
    SELECT c.session_id FROM sessions c WHERE c.parent_id = $2
    UNION ALL
    SELECT c.session_id FROM below b JOIN sessions c ON c.parent_id = b.session_id)
SELECT q.session_id, q.number, q.attempt, q.body, q.asked_at, q.answer, q.answer_by, q.decision,
       q.decided_by, q.decided_at, s.task, s.attempt = q.attempt AND m.released_at IS NULL AS live
  FROM questions q JOIN sessions s ON s.session_id = q.session_id
  JOIN mappings m ON m.session_id = q.session_id AND m.attempt = q.attempt
 WHERE ($1::text IS NULL OR q.session_id = $1)
   AND ($2::text IS NULL OR q.session_id IN (SELECT b.session_id FROM below b))
   AND (NOT $3::boolean OR (q.decision IS NULL AND s.attempt = q.attempt
                            AND m.released_at IS NULL))
 ORDER BY q.asked_at, q.session_id, q.number LIMIT $4;

-- name: permissions_of
-- What a session was allowed when it was spawned; null: everything.
SELECT s.spec -> 'permissions' AS layers FROM sessions s WHERE s.session_id = $1;
