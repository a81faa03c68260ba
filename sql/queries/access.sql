-- name: insert_token
INSERT INTO tokens (token_id, digest, kind, name, role, prefix, detail, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, now() + $8::interval) RETURNING expires_at;

-- name: token_by_digest
-- A credential, and whether its time is over by the database's clock.
SELECT t.token_id, t.kind, t.name, t.role, t.detail, t.expires_at <= now() AS expired,
       t.used_at IS NOT NULL AS used, t.revoked_at IS NOT NULL AS revoked
  FROM tokens t WHERE t.digest = $1;

-- name: use_token
-- Use a one-time token up. None: it was used, revoked or too old.
UPDATE tokens SET used_at = now()
 WHERE digest = $1 AND kind = $2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
RETURNING token_id, name, role, detail;

-- name: session_by_credential
-- The session that a session token speaks for, while that attempt is current.
SELECT m.session_id, m.attempt FROM mappings m
  JOIN sessions s ON s.session_id = m.session_id AND s.attempt = m.attempt
 WHERE m.credential = $1 AND m.released_at IS NULL;

-- name: void_credentials
-- Of the credentials that links were let in with, those that have ended since.
SELECT t.token_id AS id FROM tokens t
 WHERE t.token_id = ANY ($1::text[]) AND (t.revoked_at IS NOT NULL OR t.expires_at <= now())
UNION ALL
SELECT i.session_id FROM unnest($2::text[], $3::int[]) AS i (session_id, attempt)
 WHERE NOT EXISTS (
       SELECT FROM mappings m JOIN sessions s ON s.session_id = m.session_id
          AND s.attempt = m.attempt
        WHERE m.session_id = i.session_id AND m.attempt = i.attempt AND m.released_at IS NULL);

-- name: touch_token
UPDATE tokens SET last_used_at = now() WHERE token_id = $1 RETURNING token_id;

-- name: list_tokens
SELECT t.token_id, t.name, t.role, t.prefix, t.created_at, t.expires_at, t.last_used_at, t.revoked_at
  FROM tokens t WHERE t.kind = 'user' ORDER BY t.created_at DESC;

-- name: revoke_token
UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE token_id = $1
RETURNING token_id, name, role, prefix, created_at, expires_at, last_used_at, revoked_at;

-- name: insert_audit
INSERT INTO audit (principal, op, object, outcome, peer, detail)
VALUES ($1, $2, $3, $4, $5, $6::jsonb);

-- name: count_by_state
-- How many sessions there are in each live state, and how many spokes are online.
SELECT s.state::text AS state, count(*)::int AS n FROM sessions s
 WHERE NOT session_ended(s.state) GROUP BY s.state;
