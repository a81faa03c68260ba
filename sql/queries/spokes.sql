-- name: hub_id
-- Who we are; made at the first start.
INSERT INTO hub_identity (hub_id) VALUES ($1)
ON CONFLICT (one) DO UPDATE SET one = true RETURNING hub_id;

-- name: enroll_spoke
-- A new spoke. None: its name is taken.
INSERT INTO spokes (spoke_id, name, public_key, labels, slots, max_slots)
VALUES ($1, $2, $3, $4::jsonb, least($5::int, $6::int), $6)
ON CONFLICT DO NOTHING RETURNING spoke_id;

-- name: spoke_key
-- What a spoke's signature is checked with.
SELECT s.spoke_id, s.name, s.public_key, s.revoked_at FROM spokes s WHERE s.spoke_id = $1;

-- name: accept_hello
-- A new connection of a spoke: the epoch fences what the connection before may still send. Orders
-- are numbered after the last one on its disk: it would take a smaller number for one seen before.
UPDATE spokes SET epoch = epoch + 1, cmd_seq = greatest(cmd_seq, $9::bigint), online = true,
       incarnation = $2, boot_id = $3, version = $4, slots = least($5::int, max_slots),
       labels = labels || $6::jsonb, detail = $7::jsonb, last_seen_at = now(),
       connected_at = now(), hub = $10::text, sandboxes = $11::text[],
       -- With a hub that holds its link, the time does not run while that hub hears it.
       lease_expires_at = CASE WHEN $10::text IS NULL THEN now() + $8::interval END
 WHERE spoke_id = $1 AND revoked_at IS NULL
RETURNING epoch, cmd_seq, boot_id, EXISTS (
    SELECT FROM commands c WHERE c.spoke_id = $1 AND c.acked_at IS NULL AND c.seq <= $9) AS overlaps;

-- name: boot_of_spoke
-- The boot that a spoke was last seen in.
SELECT s.boot_id, s.incarnation FROM spokes s WHERE s.spoke_id = $1 FOR UPDATE;

-- name: renumber_orders
-- A spoke has seen the numbers of orders that wait. Its answer was lost; or the database was put back to
-- an earlier state, gave these numbers a second time, and they are not what it has seen. Which of the
-- two, only a start shows, by its attempt being there. All others are told with new numbers, in their
-- order: who was told already takes a message, an answer and a stop once.
WITH unseen AS (
    SELECT c.seq, row_number() OVER (ORDER BY c.seq) AS nth FROM commands c
     WHERE c.spoke_id = $1 AND c.acked_at IS NULL
       AND NOT (c.kind = 'start' AND c.seq <= $2 AND EXISTS (
            SELECT FROM unnest($3::text[], $4::int[]) AS i (session_id, attempt)
             WHERE i.session_id = c.session_id AND i.attempt = c.attempt))),
moved AS (
    UPDATE commands c SET seq = p.cmd_seq + u.nth FROM unseen u, spokes p
     WHERE c.spoke_id = $1 AND c.seq = u.seq AND p.spoke_id = $1
       AND (SELECT min(f.seq) FROM unseen f) <= $2
    RETURNING c.seq)
UPDATE spokes SET cmd_seq = greatest(cmd_seq, (SELECT max(m.seq) FROM moved m)) WHERE spoke_id = $1
RETURNING cmd_seq;

-- name: held_by_spoke
-- What the database believes that a spoke holds, and the attempts that it once held.
SELECT m.session_id, m.attempt, s.attempt AS current_attempt, s.state, s.desired, m.stored,
       m.released_at IS NULL AS live, m.accepted_at IS NOT NULL AS accepted,
       m.released_at IS NOT NULL
           AND m.release_reason NOT IN ('completed', 'blocked', 'failed', 'aborted') AS given_up
  FROM mappings m JOIN sessions s ON s.session_id = m.session_id
 WHERE m.spoke_id = $1 AND (m.released_at IS NULL OR m.session_id = ANY ($2::text[]))
 ORDER BY m.session_id, m.attempt;

-- name: known_sessions
-- Which of these sessions exist.
SELECT s.session_id, s.attempt AS current_attempt, s.state, s.desired FROM sessions s
 WHERE s.session_id = ANY ($1::text[]) ORDER BY s.session_id;

-- name: release_mapping
UPDATE mappings SET released_at = now(), release_reason = $3
 WHERE session_id = $1 AND attempt = $2 AND released_at IS NULL RETURNING spoke_id;

