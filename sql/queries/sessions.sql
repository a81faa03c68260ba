-- name: spawn_sessions
-- Store the spawns of one moment: one JSON list in, one row each out. A parent is held FOR SHARE
-- until the commit, so that an abort of it either sees the child or refuses it here. What is not
-- inserted has a key or a branch that is taken, a parent that takes no children, or wants a spoke
-- that is not there.
WITH input AS (
    SELECT i.* FROM json_to_recordset($1::json) AS i (
        ord int, session_id text, parent_id text, on_parent_abort text, owner text, idem_key text,
        params_hash text, task text, repo text, base text, branch text, agent text, spec jsonb,
        labels jsonb, wanted_spoke text, requires jsonb, sandbox text, priority smallint,
        grant_depth smallint, grant_children smallint, queue_ms bigint, run_ms bigint)),
parents AS (
    SELECT p.session_id, p.root_id, p.depth, p.desired, p.state FROM sessions p
    WHERE p.session_id = ANY ($2::text[]) ORDER BY p.depth, p.session_id FOR SHARE),
inserted AS (
    INSERT INTO sessions (
        session_id, root_id, parent_id, depth, on_parent_abort, owner, idem_key, params_hash, task,
        repo, base, branch, agent, spec, labels, wanted_spoke, requires, sandbox, priority,
        grant_depth, grant_children, queue_deadline, run_timeout, last_seq)
    SELECT i.session_id, coalesce(p.root_id, i.session_id), i.parent_id, coalesce(p.depth + 1, 0),
           i.on_parent_abort, i.owner, i.idem_key, decode(i.params_hash, 'hex'), i.task, i.repo,
           i.base, i.branch, i.agent, i.spec, i.labels, i.wanted_spoke, i.requires, i.sandbox,
           i.priority, i.grant_depth, i.grant_children, now() + i.queue_ms * interval '1 ms',
           i.run_ms * interval '1 ms', 1
      FROM input i LEFT JOIN parents p ON p.session_id = i.parent_id
     WHERE (i.parent_id IS NULL OR (p.desired = 'run' AND NOT session_ended(p.state)))
       AND (i.wanted_spoke IS NULL OR is_spoke(i.wanted_spoke))
     ORDER BY i.ord
    ON CONFLICT DO NOTHING
    RETURNING session_id, birth_day, task, owner, parent_id),
told AS (
    INSERT INTO session_events (birth_day, session_id, seq, attempt, kind, body)
    SELECT n.birth_day, n.session_id, 1, 0, 'queued',
           jsonb_build_object('task', n.task, 'by', n.owner) FROM inserted n)
SELECT i.ord, n.session_id IS NOT NULL AS inserted, p.desired AS parent_desired,
       p.state AS parent_state
  FROM input i LEFT JOIN inserted n ON n.session_id = i.session_id
  LEFT JOIN parents p ON p.session_id = i.parent_id
 ORDER BY i.ord;

-- name: spawn_one
-- The same for one that has no parent and comes alone: a third less work. None: it is not inserted.
-- With a spoke, a token's digest and an epoch, it is given to that spoke at once, if that can be; the
-- function sees the row because it is called with what the INSERT before it returned.
WITH inserted AS (
    INSERT INTO sessions (
        session_id, root_id, on_parent_abort, owner, idem_key, params_hash, task, repo, base,
        branch, agent, spec, labels, wanted_spoke, requires, priority, grant_depth, grant_children,
        queue_deadline, run_timeout, last_seq, sandbox)
    SELECT $1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12::jsonb, $13, $14::jsonb,
           $15, $16, $17, now() + $18::bigint * interval '1 ms',
           $19::bigint * interval '1 ms', 1, $20
     WHERE $13::text IS NULL OR is_spoke($13)
    ON CONFLICT DO NOTHING
    RETURNING session_id, birth_day, task, owner),
told AS (
    INSERT INTO session_events (birth_day, session_id, seq, attempt, kind, body)
    SELECT n.birth_day, n.session_id, 1, 0, 'queued',
           jsonb_build_object('task', n.task, 'by', n.owner) FROM inserted n
    RETURNING session_id)
SELECT t.session_id, assign_new(t.session_id, $21, $22, $23) AS seq FROM told t;

-- name: session_of_key
-- The session that an idempotency key made.
SELECT session_id, params_hash FROM sessions WHERE owner = $1 AND idem_key = $2;

-- name: holder_of_branch
-- The live session that holds a branch of a repository.
SELECT session_id FROM sessions WHERE repo = $1 AND branch = $2 AND NOT session_ended(state);

