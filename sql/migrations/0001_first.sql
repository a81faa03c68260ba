-- The first schema.

-- The ends come last.
CREATE TYPE session_state AS ENUM (
    'queued', 'assigned', 'starting', 'running', 'unknown', 'aborting',
    'completed', 'blocked', 'failed', 'aborted', 'lost');

CREATE TYPE session_fact AS ENUM (
    'placed', 'accepted', 'started', 'refused', 'contact_lost', 'found', 'replaced', 'given_up',
    'completed', 'blocked', 'failed', 'abort_asked', 'stopped', 'reopened', 'retried');

-- The table of protocol/session.py; what is not in it is refused by session_move_is_legal.
CREATE TABLE session_transitions (
    state session_state NOT NULL,
    fact session_fact NOT NULL,
    after session_state NOT NULL,
    PRIMARY KEY (state, fact));

INSERT INTO session_transitions (state, fact, after) VALUES
    ('queued', 'placed', 'assigned'),
    ('queued', 'abort_asked', 'aborted'),
    ('assigned', 'accepted', 'starting'),
    ('assigned', 'started', 'running'),
    ('assigned', 'refused', 'queued'),
    ('assigned', 'contact_lost', 'unknown'),
    ('assigned', 'given_up', 'lost'),
    ('assigned', 'abort_asked', 'aborting'),
    ('assigned', 'completed', 'completed'),
    ('assigned', 'blocked', 'blocked'),
    ('assigned', 'failed', 'failed'),
    ('assigned', 'retried', 'queued'),
    ('starting', 'started', 'running'),
    ('starting', 'contact_lost', 'unknown'),
    ('starting', 'given_up', 'lost'),
    ('starting', 'abort_asked', 'aborting'),
    ('starting', 'completed', 'completed'),
    ('starting', 'blocked', 'blocked'),
    ('starting', 'failed', 'failed'),
    ('starting', 'retried', 'queued'),
    ('running', 'contact_lost', 'unknown'),
    ('running', 'given_up', 'lost'),
    ('running', 'abort_asked', 'aborting'),
    ('running', 'completed', 'completed'),
    ('running', 'blocked', 'blocked'),
    ('running', 'failed', 'failed'),
    ('running', 'retried', 'queued'),
    ('unknown', 'accepted', 'starting'),
    ('unknown', 'started', 'running'),
    ('unknown', 'found', 'running'),
    ('unknown', 'replaced', 'queued'),
    ('unknown', 'given_up', 'lost'),
    ('unknown', 'abort_asked', 'aborting'),
    ('unknown', 'completed', 'completed'),
    ('unknown', 'blocked', 'blocked'),
    ('unknown', 'failed', 'failed'),
    ('unknown', 'retried', 'queued'),
    ('aborting', 'stopped', 'aborted'),
    ('aborting', 'completed', 'completed'),
    ('aborting', 'blocked', 'blocked'),
    ('aborting', 'failed', 'failed'),
    ('completed', 'reopened', 'queued'),
    ('blocked', 'reopened', 'queued'),
    ('failed', 'reopened', 'queued'),
    ('aborted', 'reopened', 'queued'),
    ('lost', 'reopened', 'queued'),
    ('lost', 'completed', 'completed'),
    ('lost', 'blocked', 'blocked'),
    ('lost', 'failed', 'failed'),
    ('lost', 'stopped', 'aborted');

CREATE FUNCTION session_ended(s session_state) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT s IN ('completed', 'blocked', 'failed', 'aborted', 'lost') $$;

-- One row: who we are. A spoke signs over it, so that what it signs for one hub opens no other.
CREATE TABLE hub_identity (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    hub_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());

-- Secrets are kept as SHA-256 only. A join or login token is used up by used_at.
CREATE TABLE tokens (
    token_id text PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('user', 'join', 'login', 'web')),
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'joining')),
    prefix text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz);

-- The hubs that share this database. A row is written by its own hub, every few seconds.
CREATE TABLE hubs (
    instance text PRIMARY KEY,              -- new at each start of a hub
    url text NOT NULL,
    version text NOT NULL,
    draining boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    left_at timestamptz);

-- Who does what only one hub needs to do: under a lease, with a term that grows at each change.
CREATE TABLE leaders (
    duty text PRIMARY KEY,
    instance text NOT NULL,
    term bigint NOT NULL DEFAULT 1,
    since timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    doubt text);                            -- why it does not call anybody out of reach just now

CREATE TABLE spokes (
    spoke_id text PRIMARY KEY,
    name text NOT NULL,
    public_key bytea NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    slots int NOT NULL CHECK (slots >= 0),
    max_slots int,                          -- what its invitation allows; null: no limit
    cordoned boolean NOT NULL DEFAULT false,
    draining boolean NOT NULL DEFAULT false,
    online boolean NOT NULL DEFAULT false,
    epoch bigint NOT NULL DEFAULT 0,        -- +1 at each accepted hello
    cmd_seq bigint NOT NULL DEFAULT 0,      -- of the last line in its outbox
    incarnation text,
    boot_id text,
    version text,
    detail jsonb NOT NULL DEFAULT '{}',
    sandboxes text[] NOT NULL DEFAULT '{off}',  -- that it can hold a session in
    hub text,                               -- the instance that holds its link
    connected_at timestamptz,
    lease_expires_at timestamptz,           -- null: its hub hears it; else when it is out of reach
    last_seen_at timestamptz,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz) WITH (fillfactor = 50);
CREATE UNIQUE INDEX spokes_name ON spokes (name) WHERE revoked_at IS NULL;

CREATE TABLE aborts (
    abort_id text PRIMARY KEY,
    session_id text NOT NULL,
    reason text NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now());

-- Whose limits sessions share: all of an agent, or those that carry the same label `account`.
CREATE TABLE accounts (
    account text PRIMARY KEY,
    limited_until timestamptz,              -- its provider takes nothing before; null: it is open
    limited_at timestamptz NOT NULL,
    said text NOT NULL,                     -- by the provider
    strikes int NOT NULL,                   -- how often in a row
    open_at timestamptz);                   -- when the limit before was over

CREATE TABLE sessions (
    session_id text PRIMARY KEY,
    root_id text NOT NULL,
    parent_id text REFERENCES sessions,
    depth smallint NOT NULL DEFAULT 0,
    on_parent_abort text NOT NULL DEFAULT 'abort-dependents'
        CHECK (on_parent_abort IN ('abort-dependents', 'continue-running')),
    owner text NOT NULL,
    idem_key text,
    params_hash bytea NOT NULL,
    task text NOT NULL,
    repo text NOT NULL,
    base text,
    branch text NOT NULL,
    agent text NOT NULL,
    spec jsonb NOT NULL,                    -- prompt, command, args, env, fallback, permissions, ...
    labels jsonb NOT NULL DEFAULT '{}',
    account text NOT NULL
        GENERATED ALWAYS AS (agent || coalesce('/' || (labels ->> 'account'), '')) STORED,
    failures jsonb NOT NULL DEFAULT '[]',   -- of its agents, and what was done about each
    fresh_from int NOT NULL DEFAULT 1,      -- conversations of attempts before are not gone on with
    wanted_spoke text,
    requires jsonb NOT NULL DEFAULT '{}',
    sandbox text NOT NULL DEFAULT 'off',    -- at least; its spoke may want a narrower one
    priority smallint NOT NULL DEFAULT 0,
    grant_depth smallint NOT NULL DEFAULT 3,
    grant_children smallint NOT NULL DEFAULT 8,
    state session_state NOT NULL DEFAULT 'queued',
    state_since timestamptz NOT NULL DEFAULT now(),
    reason text,
    desired text NOT NULL DEFAULT 'run' CHECK (desired IN ('run', 'abort')),
    activity text CHECK (activity IN ('busy', 'idle', 'waiting', 'rate_limited')),
    agent_state jsonb NOT NULL DEFAULT '{}',  -- of an agent with turns: note, until, usage, total
    attempt int NOT NULL DEFAULT 0,         -- only the current attempt may write
    last_seq bigint NOT NULL DEFAULT 0,
    birth_day date NOT NULL DEFAULT current_date,
    created_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    queue_deadline timestamptz,
    run_timeout interval,
    run_deadline timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    exit_code int,
    result jsonb,                           -- the spoke's final report
    abort_id text REFERENCES aborts,
    abort_before session_state,
    abort_confirmed boolean,
    CHECK ((finished_at IS NOT NULL) = (state >= 'completed'))) WITH (fillfactor = 70);
