-- name: placement_scene
-- Where work may go, full or not, and who waits for room that there is, in one look: two lists in one
-- row; and whether anybody waits at all, for room that is still to come. First come first placed within a priority. Who fits on none of those spokes, or whose account is
-- limited, holds nobody up; nor does who waits for one that has its agent, where there is one.
WITH open AS MATERIALIZED (
    SELECT p.spoke_id, p.name, p.labels, p.slots, p.sandboxes, p.epoch,
           CASE WHEN jsonb_typeof(p.detail -> 'agents') = 'array' THEN p.detail -> 'agents' END
               AS agents,
           (SELECT count(*) FROM mappings m
             WHERE m.spoke_id = p.spoke_id AND m.released_at IS NULL)::int AS live
      FROM spokes p
     WHERE p.online AND NOT p.cordoned AND NOT p.draining AND p.revoked_at IS NULL),
queue AS (
    SELECT s.session_id, s.wanted_spoke, s.requires, s.sandbox, s.agent, s.priority, s.created_at
      FROM sessions s
     WHERE s.state = 'queued' AND s.desired = 'run' AND s.not_before <= now()
       AND NOT EXISTS (SELECT FROM accounts a WHERE a.account = s.account
                          AND a.limited_until IS NOT NULL)
       AND EXISTS (
           SELECT FROM open p
            WHERE p.live < p.slots AND p.labels @> s.requires AND s.sandbox = ANY (p.sandboxes)
              AND (s.wanted_spoke IS NULL OR s.wanted_spoke IN (p.spoke_id, p.name))
              AND (coalesce(p.agents ? s.agent, true) OR NOT EXISTS (
                   SELECT FROM open q
                    WHERE coalesce(q.agents ? s.agent, true)
                      AND q.labels @> s.requires AND s.sandbox = ANY (q.sandboxes)
                      AND (s.wanted_spoke IS NULL OR s.wanted_spoke IN (q.spoke_id, q.name)))))
     ORDER BY s.priority DESC, s.created_at, s.session_id LIMIT $1)
SELECT (SELECT coalesce(jsonb_agg(jsonb_build_array(p.spoke_id, p.name, p.labels, p.slots, p.live,
                                                    p.sandboxes, p.agents, p.epoch)
                                  ORDER BY p.spoke_id), '[]') FROM open p) AS rooms,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(q.session_id, q.wanted_spoke, q.requires,
                                                    q.sandbox, q.agent)
                                  ORDER BY q.priority DESC, q.created_at, q.session_id), '[]')
          FROM queue q) AS waiting,
       EXISTS (SELECT FROM sessions s
                WHERE s.state = 'queued' AND s.desired = 'run' AND s.not_before <= now())
           AS anybody;

-- name: assign_sessions
-- Give queued sessions to spokes: a row for each that was given, which is its start order. What it is
-- made of was there before, and never changes.
SELECT a.seq, a.session_id, a.attempt, 'start'::text AS kind, '{}'::jsonb AS body, s.task, s.repo,
       s.base, s.branch, s.agent, s.spec, s.sandbox, s.parent_id,
       a.spoke_id, a.alone
  FROM assign_all($1::text[], $2::text[], $3::bytea[]) a
  JOIN sessions s ON s.session_id = a.session_id
 ORDER BY a.seq;

-- name: pending_orders
-- The outbox of a spoke after a sequence number, with all that a start needs. The start of an
-- attempt that was given up meanwhile is withdrawn.
SELECT c.seq, c.session_id, c.attempt, c.kind, c.body, s.task, s.repo, s.base, s.branch, s.agent,
       s.spec, s.sandbox, s.parent_id
  FROM commands c JOIN sessions s ON s.session_id = c.session_id
 WHERE c.spoke_id = $1 AND c.seq > $2 AND c.acked_at IS NULL
   AND (c.kind <> 'start' OR EXISTS (
        SELECT FROM mappings m WHERE m.session_id = c.session_id AND m.attempt = c.attempt
           AND m.released_at IS NULL))
 ORDER BY c.seq LIMIT $3;

