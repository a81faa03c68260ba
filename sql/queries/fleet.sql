-- name: hub_beats
-- We are here, and were not tidied away. Whether somebody asked us to drain.
INSERT INTO hubs (instance, url, version) VALUES ($1, $2, $3)
ON CONFLICT (instance) DO UPDATE SET seen_at = now(), left_at = NULL RETURNING draining;

-- name: hub_leaves
UPDATE hubs SET left_at = now() WHERE instance = $1 RETURNING instance;

-- name: live_hubs
-- The hubs that are there, and which of them leads.
SELECT h.instance, h.url, h.version, h.draining, h.started_at, h.seen_at,
       (SELECT count(*) FROM spokes s WHERE s.hub = h.instance AND s.online)::int AS spokes, l.term
  FROM hubs h
  LEFT JOIN leaders l ON l.duty = 'house' AND l.instance = h.instance AND l.expires_at > now()
 WHERE h.left_at IS NULL AND h.seen_at > now() - $1::interval ORDER BY h.started_at, h.instance;

-- name: drain_hub
UPDATE hubs SET draining = $2 WHERE instance = $1 AND left_at IS NULL RETURNING instance;

-- name: take_lead
-- Lead, or go on leading. None: another hub does, and its time is not over.
INSERT INTO leaders (duty, instance, expires_at) VALUES ('house', $1, now() + $2::interval)
ON CONFLICT (duty) DO UPDATE
   SET term = leaders.term + (leaders.instance <> $1)::int, instance = $1,
       since = CASE WHEN leaders.instance = $1 THEN leaders.since ELSE now() END,
       doubt = CASE WHEN leaders.instance = $1 THEN leaders.doubt END,
       expires_at = now() + $2::interval
 WHERE leaders.instance = $1 OR leaders.expires_at < now()
RETURNING term;

-- name: leave_lead
UPDATE leaders SET expires_at = now() WHERE duty = 'house' AND instance = $1 RETURNING term;

-- name: say_doubt
UPDATE leaders SET doubt = $3 WHERE duty = 'house' AND instance = $1 AND term = $2 RETURNING term;

-- name: doubt_of_leader
-- Why nobody is called out of reach just now, if so.
SELECT l.doubt FROM leaders l WHERE l.duty = 'house' AND l.expires_at > now();

-- name: holder_of_spoke
-- The hub that holds a spoke's link, if that hub is there and hears it, and which daemon it is.
SELECT s.hub, s.incarnation FROM spokes s JOIN hubs h ON h.instance = s.hub
 WHERE s.spoke_id = $1 AND s.online AND s.lease_expires_at IS NULL
   AND h.left_at IS NULL AND h.seen_at > now() - $2::interval;

-- name: let_leases_run
-- Not heard for a while, or the link is lost: what is left of their time begins to run.
WITH silent AS (
    SELECT s.spoke_id, greatest(s.last_seen_at, now() - i.ago) AS seen_at
      FROM unnest($1::text[], $2::bigint[], $3::interval[]) AS i (spoke_id, epoch, ago)
      JOIN spokes s ON s.spoke_id = i.spoke_id AND s.epoch = i.epoch
     WHERE s.online AND s.lease_expires_at IS NULL
     ORDER BY s.spoke_id FOR NO KEY UPDATE OF s)
UPDATE spokes p SET lease_expires_at = silent.seen_at + $4::interval,
       last_seen_at = silent.seen_at
  FROM silent WHERE p.spoke_id = silent.spoke_id RETURNING p.spoke_id;

-- name: keep_leases
-- Heard again by the hub that holds their link. One that was called out of reach comes back with a
-- hello, and so does one that has another connection by now.
WITH heard AS (
    SELECT s.spoke_id FROM unnest($1::text[], $2::bigint[]) AS i (spoke_id, epoch)
      JOIN spokes s ON s.spoke_id = i.spoke_id AND s.epoch = i.epoch
     WHERE s.online AND s.revoked_at IS NULL
     ORDER BY s.spoke_id FOR NO KEY UPDATE OF s)
UPDATE spokes p SET lease_expires_at = NULL, last_seen_at = now()
  FROM heard WHERE p.spoke_id = heard.spoke_id RETURNING p.spoke_id;

-- name: prolong_lease
-- A sign of life beside the link: its link may be silent, and it has so much longer.
UPDATE spokes SET last_seen_at = now(),
       lease_expires_at = CASE WHEN lease_expires_at IS NULL THEN NULL
                               ELSE greatest(lease_expires_at, now() + $3::interval) END
 WHERE spoke_id = $1 AND epoch = $2 AND online AND revoked_at IS NULL RETURNING spoke_id;

-- name: held_links
-- Of the links that we hold, those that the database knows of, and whether their time runs. Where it has
-- given less orders than we have told, or has one of them to be told, it took over from a database that
-- knew more.
SELECT s.spoke_id, s.lease_expires_at IS NOT NULL AS runs
  FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS i (spoke_id, epoch, told)
  JOIN spokes s ON s.spoke_id = i.spoke_id AND s.epoch = i.epoch AND s.cmd_seq >= i.told
 WHERE s.online
   AND NOT EXISTS (SELECT FROM commands c
                    WHERE c.spoke_id = i.spoke_id AND c.acked_at IS NULL AND c.seq <= i.told);