CREATE UNIQUE INDEX sessions_key ON sessions (owner, idem_key) WHERE idem_key IS NOT NULL;
CREATE UNIQUE INDEX sessions_branch ON sessions (repo, branch) WHERE NOT session_ended(state);
CREATE INDEX sessions_queue ON sessions (priority DESC, created_at, session_id)
    WHERE state = 'queued';
CREATE INDEX sessions_newest ON sessions (created_at DESC, session_id DESC);
CREATE INDEX sessions_live ON sessions (created_at DESC, session_id DESC)
    WHERE NOT session_ended(state);
CREATE INDEX sessions_parent ON sessions (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX sessions_queue_deadline ON sessions (queue_deadline)
    WHERE state = 'queued' AND queue_deadline IS NOT NULL;
CREATE INDEX sessions_run_deadline ON sessions (run_deadline)
    WHERE run_deadline IS NOT NULL AND NOT session_ended(state);
CREATE INDEX sessions_account ON sessions (account) WHERE state = 'queued';
CREATE INDEX sessions_unknown ON sessions (state_since) WHERE state = 'unknown';

CREATE FUNCTION session_move_is_legal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM session_transitions t
                   WHERE t.state = old.state AND t.after = new.state) THEN
        RAISE EXCEPTION 'a % session cannot become %', old.state, new.state
            USING ERRCODE = 'CO001';
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER session_moves BEFORE UPDATE OF state ON sessions
    FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state)
    EXECUTE FUNCTION session_move_is_legal();

-- Where an attempt physically lives.
CREATE TABLE mappings (
    session_id text NOT NULL REFERENCES sessions,
    attempt int NOT NULL,
    spoke_id text NOT NULL REFERENCES spokes,
    repo text NOT NULL,
    branch text NOT NULL,
    base_commit text,
    worktree text,
    agent text NOT NULL,
    agent_session_id text,
    sandbox text,                           -- that its agent runs in
    supervisor jsonb,
    saved jsonb,                            -- where its work was saved: ref, commit, pushed, ...
    credential bytea,                       -- digest of the session token
    stored bigint NOT NULL DEFAULT 0,       -- the highest record of the spool that is here
    assigned_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,                -- the start order is on the spoke's disk
    started_at timestamptz,
    released_at timestamptz,
    release_reason text,
    PRIMARY KEY (session_id, attempt)) WITH (fillfactor = 70);
CREATE UNIQUE INDEX mappings_one_live ON mappings (session_id) WHERE released_at IS NULL;
CREATE UNIQUE INDEX mappings_worktree ON mappings (spoke_id, worktree)
    WHERE released_at IS NULL AND worktree IS NOT NULL;
CREATE UNIQUE INDEX mappings_branch ON mappings (repo, branch) WHERE released_at IS NULL;
CREATE INDEX mappings_spoke ON mappings (spoke_id) WHERE released_at IS NULL;
CREATE UNIQUE INDEX mappings_credential ON mappings (credential) WHERE released_at IS NULL;

-- What the agent of each attempt used. Its cost is what the agent reckons for the conversation so
-- far, and null where it does not say: an unknown price stays unknown.
CREATE TABLE usage (
    session_id text NOT NULL REFERENCES sessions,
    attempt int NOT NULL,
    conversation text NOT NULL,             -- the agent's own session
    model text,
    tokens_in bigint NOT NULL,
    tokens_out bigint NOT NULL,
    cost_usd float8,
    PRIMARY KEY (session_id, attempt));

-- Outbox, hub -> spoke. The sequence is taken under the spoke's row lock: commit order is
-- sequence order.
CREATE TABLE commands (
    spoke_id text NOT NULL REFERENCES spokes,
    seq bigint NOT NULL,
    session_id text NOT NULL,
    attempt int NOT NULL,
    kind text NOT NULL CHECK (kind IN ('start', 'message', 'answer', 'stop', 'forget')),
    body jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    acked_at timestamptz,
    PRIMARY KEY (spoke_id, seq));
CREATE INDEX commands_pending ON commands (spoke_id, seq) WHERE acked_at IS NULL;

CREATE TABLE messages (
    message_id text PRIMARY KEY,
    session_id text NOT NULL REFERENCES sessions,
    ord bigint GENERATED ALWAYS AS IDENTITY,
    text text NOT NULL,
    mode text NOT NULL,
    sender text,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'delivered', 'consumed', 'failed')),
    reason text,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX messages_queued ON messages (session_id, ord) WHERE state = 'queued';

-- What an agent asked whether it may, by the number that it has in its session. It is open while its
-- attempt is current and nobody has decided; the supervisor of the agent does, and no one else.
CREATE TABLE questions (
    session_id text NOT NULL REFERENCES sessions,
    number bigint NOT NULL,
    attempt int NOT NULL,
    body jsonb NOT NULL,                    -- tool, what, paths, rule, until, unanswered
    asked_at timestamptz NOT NULL DEFAULT now(),
    answer text CHECK (answer IN ('allow', 'deny')),  -- on its way to the agent
    answer_by text,
    answered_at timestamptz,
    decision text CHECK (decision IN ('allow', 'deny', 'withdrawn')),  -- what came of it
    decided_by text,
    decided_at timestamptz,
    PRIMARY KEY (session_id, number));
CREATE INDEX questions_open ON questions (asked_at) WHERE decision IS NULL;

-- One gapless sequence per session, under its row lock. Partitioned by the session's birth day, so
-- that the end of retention is the drop of a partition.
CREATE TABLE session_events (
    birth_day date NOT NULL,
    session_id text NOT NULL,
    seq bigint NOT NULL,
    attempt int NOT NULL,
    record bigint,                          -- its place in the spool, for what came from a spoke
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    body jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (birth_day, session_id, seq)) PARTITION BY RANGE (birth_day);
CREATE TABLE session_events_default PARTITION OF session_events DEFAULT;

-- Calls for a spoke whose link another hub holds; gone once they are answered.
CREATE TABLE asks (
    ask_id text PRIMARY KEY,
    instance text NOT NULL,                 -- the hub that is asked
    spoke_id text NOT NULL,                 -- the spoke that is meant
    op text NOT NULL,
    params jsonb NOT NULL,
    within interval NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    taken_at timestamptz,
    answered_at timestamptz,
    answer jsonb,
    error jsonb);
CREATE INDEX asks_open ON asks (instance, asked_at) WHERE taken_at IS NULL;

-- Calls with an idempotency key, and what they were answered with; kept for seven days.
CREATE TABLE calls (
    owner text NOT NULL,                    -- whose key it is: the owner of sessions, too
    key text NOT NULL,
    op text NOT NULL,
    params_hash bytea NOT NULL,
    instance text NOT NULL,                 -- the hub that runs it, or did
    claimed_at timestamptz NOT NULL DEFAULT now(),
    answer jsonb,                           -- {result}, {error} or {withheld}; null: it runs, or its hub died
    PRIMARY KEY (owner, key));