-- name: sessions_out_of_reach
-- What spokes without a lease hold, and is not known to be out of reach yet.
SELECT m.session_id FROM mappings m JOIN sessions s ON s.session_id = m.session_id
  JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE m.released_at IS NULL AND NOT p.online AND p.revoked_at IS NULL
   AND s.state IN ('assigned', 'starting', 'running') ORDER BY m.session_id LIMIT 500;

-- name: hold_away
-- The spoke of a session, while it is out of reach: a hello of it waits until we are done.
SELECT p.spoke_id FROM mappings m JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE m.session_id = $1 AND m.released_at IS NULL AND NOT p.online FOR SHARE OF p;

-- name: left_on_revoked
-- What a hub that died while it revoked a spoke did not give up any more.
SELECT m.session_id, m.attempt FROM mappings m JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE m.released_at IS NULL AND p.revoked_at IS NOT NULL ORDER BY m.session_id LIMIT 100;

-- name: confirm_abort
-- Whether the end of a session that was to be aborted was seen, where no spoke will say.
UPDATE sessions SET abort_confirmed = $2 WHERE session_id = $1 AND desired = 'abort'
RETURNING session_id;

-- name: long_unknown
-- Sessions that have been out of reach for longer than they may; a laptop may sleep. Where the spoke is
-- back and has not begun again, the time counts from its return.
SELECT s.session_id, s.attempt FROM sessions s
  LEFT JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  LEFT JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE s.state = 'unknown'
   AND greatest(s.state_since, CASE WHEN p.online THEN p.connected_at END)
       < now() - CASE WHEN p.labels @> '{"laptop": "true"}' THEN $2::interval
                      ELSE $1::interval END
 ORDER BY s.session_id LIMIT 100;

-- name: found_session
-- Its spoke is back and its agent runs: said by that connection, of the current attempt.
SELECT tell(s.session_id, 'found', 'its spoke is back') AS state
  FROM sessions s JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE s.session_id = $1 AND s.attempt = $2 AND m.released_at IS NULL
   AND p.spoke_id = $3 AND p.epoch = $4;

-- name: hold_connection
-- A connection of a spoke, while it is the newest: the next hello waits until we are done.
SELECT p.spoke_id FROM spokes p WHERE p.spoke_id = $1 AND p.epoch = $2 FOR SHARE;

-- name: silent_starts
-- Start orders that a connected spoke has not taken in time.
SELECT m.session_id, m.attempt, m.spoke_id FROM mappings m
  JOIN sessions s ON s.session_id = m.session_id AND s.attempt = m.attempt
  JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE m.released_at IS NULL AND m.accepted_at IS NULL AND s.state = 'assigned' AND p.online
   AND p.lease_expires_at IS NULL
   AND greatest(m.assigned_at, p.connected_at) < now() - $1::interval ORDER BY m.session_id LIMIT 100;

-- name: spoke_views
-- Spokes as they are shown.
SELECT p.spoke_id, p.name, p.online, p.cordoned, p.draining, p.labels, p.slots, p.version,
       CASE WHEN p.online AND p.lease_expires_at IS NULL
            THEN (SELECT h.seen_at FROM hubs h WHERE h.instance = p.hub)
            ELSE p.last_seen_at END AS last_seen_at, p.detail, p.sandboxes, p.revoked_at, p.epoch,
       (SELECT count(*) FROM mappings m WHERE m.spoke_id = p.spoke_id AND m.released_at IS NULL)::int
           AS live
  FROM spokes p
 WHERE ($1::text IS NULL OR p.spoke_id = $1 OR p.name = $1)
   AND (p.revoked_at IS NULL OR $1 IS NOT NULL)
 ORDER BY p.name;

-- name: set_cordoned
UPDATE spokes SET cordoned = $2, draining = $3 WHERE spoke_id = $1 RETURNING spoke_id;

-- name: revoke_spoke
UPDATE spokes SET revoked_at = coalesce(revoked_at, now()), online = false, epoch = epoch + 1
 WHERE spoke_id = $1 RETURNING spoke_id;

-- name: live_on_spoke
SELECT m.session_id, m.attempt, s.state FROM mappings m
  JOIN sessions s ON s.session_id = m.session_id
 WHERE m.spoke_id = $1 AND m.released_at IS NULL ORDER BY m.session_id;

-- name: drop_branch_hold
-- Nothing holds it any more: the worktree of this attempt and those before it is gone. One that began
-- meanwhile has its own, at the same place.
UPDATE mappings SET worktree = NULL WHERE session_id = $1 AND attempt <= $2 RETURNING attempt;