-- name: orphan_leases
-- What a hub heard that is gone: the time runs from when that hub was last there.
WITH orphans AS (
    SELECT s.spoke_id, greatest(h.seen_at, s.connected_at, s.last_seen_at) AS seen_at
      FROM spokes s LEFT JOIN hubs h ON h.instance = s.hub
     WHERE s.online AND s.lease_expires_at IS NULL
       AND (h.instance IS NULL OR h.left_at IS NOT NULL OR h.seen_at < now() - $1::interval)
     ORDER BY s.spoke_id FOR NO KEY UPDATE OF s)
UPDATE spokes p SET last_seen_at = coalesce(orphans.seen_at, now()),
       lease_expires_at = coalesce(orphans.seen_at, now()) + $2::interval
  FROM orphans WHERE p.spoke_id = orphans.spoke_id RETURNING p.spoke_id;

-- name: expired_spokes
-- The spokes that are online, and whose time is over.
SELECT s.spoke_id, coalesce(s.lease_expires_at < now(), false) AS expired FROM spokes s
 WHERE s.online AND s.revoked_at IS NULL;

-- name: mark_offline
-- By the leader of a term; once another hub leads, it is no longer its to say.
UPDATE spokes SET online = false
 WHERE spoke_id = $1 AND online AND lease_expires_at < now()
   AND ($2::bigint IS NULL OR EXISTS (
        SELECT FROM leaders l WHERE l.duty = 'house' AND l.term = $2))
RETURNING spoke_id;

-- name: replaceable
-- Out of reach for so long that their agents have ended themselves, and some time more.
SELECT s.session_id, s.attempt FROM sessions s
  JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  JOIN spokes p ON p.spoke_id = m.spoke_id
 WHERE s.state = 'unknown' AND s.desired = 'run' AND m.released_at IS NULL AND NOT p.online
   AND p.last_seen_at < now() - (s.spec ->> 'fence_ms')::bigint * interval '1 ms' - $1::interval
 ORDER BY s.session_id LIMIT 100;

-- name: hold_offline
-- A spoke that is out of reach: its hello waits until we are done.
SELECT p.spoke_id FROM spokes p WHERE p.spoke_id = $1 AND NOT p.online FOR SHARE;

-- name: reach_of_session
-- What a session waits for, as far as its spoke and the orders for it go; by the database's clock.
SELECT now() AS now, s.not_before, greatest(m.assigned_at, p.connected_at) AS placed_at,
       m.accepted_at IS NOT NULL AS taken, p.lease_expires_at AS lease_ends,
       (s.spec ->> 'fence_ms')::bigint AS fence_ms,
       coalesce(p.labels @> '{"laptop": "true"}', false) AS laptop,
       (SELECT min(c.created_at) FROM commands c WHERE c.spoke_id = m.spoke_id
           AND c.acked_at IS NULL AND c.session_id = s.session_id AND c.kind = 'stop') AS stop_waits
  FROM sessions s
  LEFT JOIN mappings m ON m.session_id = s.session_id AND m.attempt = s.attempt
  LEFT JOIN spokes p ON p.spoke_id = m.spoke_id AND p.online
 WHERE s.session_id = $1;

-- name: place_ask
INSERT INTO asks (ask_id, instance, spoke_id, op, params, within)
VALUES ($1, $2, $3, $4, $5::jsonb, $6::interval);

-- name: take_asks
-- What this hub is asked and nobody has begun: once each.
UPDATE asks SET taken_at = now()
 WHERE ask_id IN (SELECT a.ask_id FROM asks a WHERE a.instance = $1 AND a.taken_at IS NULL
                   ORDER BY a.asked_at LIMIT 64 FOR UPDATE SKIP LOCKED)
RETURNING ask_id, spoke_id, op, params, extract(epoch FROM within)::int AS seconds;

-- name: answer_ask
UPDATE asks SET answered_at = now(), answer = $2::jsonb, error = $3::jsonb
 WHERE ask_id = $1 RETURNING ask_id;

-- name: answer_of_ask
-- None: its asker has gone.
SELECT a.answered_at IS NOT NULL AS answered, a.answer, a.error FROM asks a WHERE a.ask_id = $1;

-- name: drop_ask
DELETE FROM asks WHERE ask_id = $1;

-- name: say_to_hubs
-- Outside of every transaction that writes: a NOTIFY in one makes all others wait for it.
SELECT pg_notify('coord', i.payload)::text AS said FROM unnest($1::text[]) AS i (payload);

-- name: tidy_hubs
-- Hubs that have been gone for a day, and calls whose askers died.
WITH asked AS (DELETE FROM asks WHERE asked_at < now() - interval '1 hour'),
     acked AS (DELETE FROM commands WHERE (spoke_id, seq) IN (
         SELECT c.spoke_id, c.seq FROM commands c
          WHERE c.acked_at < now() - $1::interval LIMIT 5000) RETURNING seq),
     gone AS (DELETE FROM hubs WHERE coalesce(left_at, seen_at) < now() - interval '1 day')
SELECT count(*)::int AS n FROM acked;

-- name: drop_partitions
SELECT drop_partitions($1::int) AS dropped;
