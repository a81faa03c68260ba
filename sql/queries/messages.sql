-- name: insert_message
-- A message, once: the same id again inserts nothing.
INSERT INTO messages (message_id, session_id, text, mode, sender) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (message_id) DO NOTHING RETURNING message_id;

-- name: message_state
SELECT m.message_id, m.session_id, m.mode, m.state, m.reason FROM messages m WHERE m.message_id = $1;

-- name: lock_session
-- Hold a session while something about it is decided.
SELECT s.session_id, s.state, s.desired, s.attempt, s.task, s.branch,
       (SELECT m.agent_session_id FROM mappings m WHERE m.session_id = s.session_id
           AND m.attempt = s.attempt AND m.worktree IS NOT NULL) AS agent_session_id
  FROM sessions s WHERE s.session_id = $1 FOR NO KEY UPDATE;

-- name: order_message
-- Put a message into the outbox of the spoke that holds the session. None: nobody holds it yet.
SELECT order_to(m.spoke_id, m.session_id, m.attempt, 'message', $2::jsonb) AS seq, m.spoke_id
  FROM mappings m JOIN sessions s ON s.session_id = m.session_id AND s.attempt = m.attempt
 WHERE m.session_id = $1 AND m.released_at IS NULL;