CREATE INDEX calls_old ON calls (claimed_at);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    principal text NOT NULL,
    op text NOT NULL,
    object text,
    outcome text NOT NULL,
    peer text,
    detail jsonb NOT NULL DEFAULT '{}');

-- ---- functions: what must be one statement ----------------------------------------------------

-- Partitions for the days from yesterday to `ahead` days from now, where they are not there yet.
CREATE FUNCTION ensure_partitions(ahead int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    d date;
    made int := 0;
    name text;
BEGIN
    FOR d IN SELECT generate_series(current_date, current_date + ahead, interval '1 day')::date LOOP
        name := 'session_events_' || to_char(d, 'YYYYMMDD');
        IF to_regclass(name) IS NULL
           AND NOT EXISTS (SELECT FROM session_events_default e WHERE e.birth_day = d) THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF session_events FOR VALUES FROM (%L) TO (%L)',
                           name, d, d + 1);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Days of which every session ended this many days ago, with all that was said in them.
CREATE FUNCTION drop_partitions(days int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    d date;
    name text;
    dropped int := 0;
BEGIN
    SET LOCAL lock_timeout = '2s';  -- it waits for nobody who reads: tomorrow is another day
    FOR name, d IN
        SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'session_events'::regclass
           AND c.relname ~ '^session_events_[0-9]{8}$' ORDER BY c.relname
    LOOP
        IF d < current_date - days AND NOT EXISTS (
               SELECT FROM sessions s WHERE s.birth_day = d
                  AND (s.finished_at IS NULL OR s.finished_at > now() - days * interval '1 day'))
        THEN
            EXECUTE format('DROP TABLE %I', name);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;

-- Whether there is a spoke of this id or name that may get work, now or once it is back.
CREATE FUNCTION is_spoke(which text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM spokes p WHERE p.spoke_id = which AND p.revoked_at IS NULL)
        OR EXISTS (SELECT FROM spokes p WHERE p.name = which AND p.revoked_at IS NULL)
$$;

-- One event of the hub's own. The caller holds the session's row or takes it here.
CREATE FUNCTION note(s text, k text, b jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
    WITH u AS (
        UPDATE sessions SET last_seq = last_seq + 1 WHERE session_id = s
        RETURNING birth_day, last_seq, attempt)
    INSERT INTO session_events (birth_day, session_id, seq, attempt, kind, body)
    SELECT birth_day, s, last_seq, attempt, k, b FROM u
    RETURNING seq
$$;

-- Tell sessions a fact each: those that the table of transitions moved, each with the state after it.
-- silent: the caller has the events already.
CREATE FUNCTION tell_each(ids text[], facts session_fact[], whys text[], bodies jsonb[],
                          silent boolean DEFAULT false)
RETURNS TABLE (id text, after session_state) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY WITH told AS (
        UPDATE sessions x
           SET state = t.after, state_since = clock_timestamp(), reason = q.why,
               attempt = x.attempt + (q.f = 'placed')::int,
               last_seq = x.last_seq + (NOT silent)::int,
               activity = CASE WHEN t.after = 'unknown' THEN x.activity
                               WHEN q.f = 'found' THEN coalesce(x.activity, 'busy')
                               WHEN t.after = 'running' THEN 'busy' END,
               agent_state = CASE WHEN q.f = 'started'
                                  THEN x.agent_state - 'note' - 'until' - 'question' - 'silent'
                                  ELSE x.agent_state END,
               started_at = CASE WHEN t.after = 'running'
                                 THEN coalesce(x.started_at, clock_timestamp())
                                 ELSE x.started_at END,
               run_deadline = CASE WHEN t.after = 'running' AND x.run_deadline IS NULL
                                   THEN clock_timestamp() + x.run_timeout ELSE x.run_deadline END,
               finished_at = CASE WHEN session_ended(t.after) THEN clock_timestamp() END
          FROM (SELECT * FROM unnest(ids, facts, whys, bodies) AS u (id, f, why, b)
                 LIMIT cardinality(ids)) q,  -- planned as few: each is looked up by its key
               session_transitions t
         WHERE x.session_id = q.id AND t.state = x.state AND t.fact = q.f
        RETURNING x.birth_day, x.session_id, x.last_seq, x.attempt, x.state, q.why, q.b),
    noted AS (
        INSERT INTO session_events (birth_day, session_id, seq, attempt, kind, body)
        SELECT z.birth_day, z.session_id, z.last_seq, z.attempt, z.state::text,
               CASE WHEN z.why IS NULL THEN z.b ELSE z.b || jsonb_build_object('reason', z.why) END
          FROM told z WHERE NOT silent),
    -- What a blocked session was told is told to its next attempt; of the others there is none.
    failed AS (
        UPDATE messages m SET state = 'failed', reason = 'the session has ended'
          FROM told z WHERE m.session_id = z.session_id AND m.state = 'queued'
           AND session_ended(z.state) AND z.state <> 'blocked')
    SELECT z.session_id, z.state FROM told z;
END $$;

-- The same fact for all of them.
CREATE FUNCTION tell_all(ids text[], f session_fact, why text, b jsonb DEFAULT '{}',
                         silent boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n int[] := ARRAY[cardinality(ids)];
BEGIN
    PERFORM FROM tell_each(ids, array_fill(f, n), array_fill(why, n), array_fill(b, n), silent);
END $$;

-- The same of one: the state after it, or null where the table of transitions refuses.
CREATE FUNCTION tell(s text, f session_fact, why text, b jsonb DEFAULT '{}')
RETURNS session_state LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT t.after FROM tell_each(ARRAY[s], ARRAY[f], ARRAY[why], ARRAY[b]) t);
END $$;

-- A new attempt of a session that has ended, on the spoke that has its worktree.
CREATE FUNCTION reopen(s text, why text) RETURNS session_state LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions x
       SET result = NULL, exit_code = NULL, run_deadline = NULL, queue_deadline = NULL,
           failures = '[]',
           wanted_spoke = coalesce(
               (SELECT m.spoke_id FROM mappings m WHERE m.session_id = x.session_id
                   AND m.attempt = x.attempt AND m.worktree IS NOT NULL),
               x.wanted_spoke)
     WHERE x.session_id = s;
    RETURN tell(s, 'reopened', why);
END $$;

-- Start an ended session again, on a spoke or on any. lost: its last attempt is given up first.
-- The parent is held, as for a spawn. ok | live (its state is another by now) |
-- parent_aborted | branch_taken (by a live session).
CREATE FUNCTION resume(s text, sp text, why text, lost boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    z sessions;
    above text;
BEGIN
    SELECT p.desired INTO above FROM sessions p JOIN sessions c ON c.parent_id = p.session_id
     WHERE c.session_id = s FOR SHARE OF p;
    IF above = 'abort' THEN RETURN 'parent_aborted'; END IF;
    SELECT * INTO z FROM sessions x WHERE x.session_id = s FOR NO KEY UPDATE;
    IF lost AND z.state = 'unknown' THEN
        UPDATE mappings x SET released_at = now(), release_reason = 'given up: ' || why
         WHERE x.session_id = s AND x.attempt = z.attempt AND x.released_at IS NULL;
        PERFORM tell(s, 'given_up', why);
    ELSIF NOT session_ended(z.state) THEN
        RETURN 'live';
    END IF;
    UPDATE sessions x
       SET desired = 'run', abort_id = NULL, abort_before = NULL, abort_confirmed = NULL,
           result = NULL, exit_code = NULL, run_deadline = NULL, queue_deadline = NULL,
           failures = '[]', not_before = now(), wanted_spoke = sp
     WHERE x.session_id = s;
    PERFORM tell(s, 'reopened', why);
    RETURN 'ok';
EXCEPTION WHEN unique_violation THEN
    RETURN 'branch_taken';
END $$;

CREATE FUNCTION order_to(sp text, s text, a int, k text, b jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE sql AS $$
    WITH q AS (UPDATE spokes SET cmd_seq = cmd_seq + 1 WHERE spoke_id = sp RETURNING cmd_seq)
    INSERT INTO commands (spoke_id, seq, session_id, attempt, kind, body)
    SELECT sp, cmd_seq, s, a, k, b FROM q RETURNING seq
$$;

-- Give a queued session to a spoke: state, mapping and start order in one transaction, and after the
-- order what was said to it meanwhile. The attempt, the number of the start order, and whether it is
-- the only one; no row where either of the two is no longer as the decision saw it.
CREATE FUNCTION assign(s text, sp text, digest bytea)
RETURNS TABLE (attempt int, seq bigint, alone boolean) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mappings (session_id, attempt, spoke_id, repo, branch, agent, credential)
    SELECT s, x.attempt + 1, sp, x.repo, x.branch, x.agent, digest FROM sessions x
     WHERE x.session_id = s AND x.state = 'queued' AND x.desired = 'run' FOR NO KEY UPDATE
    ON CONFLICT DO NOTHING RETURNING mappings.attempt INTO attempt;
    IF attempt IS NULL THEN RETURN; END IF;
    UPDATE spokes x SET cmd_seq = x.cmd_seq + 1
     WHERE x.spoke_id = sp AND x.online AND NOT x.cordoned AND NOT x.draining
       AND x.revoked_at IS NULL
    RETURNING x.cmd_seq INTO seq;
    -- Counted under the lock of the spoke: another hub may have filled it since the decision.
    IF seq IS NULL OR (SELECT count(*) FROM mappings m WHERE m.spoke_id = sp
                          AND m.released_at IS NULL) > (SELECT x.slots FROM spokes x
                                                         WHERE x.spoke_id = sp) THEN
        UPDATE spokes x SET cmd_seq = x.cmd_seq - 1 WHERE x.spoke_id = sp AND seq IS NOT NULL;
        DELETE FROM mappings m WHERE m.session_id = s AND m.attempt = assign.attempt;
        RETURN;
    END IF;
    INSERT INTO commands (spoke_id, seq, session_id, attempt, kind)
    VALUES (sp, assign.seq, s, assign.attempt, 'start');
    PERFORM tell(s, 'placed', NULL, jsonb_build_object('spoke', sp));
    PERFORM order_to(sp, s, assign.attempt, 'message', jsonb_build_object(
                'messageId', q.message_id, 'text', q.text, 'mode', q.mode, 'sender', q.sender))
       FROM (SELECT * FROM messages x WHERE x.session_id = s AND x.state = 'queued'
              ORDER BY x.ord) q;
    alone := NOT FOUND;
    RETURN NEXT;
END $$;

-- Assign several: all sessions are held before the first spoke is, and spokes in the order given.
CREATE FUNCTION assign_all(ids text[], held_by text[], digests bytea[])
RETURNS TABLE (session_id text, spoke_id text, attempt int, seq bigint, alone boolean)
LANGUAGE plpgsql ROWS 1 AS $$  -- as planned with: what is joined is looked up one by one
BEGIN
    PERFORM FROM sessions x WHERE x.session_id = ANY (ids)
      ORDER BY x.depth, x.session_id FOR NO KEY UPDATE;
    RETURN QUERY SELECT i.id, i.sp, a.attempt, a.seq, a.alone
      FROM unnest(ids, held_by, digests) AS i (id, sp, digest), assign(i.id, i.sp, i.digest) a;
END $$;

-- Give a session that is stored by this statement to a spoke that was chosen before, by what was seen
-- last: the number of its start order. Null: somebody waits already, or that is no longer so; it waits
-- like everybody else then.
-- A connection says once what its spoke carries and can do: with that epoch, it is as it was seen.
-- No spawn waits for a spoke that somebody holds; so the spoke is taken before the mapping, and that
-- is in nobody's way, because with the branch free the mapping has nobody to wait for.
CREATE FUNCTION assign_new(s text, sp text, digest bytea, ep bigint)
RETURNS bigint LANGUAGE plpgsql STRICT AS $$
BEGIN
    IF EXISTS (SELECT FROM sessions x WHERE x.state = 'queued' AND x.desired = 'run'
                  AND x.not_before <= now() AND x.session_id <> s)
       OR EXISTS (SELECT FROM sessions x JOIN accounts a ON a.account = x.account
                   WHERE x.session_id = s AND a.limited_until IS NOT NULL)
       OR EXISTS (SELECT FROM sessions x
                    JOIN mappings m ON m.repo = x.repo AND m.branch = x.branch
                   WHERE x.session_id = s AND m.released_at IS NULL) THEN
        RETURN NULL;
    END IF;
    PERFORM FROM spokes p WHERE p.spoke_id = sp AND p.epoch = ep FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN RETURN NULL; END IF;
    RETURN (SELECT a.seq FROM assign(s, sp, digest) a);
END $$;

-- Order the stop of sessions where they are, or were when they were lost; spokes in one order.
CREATE FUNCTION stop_all(ids text[], b jsonb)
RETURNS TABLE (session_id text, spoke_id text, attempt int, seq bigint, body jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM spokes p
      WHERE p.spoke_id IN (SELECT m.spoke_id FROM mappings m WHERE m.session_id = ANY (ids))
      ORDER BY p.spoke_id FOR NO KEY UPDATE;
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT m.session_id AS id, m.attempt, m.spoke_id AS held,
                   row_number() OVER (PARTITION BY m.spoke_id ORDER BY m.session_id) AS nth
              FROM mappings m
              JOIN sessions x ON x.session_id = m.session_id AND x.attempt = m.attempt
             WHERE m.session_id = ANY (ids) AND (m.released_at IS NULL OR x.state = 'lost')),
        counted AS (
            UPDATE spokes p SET cmd_seq = p.cmd_seq + d.n
              FROM (SELECT e.held, count(*) AS n FROM due e GROUP BY e.held) d
             WHERE p.spoke_id = d.held
            RETURNING p.spoke_id AS held, p.cmd_seq - d.n AS before)
        INSERT INTO commands AS c (spoke_id, seq, session_id, attempt, kind, body)
        SELECT d.held, q.before + d.nth, d.id, d.attempt, 'stop', b
          FROM due d JOIN counted q ON q.held = d.held
        RETURNING c.session_id, c.spoke_id, c.attempt, c.seq, c.body;
END $$;

-- Mark a session and all below it, which are held level by level: a new snapshot for each level, so that
-- with spawn's FOR SHARE on the parent no child slips through. Children that were spawned to continue
-- are spared, with all below them. The orders come last: no spoke is locked before a session.
-- Asked again, it is the first abort, and marks what has joined since. No rows: there is no such
-- session, or it is not in the state that was seen. A row for each session, and one for each order.
CREATE FUNCTION abort_tree(root text, fresh text, who text, b jsonb, upgrade boolean,
                           only_in session_state)
RETURNS TABLE (session_id text, before session_state, spared boolean, abort_id text,
               asked_at timestamptz, spoke_id text, attempt int, seq bigint, body jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    front text[] := ARRAY[root];
    tree text[] := '{}';
    aside text[] := '{}';
    never text[] := '{}';
    live text[] := '{}';
    told text[] := '{}';
BEGIN
    SELECT coalesce(x.abort_id, fresh) INTO abort_id FROM sessions x
     WHERE x.session_id = root AND x.state = coalesce(only_in, x.state) FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    INSERT INTO aborts (abort_id, session_id, reason, asked_by)
    VALUES (abort_tree.abort_id, root, b ->> 'reason', who) ON CONFLICT DO NOTHING;
    SELECT a.asked_at INTO asked_at FROM aborts a WHERE a.abort_id = abort_tree.abort_id;
    WHILE cardinality(front) > 0 LOOP
        SELECT tree || coalesce(array_agg(x.id), '{}'),
               never || coalesce(array_agg(x.id) FILTER (WHERE x.state = 'queued'), '{}'),
               live || coalesce(array_agg(x.id) FILTER (
                   WHERE x.state NOT IN ('queued', 'aborting') AND NOT session_ended(x.state)), '{}'),
               told || coalesce(array_agg(x.id) FILTER (
                   WHERE x.state = 'lost'  -- its agent may live, on a spoke that may come back
                      OR (x.state = 'aborting' AND upgrade)), '{}')
          INTO tree, never, live, told
          FROM (SELECT y.session_id AS id, y.state FROM sessions y WHERE y.session_id = ANY (front)
                 ORDER BY y.session_id FOR NO KEY UPDATE) x;
        SELECT coalesce(array_agg(c.session_id) FILTER (WHERE NOT c.goes_on), '{}'),
               aside || coalesce(array_agg(c.session_id) FILTER (WHERE c.goes_on), '{}')
          INTO front, aside
          FROM (SELECT y.session_id, y.on_parent_abort = 'continue-running' AS goes_on
                  FROM sessions y WHERE y.parent_id = ANY (front)) c;
    END LOOP;
    RETURN QUERY
        UPDATE sessions y
           SET desired = 'abort', abort_id = coalesce(y.abort_id, abort_tree.abort_id),
               abort_before = coalesce(y.abort_before, y.state)
         WHERE y.session_id = ANY (tree)
        RETURNING y.session_id, y.state, false, abort_tree.abort_id, abort_tree.asked_at,
                  NULL::text, NULL::int, NULL::bigint, NULL::jsonb;
    IF cardinality(never) > 0 THEN
        PERFORM tell_all(never, 'abort_asked', b ->> 'reason', '{"endedBy": "never_started"}');
        UPDATE sessions y SET abort_confirmed = true,
               result = '{"outcome": "aborted", "endedBy": "never_started"}'
         WHERE y.session_id = ANY (never);
    END IF;
    PERFORM tell_all(live, 'abort_asked', b ->> 'reason');
    RETURN QUERY
        SELECT c.session_id, c.state, true, abort_tree.abort_id, abort_tree.asked_at,
               NULL::text, NULL::int, NULL::bigint, NULL::jsonb
          FROM sessions c WHERE c.session_id = ANY (aside);
    RETURN QUERY
        SELECT o.session_id, NULL::session_state, false, abort_tree.abort_id, abort_tree.asked_at,
               o.spoke_id, o.attempt, o.seq, o.body
          FROM stop_all(told || live, b || jsonb_build_object('abortId', abort_tree.abort_id)) o;
END $$;

-- Exactly-once append of at-least-once batches, and what the records say of the session.
-- verdict: ok | stale_epoch (reconnect, touch nothing) | superseded (stop that run).
-- records: a list of [at in ms since 1970, kind, body]. later: the caller applies what they say.
CREATE FUNCTION append_records(sp text, ep bigint, s text, a int, first bigint, records jsonb,
                               later boolean DEFAULT false)
RETURNS TABLE (verdict text, stored bigint, first_seq bigint, skipped int)
LANGUAGE plpgsql AS $$
DECLARE
    z record;
    r record;
    n int := jsonb_array_length(records);
    skip int;
BEGIN
    SELECT x.birth_day, x.last_seq, x.attempt, x.state, m.stored, m.released_at,
           m.released_at IS NULL OR (x.state = 'lost' AND x.result IS NULL) AS endless INTO z
      FROM sessions x JOIN mappings m ON m.session_id = x.session_id JOIN spokes p ON p.spoke_id = m.spoke_id
     WHERE x.session_id = s AND m.attempt = a AND m.spoke_id = sp AND p.epoch = ep
       FOR NO KEY UPDATE OF x, m FOR KEY SHARE OF p;
    IF NOT FOUND THEN
        PERFORM FROM spokes x WHERE x.spoke_id = sp AND x.epoch = ep FOR KEY SHARE;
        verdict := CASE WHEN FOUND THEN 'superseded' ELSE 'stale_epoch' END;
        stored := 0; RETURN NEXT; RETURN;
    END IF;
    -- A session given up for lost still believes its last attempt: late truth beats a guess.
    IF z.attempt <> a OR (z.released_at IS NOT NULL AND z.state <> 'lost' AND first + n > z.stored + 1) THEN
        verdict := 'superseded'; stored := z.stored; RETURN NEXT; RETURN;
    END IF;
    verdict := 'ok';
    stored := z.stored;
    skip := greatest(0, z.stored + 1 - first);
    IF skip >= n AND z.endless AND records -> -1 ->> 1 = 'exited' THEN
        -- A machine that died lost the last of its spool, and what says so is numbered as what we have.
        -- Of an attempt without an end, live or given up, that is not the end: it follows what we have.
        first := z.stored + 2 - n;
        skip := n - 1;
    END IF;
    IF first > z.stored + 1 OR skip >= n THEN  -- a gap: the sender rewinds; or all known
        RETURN NEXT; RETURN;
    END IF;
    first_seq := z.last_seq + 1;
    skipped := skip;
    stored := first + n - 1;
    WITH counted AS (
        UPDATE sessions x SET last_seq = z.last_seq + n - skip WHERE x.session_id = s),
    kept AS (
        UPDATE mappings x SET stored = append_records.stored
         WHERE x.session_id = s AND x.attempt = a)
    INSERT INTO session_events (birth_day, session_id, seq, attempt, record, at, kind, body)
    SELECT z.birth_day, s, z.last_seq + o - skip, a, first + o - 1,
           to_timestamp((x ->> 0)::float8 / 1000), x ->> 1, x -> 2
      FROM jsonb_array_elements(records) WITH ORDINALITY AS e (x, o) WHERE o > skip;
    IF NOT later THEN
        FOR r IN SELECT x ->> 1 AS kind, x -> 2 AS body
                   FROM jsonb_array_elements(records) WITH ORDINALITY AS e (x, o)
                  WHERE o > skip
                    AND x ->> 1 IN ('starting', 'running', 'exited', 'delivered', 'undelivered',
                                    'agent')
                  ORDER BY o
        LOOP
            IF r.kind = 'agent' THEN
                PERFORM apply_agent(s, a, r.body);
            ELSE
                PERFORM apply_records(r.kind, ARRAY[s], ARRAY[a], ARRAY[r.body]);
            END IF;
        END LOOP;
    END IF;
    RETURN NEXT;
END $$;

-- Several appends of one moment, each as above: [spoke, epoch, session, attempt, first, records, told].
-- All sessions are held before anything else is, in one order, with those above that are told of it.
-- told_to: that session, where it has not ended.
CREATE FUNCTION append_all(items jsonb)
RETURNS TABLE (verdict text, stored bigint, first_seq bigint, skipped int, told_to text)
LANGUAGE plpgsql AS $$
DECLARE
    -- Of one session the next waits for what the one before says.
    twice text[] := ARRAY(SELECT e ->> 2 FROM jsonb_array_elements(items) e
                           GROUP BY e ->> 2 HAVING count(*) > 1);
    i jsonb;
    skips int[];  -- of each; null: nothing of it is to be applied
    r record;
BEGIN
    PERFORM FROM sessions x
      WHERE x.session_id = ANY (ARRAY(
                SELECT e ->> 2 FROM jsonb_array_elements(items) e
                UNION ALL
                SELECT c.parent_id FROM sessions c WHERE c.session_id = ANY (ARRAY(
                    SELECT e ->> 2 FROM jsonb_array_elements(items) e WHERE e -> 6 <> '[]'))))
      ORDER BY x.depth, x.session_id FOR NO KEY UPDATE;
    FOR i IN SELECT e FROM jsonb_array_elements(items) WITH ORDINALITY AS t (e, o) ORDER BY o LOOP
        SELECT x.verdict, x.stored, x.first_seq, x.skipped
          INTO verdict, stored, first_seq, skipped
          FROM append_records(i ->> 0, (i ->> 1)::bigint, i ->> 2, (i ->> 3)::int,
                              (i ->> 4)::bigint, i -> 5, later => i ->> 2 <> ALL (twice)) x;
        skips := array_append(skips, CASE WHEN i ->> 2 <> ALL (twice) THEN skipped END);
        told_to := CASE WHEN skipped IS NOT NULL AND i -> 6 <> '[]' THEN
            tell_parent(i ->> 2, (i ->> 3)::int, (i ->> 4)::bigint + skipped, i -> 6) END;
        RETURN NEXT;
    END LOOP;
    -- The first of each that moves its session, the second of each, and so on: each in its order.
    FOR r IN
        SELECT q.k, array_agg(q.s) AS ids, array_agg(q.a) AS attempts, array_agg(q.b) AS bodies FROM (
            SELECT t.e ->> 2 AS s, (t.e ->> 3)::int AS a, x.e ->> 1 AS k, x.e -> 2 AS b,
                   row_number() OVER (PARTITION BY t.o ORDER BY x.o) AS nth
              FROM jsonb_array_elements(items) WITH ORDINALITY AS t (e, o),
                   jsonb_array_elements(t.e -> 5) WITH ORDINALITY AS x (e, o)
             WHERE x.o > skips[t.o]
               AND x.e ->> 1 IN ('starting', 'running', 'exited', 'delivered', 'undelivered',
                                 'agent')) q
         GROUP BY q.nth, q.k ORDER BY q.nth
    LOOP
        PERFORM apply_records(r.k, r.ids, r.attempts, r.bodies);
    END LOOP;
END $$;

-- Tell a session's parent what records of its spool say, [record, kind, body] each: of those from `new`
-- on, which are stored in this transaction. The caller holds both. The parent; null: it has none, or
-- that has ended.
CREATE FUNCTION tell_parent(s text, a int, new bigint, told jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    above text;
BEGIN
    SELECT p.session_id INTO above FROM sessions p JOIN sessions c ON c.parent_id = p.session_id
     WHERE c.session_id = s AND NOT session_ended(p.state);
    IF above IS NULL THEN RETURN NULL; END IF;
    PERFORM note(above, x ->> 1, (x -> 2) || jsonb_build_object(
                'sessionId', s, 'attempt', a, 'record', x -> 0))
       FROM jsonb_array_elements(told) AS e (x) WHERE (x ->> 0)::bigint >= new;
    RETURN above;
END $$;

-- Where the work of an attempt was saved. Of a superseded attempt too: it moves nothing, it is only
-- told. ok | stale_epoch | unknown (that spoke never had that attempt).
CREATE FUNCTION note_saved(sp text, ep bigint, s text, a int, b jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    was jsonb;
    said jsonb;
BEGIN
    PERFORM FROM sessions x WHERE x.session_id = s FOR NO KEY UPDATE;
    SELECT coalesce(x.saved, '{}') INTO was FROM mappings x
     WHERE x.session_id = s AND x.attempt = a AND x.spoke_id = sp FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN 'unknown'; END IF;
    PERFORM FROM spokes x WHERE x.spoke_id = sp AND x.epoch = ep FOR KEY SHARE;
    IF NOT FOUND THEN RETURN 'stale_epoch'; END IF;
    IF b ->> 'commit' IS NULL THEN  -- nothing new; what was saved before is still there
        said := jsonb_build_object('final', b -> 'final', 'why', b -> 'why');
    ELSE
        said := jsonb_strip_nulls(b);
    END IF;
    UPDATE mappings x SET saved = was || said || jsonb_build_object('at', clock_timestamp())
     WHERE x.session_id = s AND x.attempt = a;
    IF b ->> 'commit' IS NOT NULL AND (was || said) - 'final' - 'at' <> was - 'final' - 'at' THEN
        PERFORM note(s, 'saved', said || jsonb_build_object('attempt', a));
    ELSIF b ->> 'commit' IS NULL AND b ->> 'why' <> '' AND b -> 'why' <> coalesce(was -> 'why', '""') THEN
        PERFORM note(s, 'unsaved', jsonb_build_object('attempt', a, 'reason', b -> 'why'));
    END IF;
    RETURN 'ok';
END $$;

-- A replaceable session whose agent ended itself for want of contact waits for a spoke again. The
-- caller has released its mapping.
CREATE FUNCTION requeue(s text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    z sessions;
BEGIN
    SELECT * INTO z FROM sessions x WHERE x.session_id = s FOR NO KEY UPDATE;
    IF z.desired <> 'run' OR z.spec -> 'fence_ms' IS NULL
       OR z.state NOT IN ('assigned', 'starting', 'running', 'unknown') THEN
        RETURN false;
    END IF;
    UPDATE sessions x SET result = NULL, exit_code = NULL, run_deadline = NULL
     WHERE x.session_id = s;
    IF z.state <> 'unknown' THEN
        PERFORM tell(s, 'contact_lost', 'its spoke was out of reach');
    END IF;
    PERFORM tell(s, 'replaced', 'its agent ended itself: it may be started elsewhere');
    RETURN true;
END $$;

-- What its hub decided about the failure of an attempt: stop, or start it again, fresh, with
-- another agent, or once its account is open again. Whether it goes on. What was said to it and was
-- not heard is said to the next attempt. The caller has released its mapping.
CREATE FUNCTION follow_policy(s text, a int, d jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    z sessions;
BEGIN
    UPDATE sessions x SET failures = x.failures || jsonb_build_array(d -> 'entry')
     WHERE x.session_id = s RETURNING x.* INTO z;
    IF d ->> 'action' = 'stop' OR z.desired <> 'run'
       OR z.state NOT IN ('assigned', 'starting', 'running', 'unknown') THEN
        RETURN false;
    END IF;
    UPDATE sessions x
       SET result = NULL, exit_code = NULL, run_deadline = NULL,
           fresh_from = CASE d ->> 'action' WHEN 'wait' THEN x.fresh_from ELSE a + 1 END,
           agent = coalesce(d #>> '{fallback,agent}', x.agent),
           spec = x.spec || coalesce(d -> 'fallback', '{}') - 'agent',
           agent_state = x.agent_state - 'note' - 'until' - 'question'
               - CASE d ->> 'action' WHEN 'wait' THEN '' ELSE 'usage' END,
           wanted_spoke = coalesce(
               (SELECT m.spoke_id FROM mappings m WHERE m.session_id = s AND m.attempt = a
                   AND m.worktree IS NOT NULL), x.wanted_spoke)
     WHERE x.session_id = s;
    UPDATE messages x SET state = 'queued', reason = NULL FROM session_events e
     WHERE e.birth_day = z.birth_day AND e.session_id = s AND e.attempt = a
       AND e.kind = 'undelivered' AND x.message_id = e.body ->> 'messageId'
       AND x.session_id = s AND x.state = 'failed';
    IF d ->> 'action' = 'wait' THEN
        INSERT INTO accounts (account, limited_until, limited_at, said, strikes)
        VALUES (z.account, to_timestamp((d ->> 'until')::float8 / 1000), now(),
                d #>> '{entry,message}', (d ->> 'strikes')::int)
        ON CONFLICT (account) DO UPDATE
           SET limited_until = greatest(accounts.limited_until, excluded.limited_until),
               limited_at = excluded.limited_at, said = excluded.said, strikes = excluded.strikes;
    END IF;
    PERFORM tell(s, 'retried', d ->> 'why', jsonb_build_object('policy', d ->> 'action',
                 'failure', d -> 'entry') || jsonb_strip_nulls(jsonb_build_object(
                 'until', d -> 'until', 'account', CASE d ->> 'action' WHEN 'wait' THEN z.account END,
                 'agent', d #> '{fallback,agent}')));
    RETURN true;
END $$;

-- End the limit of an account before its time: somebody knows that it is over. Who waited for it goes
-- on, spread over a while; a limit that comes after this one does not belong to it. No row: it had none.
CREATE FUNCTION lift_limit(acct text, who text, why text, spread interval)
RETURNS TABLE (session_ids text[]) LANGUAGE plpgsql AS $$
DECLARE
    waiting text[];
BEGIN
    SELECT coalesce(array_agg(w.session_id), '{}') INTO waiting FROM (
        SELECT x.session_id FROM sessions x WHERE x.account = acct AND x.state = 'queued'
         ORDER BY x.depth, x.session_id FOR NO KEY UPDATE) w;
    UPDATE accounts x SET limited_until = NULL, open_at = NULL, strikes = 0
     WHERE x.account = acct AND x.limited_until IS NOT NULL;
    IF NOT FOUND THEN RETURN; END IF;
    UPDATE sessions x SET not_before = clock_timestamp() + random() * spread
     WHERE x.session_id = ANY (waiting) AND x.not_before <= now();
    PERFORM note(x.session_id, 'woken', jsonb_build_object(
                'account', acct, 'notBefore', x.not_before, 'by', who, 'reason', why))
       FROM sessions x WHERE x.session_id = ANY (waiting);
    session_ids := waiting;
    RETURN NEXT;
END $$;

-- A number that a spoke said, if it is one that can be.
CREATE FUNCTION said_number(b jsonb, k text) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(b -> k) = 'number'
                THEN least(greatest((b ->> k)::numeric, 0), 1e15)::float8 END
$$;

-- What these sessions used together. A conversation that several attempts took up tells its whole
-- cost each time. known_cost_usd: of those that say; cost_usd: null where one does not.
CREATE FUNCTION usage_total(ids text[])
RETURNS TABLE (tokens_in bigint, tokens_out bigint, cost_usd float8, known_cost_usd float8)
LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT sum(u.tokens_in) AS tokens_in, sum(u.tokens_out) AS tokens_out,
               max(u.cost_usd) AS cost
          FROM usage u WHERE u.session_id = ANY (ids) GROUP BY u.session_id, u.conversation)
    SELECT coalesce(sum(h.tokens_in), 0)::bigint, coalesce(sum(h.tokens_out), 0)::bigint,
           CASE WHEN bool_and(h.cost IS NOT NULL) THEN sum(h.cost) END, sum(h.cost)
      FROM held h WHERE h.tokens_in + h.tokens_out > 0 OR h.cost IS NOT NULL
$$;

-- What an attempt used so far. The session keeps the sum of all its attempts at hand.
CREATE FUNCTION note_usage(s text, a int, b jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO usage (session_id, attempt, conversation, model, tokens_in, tokens_out, cost_usd)
    SELECT s, a, coalesce(m.agent_session_id, a::text), b ->> 'model',
           coalesce(trunc(said_number(b, 'tokensIn')), 0)::bigint,
           coalesce(trunc(said_number(b, 'tokensOut')), 0)::bigint, said_number(b, 'costUsd')
      FROM mappings m WHERE m.session_id = s AND m.attempt = a
    ON CONFLICT (session_id, attempt) DO UPDATE
       SET model = excluded.model, tokens_in = excluded.tokens_in,
           tokens_out = excluded.tokens_out, cost_usd = excluded.cost_usd;
    UPDATE sessions x
       SET agent_state = x.agent_state || jsonb_build_object('usage', b - 'event', 'total',
               jsonb_strip_nulls(jsonb_build_object(
                   'tokensIn', t.tokens_in, 'tokensOut', t.tokens_out, 'costUsd', t.cost_usd,
                   'knownCostUsd', t.known_cost_usd)))
      FROM usage_total(ARRAY[s]) t WHERE x.session_id = s
$$;

-- What a spoke says of a question. What it may not say is not believed, and stops nothing.
CREATE FUNCTION apply_question(s text, a int, b jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    IF jsonb_typeof(b -> 'question') IS DISTINCT FROM 'number'
       OR (b ->> 'question') !~ '^[0-9]{1,15}$' THEN
        RETURN;
    END IF;
    n := (b ->> 'question')::bigint;
    IF b ->> 'event' = 'asked' THEN
        INSERT INTO questions (session_id, number, attempt, body)
        VALUES (s, n, a, b - 'event' - 'question') ON CONFLICT DO NOTHING;
    ELSIF b ->> 'decision' IN ('allow', 'deny', 'withdrawn') THEN
        UPDATE questions SET decision = b ->> 'decision', decided_by = b ->> 'by',
               decided_at = clock_timestamp()
         WHERE session_id = s AND number = n AND attempt = a AND decision IS NULL;
    END IF;
END $$;

-- Answer a question: ok | unknown | over (its attempt is, or its session is ending) | answered. The
-- answer is an order for the spoke that holds the attempt.
CREATE FUNCTION answer_question(s text, n bigint, said text, who text, more text)
RETURNS TABLE (verdict text, spoke_id text) LANGUAGE plpgsql AS $$
DECLARE
    z sessions;
    q questions;
    m mappings;
BEGIN
    SELECT * INTO z FROM sessions x WHERE x.session_id = s FOR NO KEY UPDATE;
    SELECT * INTO q FROM questions x WHERE x.session_id = s AND x.number = n;
    SELECT * INTO m FROM mappings x WHERE x.session_id = s AND x.attempt = q.attempt
       AND x.released_at IS NULL;
    verdict := CASE WHEN q.session_id IS NULL THEN 'unknown'
                    WHEN q.answer IS NOT NULL OR q.decision IS NOT NULL THEN 'answered'
                    WHEN m.session_id IS NULL OR q.attempt <> z.attempt OR z.desired <> 'run'
                         THEN 'over' ELSE 'ok' END;
    IF verdict = 'ok' THEN
        UPDATE questions x SET answer = said, answer_by = who, answered_at = clock_timestamp()
         WHERE x.session_id = s AND x.number = n;
        PERFORM note(s, 'answer', jsonb_build_object(
                    'question', n, 'decision', said, 'message', more, 'by', who));
        PERFORM order_to(m.spoke_id, s, q.attempt, 'answer', jsonb_build_object(
                    'question', n, 'decision', said, 'message', more, 'by', who));
        spoke_id := m.spoke_id;
    END IF;
    RETURN NEXT;
END $$;

-- What an agent with turns says of itself: whose conversation it is, what it does, what it used.
CREATE FUNCTION apply_agent(s text, a int, b jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE b ->> 'event'
    WHEN 'opened' THEN
        UPDATE mappings SET agent_session_id = b ->> 'agentSessionId'
         WHERE session_id = s AND attempt = a;
    WHEN 'activity' THEN
        UPDATE sessions SET activity = b ->> 'activity',
               agent_state = jsonb_strip_nulls((agent_state - 'note' - 'until' - 'question')
                   || jsonb_build_object('note', b -> 'note', 'until', b -> 'until',
                                         'question', b -> 'question'))
         WHERE session_id = s AND state IN ('running', 'unknown')
           AND b ->> 'activity' IN ('busy', 'idle', 'waiting', 'rate_limited');
    WHEN 'silent' THEN
        UPDATE sessions SET agent_state = agent_state || jsonb_build_object('silent',
                   jsonb_strip_nulls(jsonb_build_object(
                       'since', b -> 'since', 'doing', b -> 'doing', 'what', b -> 'what',
                       'toolSince', b -> 'toolSince', 'endsAt', b -> 'endsAt')))
         WHERE session_id = s;
    WHEN 'heard' THEN
        UPDATE sessions SET agent_state = agent_state - 'silent' WHERE session_id = s;
    WHEN 'asked', 'decided' THEN
        PERFORM apply_question(s, a, b);
    WHEN 'usage' THEN
        PERFORM note_usage(s, a, b);
    WHEN 'accepted' THEN
        UPDATE messages SET state = 'consumed'
         WHERE message_id = b ->> 'messageId' AND session_id = s AND state = 'delivered';
    ELSE
        RETURN;
    END CASE;
END $$;

-- What records of one kind say, each of another session. The caller holds sessions and mappings. The
-- LIMITs: planned as few, each is looked up by its key.
CREATE FUNCTION apply_records(k text, ids text[], attempts int[], bodies jsonb[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    CASE k
    WHEN 'starting' THEN
        UPDATE mappings x
           SET worktree = q.b ->> 'worktree', base_commit = q.b ->> 'baseCommit',
               sandbox = CASE WHEN q.b ->> 'sandbox' IN ('off', 'worktree', 'read-only')
                              THEN q.b ->> 'sandbox' END,
               supervisor = q.b -> 'supervisor', accepted_at = coalesce(x.accepted_at, now())
          FROM (SELECT * FROM unnest(ids, attempts, bodies) AS u (s, a, b)
                 LIMIT cardinality(ids)) q
         WHERE x.session_id = q.s AND x.attempt = q.a;
        PERFORM tell_all(ids, 'accepted', NULL, silent => true);
    WHEN 'running' THEN
        UPDATE mappings x SET started_at = now()
          FROM (SELECT * FROM unnest(ids, attempts) AS u (s, a)
                 LIMIT cardinality(ids)) q
         WHERE x.session_id = q.s AND x.attempt = q.a;
        PERFORM tell_all(ids, 'started', NULL, silent => true);
    WHEN 'delivered' THEN
        UPDATE messages m SET state = 'delivered', mode = coalesce(q.b ->> 'mode', m.mode)
          FROM (SELECT * FROM unnest(ids, bodies) AS u (s, b)
                 LIMIT cardinality(ids)) q
         WHERE m.message_id = q.b ->> 'messageId' AND m.session_id = q.s;
    WHEN 'undelivered' THEN
        UPDATE messages m SET state = 'failed',
               reason = coalesce(q.b ->> 'reason', 'its agent does not read its standard input')
          FROM (SELECT * FROM unnest(ids, bodies) AS u (s, b)
                 LIMIT cardinality(ids)) q
         WHERE m.message_id = q.b ->> 'messageId' AND m.session_id = q.s AND m.state = 'queued';
    WHEN 'agent' THEN
        PERFORM apply_agent(q.s, q.a, q.b) FROM unnest(ids, attempts, bodies) AS q (s, a, b);
    WHEN 'exited' THEN
        PERFORM apply_ends(ids, attempts, bodies);
    END CASE;
END $$;

-- The ends of attempts, each of another session.
CREATE FUNCTION apply_ends(ids text[], attempts int[], bodies jsonb[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    done text[] := '{}';
BEGIN
    -- Where no agent was ever let into a worktree, its spoke has taken it away again.
    UPDATE mappings x
       SET released_at = now(), release_reason = q.b ->> 'outcome',
           worktree = CASE WHEN q.b ->> 'endedBy' = 'never_started' AND NOT EXISTS (
                               SELECT FROM mappings o
                                WHERE o.session_id = x.session_id AND o.attempt < x.attempt
                                  AND (o.started_at IS NOT NULL OR o.worktree IS NOT NULL))
                           THEN NULL ELSE x.worktree END
      FROM (SELECT * FROM unnest(ids, attempts, bodies) AS u (s, a, b)
             LIMIT cardinality(ids)) q
     WHERE x.session_id = q.s AND x.attempt = q.a AND x.released_at IS NULL;
    UPDATE sessions x
       SET result = q.b, exit_code = (q.b ->> 'exitCode')::int,
           abort_confirmed = CASE WHEN x.desired = 'abort'
                                  THEN coalesce((q.b ->> 'survivors')::int, 0) = 0 END
      FROM (SELECT * FROM unnest(ids, bodies) AS u (s, b)
             LIMIT cardinality(ids)) q
     WHERE x.session_id = q.s;
    FOR r IN SELECT q.s, q.a, q.b FROM unnest(ids, attempts, bodies) AS q (s, a, b)
              WHERE q.b ->> 'reason' = 'FENCED' OR q.b ? 'policy' LOOP
        IF r.b ->> 'reason' = 'FENCED' THEN  -- alone: NULL AND calls it too
            IF requeue(r.s) THEN done := done || r.s; CONTINUE; END IF;
        END IF;
        IF r.b ? 'policy' THEN
            IF follow_policy(r.s, r.a, r.b -> 'policy') THEN done := done || r.s; END IF;
        END IF;
    END LOOP;
    done := done || ARRAY(
        SELECT t.id FROM (
            SELECT array_agg(q.s) AS ids, array_agg(q.b ->> 'reason') AS whys, array_agg(q.b) AS bodies,
                   array_agg(CASE q.b ->> 'outcome'
                             WHEN 'completed' THEN 'completed' WHEN 'blocked' THEN 'blocked'
                             WHEN 'aborted' THEN 'stopped' WHEN 'lost' THEN 'given_up'
                             ELSE 'failed' END::session_fact) AS facts
              FROM unnest(apply_ends.ids, apply_ends.bodies) AS q (s, b) WHERE q.s <> ALL (done)) d,
            tell_each(d.ids, d.facts, d.whys, d.bodies) t);
    IF cardinality(done) < cardinality(ids) THEN
        PERFORM CASE WHEN q.b ->> 'outcome' IS DISTINCT FROM 'lost'
                     THEN tell(q.s, 'failed', coalesce(q.b ->> 'reason', 'stopped by its spoke'), q.b)
                     WHEN x.desired = 'abort'  -- the order came too late for it
                     THEN tell(q.s, 'stopped', q.b ->> 'reason', q.b) END
           FROM (SELECT * FROM unnest(ids, bodies) AS u (s, b)
                  LIMIT cardinality(ids)) q JOIN sessions x ON x.session_id = q.s
          WHERE q.s <> ALL (done);
    END IF;
    -- Said before it was blocked and never heard: as if it was said now.
    PERFORM reopen(x.session_id, 'a message') FROM sessions x
      WHERE x.session_id = ANY (ids) AND x.state = 'blocked' AND x.desired = 'run'
        AND EXISTS (SELECT FROM messages m WHERE m.session_id = x.session_id AND m.state = 'queued');
END $$;
