-- Having a lease. A statement locks in the order in which it is written: study, trial, attempt.

-- name: lease(study bigint, number int, attempt int, token text, worker text, device text, device_kind text, lease_s float8) -> {given}
-- WAITING or QUEUED to RUNNING under this token, if the trial's next attempt is this one; no row when the ticket becomes no lease.
-- The counters are taken from `s`, the row as it was locked: a CHECK is tested on what an UPDATE makes of the older row that the
-- statement began with, and a trial that was queued since then would make that less than none.
-- A lease is the one commit that does not wait for the disk: should Postgres crash before it is written, nobody holds that lease,
-- its token is refused, and the trial is queued again. Whatever is written under it waits, and brings it to disk too.
-- No lease is longer than a day: nobody can take a trial away for ever.
WITH {startable}, o AS (
    SELECT trial.state FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number AND trial.attempts = :attempt - 1 AND trial.state IN ({may_lease})
        AND trial.placed IS NULL
    FOR NO KEY UPDATE OF trial
), {leased}

-- name: lock_device(device text) -> locked boolean
-- One lease at a time counts what is held of a device. It comes before `lease_placed`, in one transaction: what that reads is then newer.
SELECT true FROM device d WHERE d.uuid = :device FOR NO KEY UPDATE

-- name: lease_placed(study bigint, number int, attempt int, token text, worker text, device text, device_kind text, lease_s float8) -> {given}
-- As `lease`, of a trial that was placed on this device, if what it holds is free there. A CPU's slots are counted by the workers alone.
WITH {startable}, o AS (
    SELECT trial.state FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number AND trial.attempts = :attempt - 1 AND trial.state = 'QUEUED'
        AND trial.placed -> 'devices' ->> 0 = :device
        AND NOT EXISTS (
            SELECT 1 FROM device d, {held_of_device} AS h
            WHERE d.uuid = :device AND d.kind <> 'cpu'
                AND (h.share + CAST(trial.placed ->> 'share' AS float8) > 1.000001
                    OR h.memory_bytes + CAST(trial.placed ->> 'memory_bytes' AS bigint) > d.memory_bytes))
    FOR NO KEY UPDATE OF trial
), {leased}

-- name: leased(token text) -> {given}
-- What a lease was given with, for a worker whose connection broke after the commit and before the answer.
SELECT a.token, s.id, s.name, t.params, s.spec, s.code_root, s.fingerprint, s.slice, s.due_at, s.stage, t.faults, t.source,
    t.seed, a.lease_until, t.placed
FROM attempt a JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial JOIN study s ON s.id = a.study_id
WHERE a.token = :token AND a.ended_at IS NULL

-- name: refuse(study bigint, number int, attempt int, device text) -> name text, study_state text, running int, number int, state text, attempts int
-- Why a ticket became no lease. One that is right, but early or late for its study, or for which its device has no room any more, sends its
-- trial back to the buffer.
WITH s AS (
    SELECT study.id, study.name, study.state, study.waiting, study.queued, study.running, study.parallel FROM study
    WHERE study.id = :study FOR NO KEY UPDATE
), o AS (
    SELECT trial.number, trial.state, trial.attempts, trial.placed FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number FOR NO KEY UPDATE OF trial
), t AS (
    UPDATE trial SET state = {after_unqueue}, queued_at = NULL
    FROM s, o WHERE trial.study_id = :study AND trial.number = o.number
        AND o.state IN ({may_unqueue}) AND o.attempts = :attempt - 1 AND (s.state <> 'RUNNING' OR s.running >= s.parallel
            OR o.placed -> 'devices' ->> 0 = :device)
    RETURNING 1
), c AS (
    UPDATE study SET queued = s.queued - 1, waiting = s.waiting + 1
    FROM s, t WHERE study.id = s.id
)
SELECT s.name, s.state, s.running, o.number, o.state, o.attempts FROM s LEFT JOIN o ON true

-- name: begin(token text, fingerprint text, resumed_step bigint, log_path text) -> noted boolean
-- Notes what the attempt runs with.
UPDATE attempt SET fingerprint = :fingerprint, resumed_step = :resumed_step, log_path = :log_path
WHERE token = :token AND ended_at IS NULL RETURNING true

