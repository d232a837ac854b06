-- Packs: several trials of a study that one process runs. Each has its own attempt and its own token; the leader's ticket brought the process.

-- name: pack_choices(token text, most int) -> number int, params json, step bigint, short boolean, leads boolean
-- The leader of this token, and the oldest trials of its study that wait: what a pack may be made of.
SELECT t.number, t.params,
    coalesce((SELECT max(c.step) FROM checkpoint c WHERE c.study_id = t.study_id AND c.trial = t.number), -1),
    jsonb_exists(t.faults, 'out_of_memory'), x.leads
FROM (
    SELECT a.study_id, a.trial AS number, true AS leads FROM attempt a WHERE a.token = :token AND a.ended_at IS NULL
    UNION ALL (
        SELECT t.study_id, t.number, false FROM attempt a JOIN trial t ON t.study_id = a.study_id
        WHERE a.token = :token AND a.ended_at IS NULL AND t.state IN ({may_queue}, {may_lease})
            AND (t.placed IS NULL OR t.state <> 'QUEUED')
            AND (t.not_before IS NULL OR t.not_before <= clock_timestamp())
        ORDER BY t.number LIMIT :most
    )
) x JOIN trial t ON t.study_id = x.study_id AND t.number = x.number
ORDER BY x.leads DESC, t.number

-- name: pack_limits(token text) -> number int, params json, most int, by_memory boolean
-- What the split packs of the leader's study have left. Memory counts where the leader is: on its kind of device.
SELECT p.trial, CAST(min(CAST(t.params AS text)) AS json), min(p.pack_most), p.split_by = 'out_of_memory'
FROM attempt a JOIN attempt p ON p.study_id = a.study_id AND p.pack_most IS NOT NULL
JOIN trial t ON t.study_id = p.study_id AND t.number = p.trial
WHERE a.token = :token AND (p.split_by <> 'out_of_memory' OR p.device_kind = a.device_kind)
GROUP BY p.trial, p.split_by

-- name: lease_along(token text, numbers int[], tokens text[]) -> number int
-- Leases waiting trials to the worker that has this lease, each under its own token, as ones that were queued and leased at once; those that
-- are not there any more, and those beyond what the study may run at once, are left out. The whole pack knows how many it is, and is where
-- its leader was placed; one that was placed elsewhere, and has its ticket there, stays.
WITH l AS (
    SELECT a.study_id, a.trial, a.number, a.worker, a.device, a.device_kind, a.lease_s, a.width, t.placed
    FROM attempt a JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial
    WHERE a.token = :token AND a.ended_at IS NULL
), s AS (
    SELECT study.id, study.waiting, study.queued, study.paused, study.running, study.parallel FROM study JOIN l ON study.id = l.study_id
    WHERE study.state = 'RUNNING' FOR NO KEY UPDATE OF study
), o AS (
    SELECT trial.number, trial.state FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = ANY(:numbers) AND trial.state IN ({may_queue}, {may_lease})
        AND (trial.placed IS NULL OR trial.state <> 'QUEUED')
    ORDER BY trial.number FOR NO KEY UPDATE OF trial
    LIMIT (SELECT greatest(coalesce(s.parallel - s.running, 1000), 0) FROM s)
), t AS (
    UPDATE trial SET state = {after_lease}, attempts = trial.attempts + 1, worker = l.worker, queued_at = NULL, placed = l.placed,
        started_at = coalesce(trial.started_at, clock_timestamp())
    FROM l WHERE trial.study_id = l.study_id AND trial.number = ANY(ARRAY(SELECT number FROM o))
    RETURNING trial.number, trial.attempts
), n AS (
    SELECT CAST(count(*) AS int) AS count FROM t
), a AS (
    INSERT INTO attempt (study_id, trial, number, token, worker, device, device_kind, leased_at, lease_s, lease_until, pack, packed,
        width)
    SELECT l.study_id, t.number, t.attempts, asked.token, l.worker, l.device, l.device_kind, clock_timestamp(), l.lease_s,
        clock_timestamp() + make_interval(secs => l.lease_s), l.trial || '.' || l.number, n.count + 1, l.width
    FROM l, n, t JOIN unnest(:numbers, :tokens) AS asked(number, token) ON asked.number = t.number
    RETURNING trial
), lead AS (
    UPDATE attempt SET pack = l.trial || '.' || l.number, packed = n.count + 1
    FROM l, n WHERE attempt.token = :token AND n.count > 0
), c AS (
    UPDATE study SET running = s.running + n.count,
        queued = s.queued - (SELECT CAST(count(*) AS int) FROM o WHERE o.state = 'QUEUED'),
        waiting = s.waiting - (SELECT CAST(count(*) AS int) FROM o WHERE o.state = 'WAITING'),
        paused = s.paused - (SELECT CAST(count(*) AS int) FROM o WHERE o.state = 'PAUSED')
    FROM s, n WHERE study.id = s.id
)
SELECT a.trial FROM a ORDER BY a.trial

-- name: leased_along(tokens text[]) -> trial int, attempt int, {given}
-- What these leases were given with.
SELECT a.trial, a.number, a.token, s.id, s.name, t.params, s.spec, s.code_root, s.fingerprint, s.slice, s.due_at, s.stage, t.faults,
    t.source, t.seed, a.lease_until, t.placed
FROM attempt a JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial JOIN study s ON s.id = a.study_id
WHERE a.token = ANY(:tokens) AND a.ended_at IS NULL ORDER BY a.trial

-- name: renew_pack(tokens text[], lease_s float8) -> token text, preempt_reason text
-- As `renew`, of all leases that a pack still has.
UPDATE attempt SET lease_s = least(:lease_s, {day_s}),
    lease_until = clock_timestamp() + make_interval(secs => least(:lease_s, {day_s}))
WHERE token = ANY(:tokens) AND ended_at IS NULL RETURNING token, preempt_reason

-- name: running_packs
-- How many processes run trials of these studies.
SELECT a.study_id, CAST(count(DISTINCT {process}) AS int) AS packs
FROM attempt a WHERE a.study_id = ANY(:studies) AND a.ended_at IS NULL GROUP BY a.study_id
