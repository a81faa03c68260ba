-- name: failures_of_session
-- What the decision about a failure of its agent is made on.
SELECT s.agent, s.spec -> 'fallback' AS fallback, s.failures, a.limited_until, a.limited_at,
       a.open_at, coalesce(a.strikes, 0) AS strikes, now() AS now
  FROM sessions s LEFT JOIN accounts a ON a.account = s.account
 WHERE s.session_id = $1 AND s.attempt = $2;

-- name: accounts_due
-- Accounts whose limit is over.
SELECT a.account, a.limited_until, a.limited_at FROM accounts a
 WHERE a.limited_until <= now() ORDER BY a.account;

-- name: wake_parked
-- The sessions that waited for an account, each a little later than the other: once for each limit,
-- for what was woken is not held back until that any more.
WITH parked AS (
    SELECT s.session_id FROM sessions s
     WHERE s.account = $1 AND s.state = 'queued' AND s.not_before <= $2
     ORDER BY s.depth, s.session_id FOR NO KEY UPDATE),
woken AS (
    UPDATE sessions s
       SET not_before = clock_timestamp() + random() * $3::interval, last_seq = s.last_seq + 1
      FROM parked p WHERE s.session_id = p.session_id AND s.state = 'queued'
    RETURNING s.session_id, s.birth_day, s.last_seq, s.attempt, s.not_before)
INSERT INTO session_events (birth_day, session_id, seq, attempt, kind, body)
SELECT w.birth_day, w.session_id, w.last_seq, w.attempt, 'woken',
       jsonb_build_object('account', $1::text, 'notBefore', w.not_before) FROM woken w
RETURNING session_id;

-- name: open_account
-- Its limit is over, unless it has another one by now.
UPDATE accounts SET limited_until = NULL, open_at = limited_until
 WHERE account = $1 AND limited_until = $2
RETURNING account;

-- name: list_accounts
-- Accounts that have, or had, a limit; those that have one first. waiting: sessions in the queue.
SELECT a.account, a.limited_until, a.limited_at, a.said, a.strikes, now() AS now,
       (SELECT count(*) FROM sessions s
         WHERE s.account = a.account AND s.state = 'queued')::int AS waiting
  FROM accounts a WHERE $1::text IS NULL OR a.account = $1
 ORDER BY a.limited_until DESC NULLS LAST, a.account LIMIT 500;

-- name: lift_limit
-- End a limit early; the sessions that are woken. No row: there was none.
SELECT l.session_ids FROM lift_limit($1, $2, $3, $4::interval) l;

-- name: handoff_of_session
-- What a new conversation is told of the one before: the failure that ended it, what the session was
-- told last, and what its agent said last.
SELECT s.task, s.branch, s.failures -> -1 ->> 'message' AS failed,
       ARRAY(SELECT m.text FROM messages m
              WHERE m.session_id = s.session_id AND m.state IN ('delivered', 'consumed')
              ORDER BY m.ord DESC LIMIT 5) AS told,
       ARRAY(SELECT e.body ->> 'text' FROM session_events e
              WHERE e.birth_day = s.birth_day AND e.session_id = s.session_id
                AND e.seq > s.last_seq - 2000 AND e.kind = 'agent'
                AND e.body ->> 'event' = 'text'
              ORDER BY e.seq DESC LIMIT 3) AS said
  FROM sessions s WHERE s.session_id = $1;