-- name: renew(token text, lease_s float8, log_tail text) -> preempt_reason text
-- Prolongs the lease from now on, and keeps what the attempt printed last where it is given; says why it is asked back.
WITH e AS (
    UPDATE attempt SET lease_s = least(:lease_s, {day_s}),
        lease_until = clock_timestamp() + make_interval(secs => least(:lease_s, {day_s}))
    WHERE token = :token AND ended_at IS NULL RETURNING study_id, trial, number, preempt_reason
), l AS (
    INSERT INTO attempt_log (study_id, trial, attempt, tail)
    SELECT study_id, trial, number, :log_tail FROM e WHERE :log_tail IS NOT NULL {keep_tail}
)
SELECT e.preempt_reason FROM e

-- name: attempt(token text) -> {attempt}
-- The attempt that had this token, open or ended: who lost a lease asks by whom.
SELECT {attempt_columns} FROM attempt a WHERE a.token = :token

-- name: memory_faults(token text) -> device_kind text, micro_batch int
-- Of the trial that has this lease: its attempts that ran out of memory, in order; not those before a person had it run once more.
-- The token is that of its attempt, or of a gang's member: all ranks must cut their batch alike.
SELECT {short_kind}, attempt.micro_batch FROM (
    SELECT study_id, trial FROM attempt WHERE token = :token UNION SELECT study_id, trial FROM gang_member WHERE token = :token
) a
JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial
JOIN attempt ON attempt.study_id = a.study_id AND attempt.trial = a.trial AND attempt.fault = 'out_of_memory'
    AND attempt.number > t.rerun_after
ORDER BY attempt.number

-- name: own_attempts(worker text, key text) -> {open_attempt}
-- The open attempts of a worker whose tokens were made with this key: what its own host gives back.
{open_attempts} AND a.worker = :worker AND {made_with_key} ORDER BY a.leased_at

-- name: learn_space(token text, params json, forms json, most int) -> learned boolean
-- What a running trial's objective asked for: the trial's parameters, and, where the study learns its space, what that gains.
-- A range without a grid grows to both ends, a choice by its new options; a name keeps its first kind.
WITH a AS (
    SELECT study_id, trial FROM attempt WHERE token = :token AND ended_at IS NULL
), s AS (
    SELECT id, coalesce(nullif(CAST(spec -> 'space' AS jsonb), 'null'), '{}') AS space, coalesce(CAST(spec ->> 'learn_space' AS boolean), false) AS learns
    FROM study WHERE id = (SELECT study_id FROM a) FOR NO KEY UPDATE
), t AS (
    UPDATE trial SET params = :params FROM s
    WHERE trial.study_id = s.id AND trial.number = (SELECT trial FROM a) AND trial.state = 'RUNNING' RETURNING trial.study_id
), f AS (
    SELECT key AS name, value AS form, s.space -> key AS had FROM s, jsonb_each(CAST(:forms AS jsonb))
), k AS (
    SELECT name, form, had, CASE WHEN had ? 'float' THEN 'float' ELSE 'int' END AS kind FROM f
), grown AS (
    SELECT jsonb_object_agg(name, CASE
        WHEN had IS NULL THEN form
        WHEN had ? 'choice' AND form ? 'choice' THEN jsonb_set(had, ARRAY['choice'], (had -> 'choice') || coalesce((
            SELECT jsonb_agg(o.value ORDER BY o.ordinality) FROM jsonb_array_elements(form -> 'choice') WITH ORDINALITY o
            WHERE NOT EXISTS (SELECT 1 FROM jsonb_array_elements(had -> 'choice') h WHERE h.value = o.value)), '[]'))
        WHEN had ? kind AND form ? kind AND NOT had ? 'step' AND NOT form ? 'step' AND (had ? 'log') = (form ? 'log') THEN
            jsonb_set(had, ARRAY[kind], jsonb_build_array(
                least(CAST(had #>> ARRAY[kind, '0'] AS numeric), CAST(form #>> ARRAY[kind, '0'] AS numeric)),
                greatest(CAST(had #>> ARRAY[kind, '1'] AS numeric), CAST(form #>> ARRAY[kind, '1'] AS numeric))))
        ELSE had END) AS forms FROM k
), w AS (
    UPDATE study SET spec = CAST(jsonb_set(CAST(study.spec AS jsonb), ARRAY['space'], s.space || grown.forms) AS json) FROM s, grown, t
    WHERE study.id = s.id AND s.learns AND grown.forms IS NOT NULL AND s.space || grown.forms <> s.space
        AND (SELECT count(*) FROM jsonb_object_keys(s.space || grown.forms)) <= :most
)
SELECT true AS learned FROM t
