-- name: claim_call
-- The key is ours, and so is the call under it. None: somebody else has it. Taken over, when it is the
-- same call, from a hub that is gone, or from ourselves when we lost its end: how far it came is not known.
INSERT INTO calls AS c (owner, key, op, params_hash, instance) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (owner, key) DO UPDATE SET instance = $5, claimed_at = now()
 WHERE c.answer IS NULL AND c.op = $3 AND c.params_hash = $4
   AND (c.instance = $5
        OR NOT EXISTS (SELECT FROM hubs h WHERE h.instance = c.instance AND h.left_at IS NULL
                        AND h.seen_at > now() - $6::interval))
RETURNING c.xmax = 0 AS fresh;

-- name: call_of_key
SELECT c.op, c.params_hash, c.instance, c.answer FROM calls c WHERE c.owner = $1 AND c.key = $2;

-- name: settle_call
-- Its answer, from the hub that still has the claim.
UPDATE calls SET answer = $4::jsonb
 WHERE owner = $1 AND key = $2 AND instance = $3 AND answer IS NULL RETURNING key;

-- name: free_call
-- It came to nothing: the key may be used again.
DELETE FROM calls WHERE owner = $1 AND key = $2 AND instance = $3 AND answer IS NULL RETURNING key;

-- name: tidy_calls
WITH old AS (DELETE FROM calls WHERE claimed_at < now() - $1::interval RETURNING key)
SELECT count(*)::int AS n FROM old;