-- name: lock_parent
-- Hold a session that spawns children within its grant: its siblings are counted under this lock.
SELECT s.session_id, s.state, s.desired, s.grant_depth, s.grant_children, s.sandbox,
       (SELECT m.sandbox FROM mappings m
         WHERE m.session_id = s.session_id AND m.attempt = s.attempt) AS runs_in
  FROM sessions s WHERE s.session_id = $1 FOR NO KEY UPDATE;

-- name: count_live_children
SELECT count(*)::int AS n FROM sessions WHERE parent_id = $1 AND NOT session_ended(state);

-- name: session_views
-- Sessions as they are shown, newest first.
SELECT s.session_id, s.task, s.state, s.desired,
       CASE WHEN s.state = 'running' THEN s.activity END AS activity, s.reason, s.state_since,
       s.parent_id, s.root_id, s.depth, s.on_parent_abort, s.attempt, s.agent, s.repo, s.branch, m.base_commit,
       m.worktree, m.spoke_id, p.name AS spoke, p.online AS spoke_online,
       p.last_seen_at AS spoke_seen_at, s.labels, s.created_at, s.started_at, s.finished_at,
       s.exit_code, s.last_seq, s.result, s.owner, s.queue_deadline, s.run_deadline,
       s.abort_id, a.reason AS abort_reason, a.asked_at AS abort_asked_at, s.abort_before,
       s.abort_confirmed, s.wanted_spoke, s.requires, m.saved, m.agent_session_id,
       s.agent_state, s.account, s.failures, c.limited_until, c.limited_at, c.said AS limit_said,
       s.sandbox, m.sandbox AS runs_in
  FROM sessions s
  LEFT JOIN accounts c ON c.account = s.account AND c.limited_until IS NOT NULL
  LEFT JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  LEFT JOIN spokes p ON p.spoke_id = m.spoke_id
  LEFT JOIN aborts a ON a.abort_id = s.abort_id
 WHERE s.session_id = ANY ($1::text[])
 ORDER BY s.created_at DESC, s.session_id DESC;

-- name: list_sessions
-- The ids of one page: parent, states, ended, spoke, labels, before (created_at, id), limit.
SELECT s.session_id, s.created_at FROM sessions s
 WHERE ($1::text IS NULL OR s.parent_id = $1)
   AND ($2::text[] IS NULL OR s.state = ANY ($2::session_state[]))
   AND ($3::boolean IS NULL OR session_ended(s.state) = $3)
   AND ($4::text IS NULL OR EXISTS (
        SELECT FROM mappings m JOIN spokes p ON p.spoke_id = m.spoke_id
         WHERE m.session_id = s.session_id AND m.attempt = s.attempt
           AND (p.spoke_id = $4 OR p.name = $4)))
   AND s.labels @> $5::jsonb
   AND ($6::timestamptz IS NULL OR (s.created_at, s.session_id) < ($6, $7::text))
 ORDER BY s.created_at DESC, s.session_id DESC LIMIT $8;

-- name: match_sessions
-- What a person may mean: an id, a branch or a task, and behind them the start of an id; of each,
-- live sessions first, and then those with whom there is something to do although they have ended.
-- top: only that session and those below it.
WITH RECURSIVE tree AS (
    SELECT s.session_id FROM sessions s WHERE s.session_id = $2::text
    UNION ALL
    SELECT c.session_id FROM tree t JOIN sessions c ON c.parent_id = t.session_id)
SELECT s.session_id, s.created_at FROM sessions s
 WHERE (s.session_id = $1 OR starts_with(s.session_id, $1)
        OR starts_with(s.session_id, 'ses_' || $1) OR s.branch = $1 OR s.task = $1)
   AND ($2::text IS NULL OR s.session_id IN (SELECT t.session_id FROM tree t))
 ORDER BY $1 IN (s.session_id, s.branch, s.task) DESC, session_ended(s.state),
          s.state IN ('blocked', 'lost') DESC, s.created_at DESC
 LIMIT 20;

-- name: tree_ids
-- A session and all below it. spared: a child that was spawned to continue, or is below one.
WITH RECURSIVE tree AS (
    SELECT s.session_id, false AS spared, 0 AS level FROM sessions s WHERE s.session_id = $1
    UNION ALL
    SELECT c.session_id, t.spared OR c.on_parent_abort = 'continue-running', t.level + 1
      FROM tree t JOIN sessions c ON c.parent_id = t.session_id)
SELECT t.session_id, t.spared, t.level FROM tree t ORDER BY t.level, t.session_id;

-- name: is_below
-- Whether a session is another or stands below it.
WITH RECURSIVE up AS (
    SELECT s.session_id, s.parent_id FROM sessions s WHERE s.session_id = $1
    UNION ALL
    SELECT p.session_id, p.parent_id FROM up u JOIN sessions p ON p.session_id = u.parent_id)
SELECT EXISTS (SELECT FROM up WHERE session_id = $2) AS below;

