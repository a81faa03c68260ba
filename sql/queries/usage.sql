-- name: usage_of_tree
-- What a session and all below it used.
WITH RECURSIVE tree AS (
    SELECT $1::text AS session_id
    UNION ALL
    SELECT c.session_id FROM tree t JOIN sessions c ON c.parent_id = t.session_id),
ids AS (SELECT array_agg(t.session_id) AS all_of_it, count(*)::int AS n FROM tree t)
SELECT i.n AS sessions, u.tokens_in, u.tokens_out, u.cost_usd, u.known_cost_usd
  FROM ids i, usage_total(i.all_of_it) u;