-- name: spokes_with_orders
-- Which of these spokes have something in their outbox.
SELECT i.spoke_id FROM unnest($1::text[]) AS i (spoke_id)
 WHERE EXISTS (SELECT FROM commands c WHERE c.spoke_id = i.spoke_id AND c.acked_at IS NULL);

-- name: ack_orders
-- The spoke has them on its disk, by the word of its newest connection.
WITH acked AS (
    UPDATE commands SET acked_at = now()
     WHERE spoke_id = $1 AND seq <= $2 AND acked_at IS NULL
       AND ($3::bigint IS NULL OR EXISTS (
            SELECT FROM spokes p WHERE p.spoke_id = $1 AND p.epoch = $3))
    RETURNING session_id, attempt, kind)
UPDATE mappings m SET accepted_at = now() FROM acked a
 WHERE a.kind = 'start' AND m.session_id = a.session_id AND m.attempt = a.attempt
   AND m.accepted_at IS NULL
RETURNING m.session_id;

-- name: set_credential
-- A fresh session token for an attempt whose first one was only in the memory of another hub. Not
-- once its order has arrived: the agent has that token then.
UPDATE mappings m SET credential = $3
 WHERE m.session_id = $1 AND m.attempt = $2 AND m.released_at IS NULL AND m.accepted_at IS NULL
   AND EXISTS (SELECT FROM spokes p WHERE p.spoke_id = m.spoke_id AND p.epoch = $4)
RETURNING m.session_id;

-- name: refuse_start
-- The spoke would not have it, by the word of that connection; or, without one, it has not taken it so
-- far: back to the queue, another attempt, not at once.
UPDATE sessions s SET not_before = now() + interval '1 second'
 WHERE s.session_id = $1 AND s.attempt = $2 AND s.state = 'assigned'
   AND EXISTS (
        SELECT FROM mappings m JOIN spokes p ON p.spoke_id = m.spoke_id
         WHERE m.session_id = $1 AND m.attempt = $2 AND m.released_at IS NULL
           AND CASE WHEN $3::bigint IS NULL THEN m.accepted_at IS NULL ELSE p.epoch = $3 END)
RETURNING s.session_id;

-- name: earlier_attempts
-- What was before an attempt: the worktree, where its newest state is on the same spoke; where the
-- branch began; the newest saved state; the conversation to go on with. None: nothing of it ever ran.
SELECT (SELECT o.worktree FROM mappings o
         WHERE o.session_id = m.session_id AND o.attempt = e.last AND o.spoke_id = m.spoke_id)
           AS worktree,
       (SELECT o.base_commit FROM mappings o
         WHERE o.session_id = m.session_id AND o.attempt = e.last) AS base_commit,
       (SELECT o.saved ->> 'commit' FROM mappings o
         WHERE o.session_id = m.session_id AND o.attempt < m.attempt
           AND o.saved ->> 'kind' = 'wip' AND o.saved ->> 'commit' IS NOT NULL
         ORDER BY o.attempt DESC LIMIT 1) AS saved,
       (SELECT o.agent_session_id FROM mappings o
         WHERE o.session_id = m.session_id AND o.attempt < m.attempt
           AND o.agent_session_id IS NOT NULL AND o.agent = m.agent
           AND o.attempt >= (SELECT s.fresh_from FROM sessions s
                              WHERE s.session_id = m.session_id)
         ORDER BY o.attempt DESC LIMIT 1) AS agent_session_id,
       (SELECT coalesce(max(q.number), 0) FROM questions q WHERE q.session_id = m.session_id)
           AS asked
  FROM mappings m
  JOIN LATERAL (SELECT max(o.attempt) AS last FROM mappings o
                 WHERE o.session_id = m.session_id AND o.attempt < m.attempt
                   AND o.base_commit IS NOT NULL) e ON e.last IS NOT NULL
 WHERE m.session_id = $1 AND m.attempt = $2;