-- name: tell_session
-- Tell a session a fact; the state after it, or null where the table of transitions refuses.
SELECT tell($1, $2::session_fact, $3, $4::jsonb) AS state;

-- name: note_event
-- One event of the hub's own.
SELECT note($1, $2, $3::jsonb) AS seq;

-- name: abort_tree
-- Mark a session and all below it, with the stop orders for their spokes.
SELECT t.session_id, t.before, t.spared, t.abort_id, t.asked_at, t.spoke_id, t.attempt, t.seq,
       t.body
  FROM abort_tree($1, $2, $3, $4::jsonb, $5::boolean, $6::session_state) t;

-- name: live_among
-- Those of these sessions that have not ended.
SELECT s.session_id FROM sessions s
 WHERE s.session_id = ANY ($1::text[]) AND NOT session_ended(s.state);

-- name: stops_of
-- Of those of these sessions that are on a spoke which is online: whether their order to stop waits for
-- the spoke to take it, and since when the spoke is not heard, if it is not.
SELECT s.session_id, bool_or(c.seq IS NOT NULL) AS waits,
       CASE WHEN p.lease_expires_at IS NOT NULL THEN p.last_seen_at END AS silent_since
  FROM sessions s
  JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  JOIN spokes p ON p.spoke_id = m.spoke_id AND p.online
  LEFT JOIN commands c ON c.spoke_id = m.spoke_id AND c.session_id = s.session_id
   AND c.kind = 'stop' AND c.acked_at IS NULL
 WHERE s.session_id = ANY ($1::text[])
 GROUP BY s.session_id, p.spoke_id;

-- name: overdue_sessions
-- Sessions whose time to be placed, or to run, is over.
SELECT s.session_id, s.state FROM sessions s
 WHERE (s.state = 'queued' AND s.queue_deadline < now())
    OR (s.run_deadline < now() AND NOT session_ended(s.state) AND s.desired = 'run')
 LIMIT 100;

-- name: request_exit
-- A session asked for its own safe exit: order its spoke to end it as blocked.
SELECT order_to(m.spoke_id, m.session_id, m.attempt, 'stop', $2::jsonb) AS seq, m.spoke_id
  FROM mappings m JOIN sessions s ON s.session_id = m.session_id AND s.attempt = m.attempt
 WHERE m.session_id = $1 AND m.released_at IS NULL;

-- name: reopen_session
-- A new attempt of a session that has ended; the state after it.
SELECT reopen($1, $2) AS state;

-- name: resume_session
-- Start an ended session again: ok, live, parent_aborted or branch_taken.
SELECT resume($1, $2, $3, $4::boolean) AS verdict;

-- name: past_of_session
-- How a session was left: its last attempt, its parent, and where its work was saved last.
SELECT s.session_id, s.state, s.requires, s.sandbox, p.desired AS parent_desired,
       m.spoke_id, k.name AS spoke, k.online AS spoke_online, m.worktree,
       w.saved, w.spoke_id AS saved_on
  FROM sessions s
  LEFT JOIN sessions p ON p.session_id = s.parent_id
  LEFT JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  LEFT JOIN spokes k ON k.spoke_id = m.spoke_id
  LEFT JOIN LATERAL (
       SELECT o.saved, o.spoke_id FROM mappings o
        WHERE o.session_id = s.session_id AND o.saved ->> 'kind' = 'wip'
          AND o.saved ->> 'commit' IS NOT NULL
        ORDER BY o.attempt DESC LIMIT 1) w ON true
 WHERE s.session_id = $1;

-- name: held_somewhere
-- Sessions of which a spoke has something, or should: those that are named, and all whose last
-- attempt is live or has a worktree. away: its spoke was revoked, or not heard for that long.
SELECT s.session_id, s.state, s.attempt, m.spoke_id, m.worktree,
       coalesce(m.released_at IS NULL AND m.session_id IS NOT NULL, false) AS live,
       m.accepted_at IS NOT NULL AS accepted,
       coalesce(p.revoked_at IS NOT NULL
                OR (NOT p.online AND p.last_seen_at < now() - $2::interval), false) AS away
  FROM sessions s
  LEFT JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  LEFT JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE s.session_id = ANY ($1::text[]) OR m.worktree IS NOT NULL
    OR (m.session_id IS NOT NULL AND m.released_at IS NULL)
 ORDER BY s.session_id;

-- name: found_worktree
-- The worktree of a session is back on the spoke where it was last.
UPDATE mappings m SET worktree = $3 FROM sessions s
 WHERE m.session_id = $1 AND m.spoke_id = $2 AND m.worktree IS NULL
   AND s.session_id = m.session_id AND s.attempt = m.attempt
RETURNING m.attempt;
