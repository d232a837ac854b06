-- Gangs: several slots that run one trial. Members come, one statement begins the round, and what becomes of one is written in its row.

-- phrase: given_most
-- How many members a trial of the study `s` has at most, as `Resources` reads it.
(SELECT CAST(coalesce(x.given ->> 'max', x.given #>> '{}', '1') AS float8) FROM (SELECT CASE
    WHEN CAST(coalesce(s.spec #>> '{resources,gpus,max}', s.spec #>> '{resources,gpus}', '0') AS float8) > 0
    THEN s.spec #> '{resources,gpus}' ELSE s.spec #> '{resources,slots}' END AS given) x)

-- phrase: of_gang
-- The members `g` of the gang of `m`.
g.study_id = m.study_id AND g.trial = m.trial AND g.attempt = m.attempt

-- phrase: comes
-- A slot becomes a member of the gang of the trial `o` of the study `s`, while there are fewer than `o.most`.
m AS (
    INSERT INTO gang_member (token, study_id, trial, attempt, worker, host, device, device_kind, address, port, joined_at,
        lease_s, lease_until)
    SELECT :token, :study, o.number, :attempt, :worker, :host, :device, :device_kind, :address, :port, clock_timestamp(),
        least(:lease_s, {day_s}), clock_timestamp() + make_interval(secs => least(:lease_s, {day_s}))
    FROM s, o WHERE o.most > (SELECT count(*) FROM {came_to} AS g)
    ON CONFLICT DO NOTHING RETURNING gang_member.token
)
SELECT m.token, s.name, s.spec, o.placed FROM m, s, o

-- phrase: came_to
-- The live members of the gang.
(
    SELECT g.device FROM gang_member g
    WHERE g.study_id = :study AND g.trial = :number AND g.attempt = :attempt AND g.ended_at IS NULL
        AND g.lease_until > clock_timestamp()
)

-- phrase: may_come
-- The study of a ticket, if it may run another trial.
s AS (
    SELECT id, name, spec FROM study
    WHERE id = :study AND state = 'RUNNING' AND (parallel IS NULL OR running < parallel)
)

-- phrase: is_current
-- Whether the gang of `m` may still begin: of a placed trial `t` only where it is placed now.
t.attempts = m.attempt - 1 AND t.state IN ({may_lease})
    AND (t.placed IS NULL OR t.state = 'QUEUED' AND jsonb_exists(t.placed -> 'devices', m.device))

-- name: join_gang(study bigint, number int, attempt int, token text, worker text, host text, device text, device_kind text, address text, port int, lease_s float8) -> token text, study text, spec json, placed jsonb
-- A slot comes to the gang of a trial whose next attempt is this one; no row when the trial is elsewhere or its gang is complete.
WITH {may_come}, o AS (
    SELECT trial.number, trial.placed, {given_most} AS most FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number AND trial.attempts = :attempt - 1 AND trial.state IN ({may_lease}) AND trial.placed IS NULL
), {comes}

-- name: join_placed(study bigint, number int, attempt int, token text, worker text, host text, device text, device_kind text, address text, port int, lease_s float8) -> token text, study text, spec json, placed jsonb
-- As `join_gang`, of a trial that was placed on this device among others, if what it holds is free there: after `lock_device`, in one
-- transaction. A member that gathers holds its part.
WITH {may_come}, o AS (
    SELECT trial.number, trial.placed, jsonb_array_length(trial.placed -> 'devices') AS most
    FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number AND trial.attempts = :attempt - 1 AND trial.state = 'QUEUED'
        AND (SELECT count(*) FROM jsonb_array_elements_text(trial.placed -> 'devices') AS d (uuid) WHERE d.uuid = :device)
            > (SELECT count(*) FROM {came_to} AS g WHERE g.device = :device)
        AND NOT EXISTS (
            SELECT 1 FROM device d, {held_of_device} AS h
            WHERE d.uuid = :device AND d.kind <> 'cpu'
                AND (h.share + CAST(trial.placed ->> 'share' AS float8) > 1.000001
                    OR h.memory_bytes + CAST(trial.placed ->> 'memory_bytes' AS bigint) > d.memory_bytes))
), {comes}

-- name: joined(token text) -> token text, study text, spec json, placed jsonb
-- What a slot was told when it came, for a worker whose connection broke after the commit and before the answer.
SELECT g.token, s.name, s.spec, t.placed FROM gang_member g JOIN study s ON s.id = g.study_id
JOIN trial t ON t.study_id = g.study_id AND t.number = g.trial WHERE g.token = :token AND g.ended_at IS NULL

-- name: gang_beat(token text, lease_s float8, leaving text) -> rank int, world int, is_open boolean, waited_s float8, grow text, members json, asked_back text
-- Prolongs a membership, and rank 0's attempt with it, says whether it wants to leave, and tells of all members. No row when it has ended.
WITH m AS (
    UPDATE gang_member SET lease_s = least(:lease_s, {day_s}), leaving = CASE WHEN :leaving = '' THEN gang_member.leaving ELSE :leaving END,
        lease_until = clock_timestamp() + make_interval(secs => least(:lease_s, {day_s}))
    WHERE gang_member.token = :token AND gang_member.ended_at IS NULL
    RETURNING gang_member.token, gang_member.study_id, gang_member.trial, gang_member.attempt, gang_member.rank, gang_member.world,
        gang_member.joined_at, gang_member.leaving, gang_member.device
), a AS (
    UPDATE attempt SET lease_s = least(:lease_s, {day_s}),
        lease_until = clock_timestamp() + make_interval(secs => least(:lease_s, {day_s}))
    FROM m WHERE attempt.token = m.token AND attempt.ended_at IS NULL AND m.rank = 0 RETURNING attempt.preempt_reason
)
SELECT m.rank, coalesce(m.world, 0), CASE WHEN m.rank IS NULL
        THEN {is_current} AND s.state = 'RUNNING'
        ELSE EXISTS (SELECT 1 FROM attempt b WHERE b.study_id = m.study_id AND b.trial = m.trial AND b.number = m.attempt
            AND b.ended_at IS NULL) END,
    CAST(extract(epoch FROM clock_timestamp() - (SELECT least(min(g.joined_at), m.joined_at) FROM gang_member g
        WHERE {of_gang} AND g.ended_at IS NULL AND g.lease_until > clock_timestamp())) AS float8),
    coalesce((SELECT g.grow FROM gang_member g WHERE {of_gang} AND g.rank = 0), ''),
    (SELECT json_agg(json_build_object('rank', g.rank, 'worker', g.worker,
        'silent_s', CASE WHEN g.token = m.token THEN 0
            ELSE extract(epoch FROM clock_timestamp() - g.lease_until) + g.lease_s END,
        'lapsed', g.token <> m.token AND g.lease_until < clock_timestamp(), 'ended', g.ended_at IS NOT NULL,
        'leaving', CASE WHEN g.token = m.token THEN m.leaving ELSE g.leaving END,
        'fault', g.fault, 'detail', g.detail, 'traceback', g.traceback, 'signature', g.signature,
        'device_kind', g.device_kind) ORDER BY g.rank, g.joined_at)
        FROM gang_member g WHERE {of_gang}),
    coalesce((SELECT a.preempt_reason FROM a), '')
FROM m JOIN trial t ON t.study_id = m.study_id AND t.number = m.trial JOIN study s ON s.id = m.study_id

-- name: close_round(token text, least int, most int) -> begun boolean
-- Begins the round with those that are there: the world is fixed, ranks go by host, the trial is RUNNING, and rank 0's membership
-- is the attempt's lease; of a placed trial it gives back the devices of those that did not come. No row when there are too few, or
-- somebody else has begun it.
WITH m AS (
    SELECT study_id, trial, attempt, device FROM gang_member WHERE token = :token AND ended_at IS NULL AND rank IS NULL
), s AS (
    SELECT id, waiting, queued, running FROM study
    WHERE id = (SELECT m.study_id FROM m) AND state = 'RUNNING' AND (parallel IS NULL OR running < parallel)
    FOR NO KEY UPDATE
), o AS (
    SELECT t.state, t.placed, m.attempt FROM m JOIN s ON true JOIN trial t ON t.study_id = s.id AND t.number = m.trial
    WHERE {is_current} FOR NO KEY UPDATE OF t
), came AS (
    SELECT g.* FROM m, o, gang_member g
    WHERE {of_gang} AND g.ended_at IS NULL AND g.rank IS NULL AND g.leaving = '' AND g.lease_until > clock_timestamp()
        AND (o.placed IS NULL OR jsonb_exists(o.placed -> 'devices', g.device))
    ORDER BY g.joined_at, g.token LIMIT :most
), placed AS (
    SELECT came.*, CAST(row_number() OVER (ORDER BY came.host, came.joined_at, came.token) - 1 AS int) AS place,
        CAST(count(*) OVER () AS int) AS size FROM came
), lead AS (
    SELECT placed.* FROM placed WHERE placed.place = 0 AND placed.size >= :least
), t AS (
    UPDATE trial SET state = {after_lease}, attempts = o.attempt, worker = lead.worker, queued_at = NULL, detail = '',
        started_at = coalesce(trial.started_at, clock_timestamp()), placed = CASE WHEN o.placed IS NOT NULL THEN jsonb_set(
            o.placed, ARRAY['devices'], (SELECT jsonb_agg(placed.device ORDER BY placed.place) FROM placed)) END
    FROM o, lead WHERE trial.study_id = lead.study_id AND trial.number = lead.trial
    RETURNING trial.number
), a AS (
    INSERT INTO attempt (study_id, trial, number, token, worker, device, device_kind, leased_at, lease_s, lease_until, width)
    SELECT lead.study_id, lead.trial, lead.attempt, lead.token, lead.worker, lead.device, lead.device_kind, clock_timestamp(),
        lead.lease_s, clock_timestamp() + make_interval(secs => lead.lease_s), lead.size * {share_held}
    FROM o, t, lead RETURNING number
), r AS (
    UPDATE gang_member SET rank = placed.place, world = placed.size
    FROM a, placed WHERE gang_member.token = placed.token AND gang_member.ended_at IS NULL
), c AS (
    UPDATE study SET running = s.running + 1,
        paused_s = CASE WHEN study.first_leased_at IS NULL THEN 0 ELSE study.paused_s END,
        first_leased_at = coalesce(study.first_leased_at, clock_timestamp()),
        waiting = s.waiting - CAST(o.state = 'WAITING' AS int),
        queued = s.queued - CAST(o.state = 'QUEUED' AS int)
    FROM s, o, a WHERE study.id = s.id
)
SELECT true FROM a

-- name: gang_lease(token text) -> {given}, number int, attempt int, rank int, peers json
-- What a member of a round needs to run its part of the trial.
SELECT m.token, s.id, s.name, t.params, s.spec, s.code_root, s.fingerprint, s.slice, s.due_at, s.stage, t.faults, t.source,
    t.seed, m.lease_until, t.placed, m.trial, m.attempt, m.rank,
    (SELECT json_agg(json_build_object('rank', g.rank, 'host', g.host, 'device', CASE WHEN g.device_kind IN ('', 'cpu') THEN ''
        ELSE g.device END, 'address', g.address, 'port', g.port, 'kind', g.device_kind) ORDER BY g.rank) FROM gang_member g WHERE {of_gang} AND g.rank IS NOT NULL)
FROM gang_member m JOIN trial t ON t.study_id = m.study_id AND t.number = m.trial JOIN study s ON s.id = m.study_id
WHERE m.token = :token AND m.ended_at IS NULL AND m.rank IS NOT NULL

-- name: gang_checkpoints(token text) -> {checkpoint}
-- The checkpoints of the member's trial, newest first.
SELECT {checkpoint_columns} FROM gang_member m JOIN checkpoint c ON c.study_id = m.study_id AND c.trial = m.trial
WHERE m.token = :token AND m.ended_at IS NULL ORDER BY c.step DESC, c.attempt DESC

-- name: end_membership(token text, fault text, detail text, traceback text, signature text) -> ended boolean
-- A slot is a member no more, and says why.
UPDATE gang_member SET ended_at = clock_timestamp(), fault = :fault, detail = :detail, traceback = :traceback, signature = :signature
WHERE token = :token AND ended_at IS NULL AND (:fault IS NULL OR :fault IN ({faults})) RETURNING true

-- name: give_up_gang(token text, reason text, wait_s float8) -> given_up boolean
-- A gang that was not complete in time: its members go, and its trial is back in the buffer, with the reason, for a while.
WITH m AS (
    SELECT study_id, trial, attempt FROM gang_member WHERE token = :token AND ended_at IS NULL AND rank IS NULL
), s AS (
    SELECT id, queued, waiting FROM study WHERE id = (SELECT m.study_id FROM m) FOR NO KEY UPDATE
), o AS (
    SELECT trial.number FROM m JOIN s ON true JOIN trial ON trial.study_id = s.id AND trial.number = m.trial
    WHERE trial.attempts = m.attempt - 1 AND trial.state IN ({may_unqueue}) FOR NO KEY UPDATE OF trial
), t AS (
    UPDATE trial SET state = {after_unqueue}, queued_at = NULL, detail = :reason,
        not_before = clock_timestamp() + make_interval(secs => least(:wait_s, {day_s}))
    FROM m, o WHERE trial.study_id = m.study_id AND trial.number = o.number RETURNING trial.number
), c AS (
    UPDATE study SET queued = s.queued - 1, waiting = s.waiting + 1 FROM s, t WHERE study.id = s.id
), g AS (
    UPDATE gang_member g SET ended_at = clock_timestamp(), detail = :reason
    FROM m WHERE {of_gang} AND g.ended_at IS NULL AND g.rank IS NULL RETURNING true AS gone
)
SELECT g.gone FROM g LIMIT 1

-- name: give_back_members(worker text, key text, detail text) -> study_id bigint, study text, number int, attempt int
-- What a worker's host says of its dead worker: it is a member of nothing any more.
WITH g AS (
    UPDATE gang_member a SET ended_at = clock_timestamp(), fault = 'infrastructure', detail = :detail
    WHERE a.worker = :worker AND a.ended_at IS NULL AND {made_with_key} RETURNING a.study_id, a.trial, a.attempt
)
SELECT g.study_id, s.name, g.trial, g.attempt FROM g JOIN study s ON s.id = g.study_id

-- name: running_gangs
SELECT a.study_id, a.trial AS number, a.number AS attempt, m.world,
    CAST(extract(epoch FROM clock_timestamp() - a.leased_at) AS float8) AS age_s, m.grow <> '' AS growing
FROM gang_member m JOIN attempt a ON a.token = m.token
WHERE m.ended_at IS NULL AND m.rank = 0 AND a.ended_at IS NULL ORDER BY a.study_id, a.trial

-- name: ask_to_grow
UPDATE gang_member SET grow = :reason
WHERE study_id = :study AND trial = :number AND attempt = :attempt AND rank = 0 AND ended_at IS NULL RETURNING true

-- name: forget_members
-- Those of rounds that are over, whose own word never came.
UPDATE gang_member g SET ended_at = clock_timestamp(), detail = 'not heard of again'
WHERE g.ended_at IS NULL AND g.lease_until < clock_timestamp() - make_interval(secs => :older_than_s) AND NOT EXISTS (
    SELECT 1 FROM attempt a WHERE a.study_id = g.study_id AND a.trial = g.trial AND a.number = g.attempt AND a.ended_at IS NULL)
RETURNING true

-- name: gang_members
SELECT g.rank, g.worker, CAST(greatest(extract(epoch FROM clock_timestamp() - g.lease_until) + g.lease_s, 0) AS float8) AS silent_s,
    g.lease_until < clock_timestamp() AS lapsed, g.ended_at IS NOT NULL AS ended, g.leaving, g.fault, g.detail, g.traceback, g.signature,
    g.device_kind
FROM gang_member g WHERE g.study_id = :study AND g.trial = :number AND g.attempt = :attempt ORDER BY g.rank, g.joined_at

-- name: gang_places
-- Where the members of these trials' gangs are: of the newest attempt while it runs, and of the next one those that gather.
SELECT g.trial, g.attempt, g.rank, g.worker, g.host, CASE WHEN g.device_kind IN ('', 'cpu') THEN '' ELSE g.device END AS device,
    CAST(greatest(extract(epoch FROM clock_timestamp() - g.lease_until) + g.lease_s, 0) AS float8) AS silent_s
FROM gang_member g JOIN trial t ON t.study_id = g.study_id AND t.number = g.trial
WHERE g.study_id = :study AND g.trial = ANY(CAST(:numbers AS int[])) AND (
    g.rank IS NOT NULL AND g.attempt = t.attempts AND t.state = 'RUNNING'
    OR g.rank IS NULL AND g.attempt = t.attempts + 1 AND g.ended_at IS NULL AND g.lease_until > clock_timestamp())
ORDER BY g.trial, g.rank, g.joined_at
