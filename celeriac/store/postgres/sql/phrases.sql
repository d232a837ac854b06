-- What several statements have in common: `{name}` stands for it.

-- phrase: trials
-- A trial's row does not hold what its running attempt last reported: that would rewrite it with each report.
SELECT {trial_columns} FROM trial t {newest_attempt}

-- phrase: newest_attempt
-- Of `t`, one look by key for each trial: joined plainly, Postgres may merge a page with all attempts before it.
LEFT JOIN LATERAL (
    SELECT last_step, last_value, device_kind FROM attempt
    WHERE attempt.study_id = t.study_id AND attempt.trial = t.number AND attempt.number = t.attempts LIMIT 1
) a ON true

-- phrase: trials_with_past
-- A page of trials with their rungs, likewise by key, and for those few that ran out of memory where they did;
-- not so where a smaller micro-batch was enough: these parameters run there.
SELECT {trial_columns}, g.rungs, m.oom_device_kinds FROM trial t {newest_attempt}
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_array(rung.rung, rung.value) ORDER BY rung.rung) AS rungs FROM rung
    WHERE rung.study_id = t.study_id AND rung.trial = t.number
) g ON true
LEFT JOIN LATERAL (
    SELECT json_agg(DISTINCT {short_kind}) AS oom_device_kinds FROM attempt
    WHERE jsonb_exists(t.faults, 'out_of_memory') AND attempt.fault = 'out_of_memory'
        AND attempt.study_id = t.study_id AND attempt.trial = t.number
        AND (t.state NOT IN ('SCORED', 'PRUNED') OR coalesce(attempt.micro_batch, 1) = 1)
) m ON true

-- phrase: short_kind
-- The kind of device whose memory an attempt was short of: of a gang, that of the member that ran out.
coalesce(nullif(attempt.short_kind, ''), attempt.device_kind)

-- phrase: process
-- What the attempts of one process have in common, within a study: `rows.process_of`.
CASE a.pack WHEN '' THEN a.trial || '.' || a.number || '.' ELSE a.pack END

-- phrase: alive
-- `Device.is_alive`, of the device `d`.
d.heartbeat_at >= clock_timestamp() - {alive_beats} * make_interval(secs => d.heartbeat_s)

-- phrase: open_attempts
SELECT a.token, a.study_id, s.name AS study, a.trial AS number, a.number AS attempt, a.worker, t.faults,
    EXISTS (SELECT 1 FROM checkpoint c WHERE c.study_id = a.study_id AND c.trial = a.trial) AS has_checkpoint,
    coalesce((SELECT max(c.step) FILTER (WHERE c.attempt = a.number)
            > coalesce(max(c.step) FILTER (WHERE c.attempt < a.number), -1)
        FROM checkpoint c WHERE c.study_id = a.study_id AND c.trial = a.trial), false) AS has_progressed,
    a.leased_at, a.lease_s, a.lease_until, a.packed
FROM attempt a JOIN study s ON s.id = a.study_id JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial
WHERE a.ended_at IS NULL

-- phrase: open_attempt
token text, study_id bigint, study text, number int, attempt int, worker text, faults jsonb,
has_checkpoint boolean, has_progressed boolean, leased_at timestamptz, lease_s float8, lease_until timestamptz, packed int

-- phrase: given
token text, study_id bigint, study text, params json, spec json, code_root text, fingerprint text, slice jsonb,
due_at timestamptz, stage text, faults jsonb, source text, seed bigint, lease_until timestamptz, placed jsonb

-- phrase: end
token text, attempt_event text, trial_event text, score float8, metrics json, step bigint, fault text, detail text,
traceback text, signature text, device_s float8, peak_memory_bytes bigint, gpu_peak_bytes bigint, log_tail text, digest text,
forgives boolean, wait_s float8, holdout json, drift float8, model json, micro_batch int,
pack_most int, split_by text, short_kind text

-- phrase: noted
fault = :fault, detail = :detail, traceback = :traceback, device_s = :device_s * attempt.width,
peak_memory_bytes = :peak_memory_bytes, gpu_peak_bytes = :gpu_peak_bytes, digest = :digest, micro_batch = :micro_batch,
pack_most = :pack_most, split_by = :split_by, short_kind = :short_kind

-- phrase: sound
(:fault IS NULL OR :fault IN ({faults})) AND :device_s >= 0 AND :device_s < CAST('Infinity' AS float8)

-- phrase: keep_tail
ON CONFLICT (study_id, trial, attempt) DO UPDATE SET tail = excluded.tail

-- phrase: best
best_number = CASE WHEN {is_better} THEN t.number ELSE study.best_number END,
best_score = CASE WHEN {is_better} THEN t.score ELSE study.best_score END

-- phrase: is_better
-- The first of equals stays the best.
t.state = 'SCORED' AND (study.best_score IS NULL OR CASE study.goal
    WHEN 'maximize' THEN t.score > study.best_score ELSE t.score < study.best_score END)

-- phrase: cancels
-- From the study `s` and its trial `o`, both locked; an open attempt's device time runs until now by the database's clock.
e AS (
    UPDATE attempt SET ended_at = clock_timestamp(), outcome = {after_release}, detail = :reason,
        device_s = greatest(0, extract(epoch FROM clock_timestamp() - leased_at)) / attempt.packed * attempt.width
    FROM o WHERE attempt.study_id = o.study_id AND attempt.trial = o.number AND attempt.ended_at IS NULL
    RETURNING attempt.device_s, attempt.width
), c AS (
    UPDATE study SET cancelled = s.cancelled + 1, waiting = s.waiting - CAST(o.state = 'WAITING' AS int),
        queued = s.queued - CAST(o.state = 'QUEUED' AS int), running = s.running - CAST(o.state = 'RUNNING' AS int),
        paused = s.paused - CAST(o.state = 'PAUSED' AS int),
        device_s = study.device_s + (SELECT coalesce(sum(e.device_s), 0) FROM e),
        ran_s = study.ran_s + (SELECT coalesce(sum(e.device_s / e.width), 0) FROM e)
    FROM s, o WHERE study.id = s.id
), t AS (
    UPDATE trial SET state = {after_cancel}, detail = :reason, queued_at = NULL,
        ended_no = s.scored + s.pruned + s.failed + s.cancelled + 1, ended_at = clock_timestamp()
    FROM s, o WHERE trial.study_id = o.study_id AND trial.number = o.number RETURNING trial.*
)
SELECT {trial_columns} FROM t {newest_attempt}

-- phrase: of_its_rung
r.study_id = c.study_id AND r.bracket = c.bracket AND r.rung = c.rung

-- phrase: made_with_key
-- The half of a token before the point says nothing; only who has the key can tell the half behind it (`sanitize.new_token`).
a.token = split_part(a.token, '.', 1) || '.'
    || left(encode(sha256(convert_to(:key || split_part(a.token, '.', 1), 'UTF8')), 'hex'), 32)

-- phrase: owner
left(encode(sha256(convert_to(:key, 'UTF8')), 'hex'), 32)

-- phrase: reported
WITH e AS (
    UPDATE attempt SET last_step = greatest(last_step, :last_step),
        last_value = CASE WHEN last_step > :last_step THEN last_value ELSE :last_value END
    WHERE token = :token AND ended_at IS NULL RETURNING study_id, trial, number
), x AS (
    SELECT e.study_id, e.trial, e.number AS attempt, r.* FROM e, json_to_recordset(:reports)
        AS r(step bigint, value float8, metrics json, at timestamptz, path text, sha256 text, size_bytes bigint)
), r AS (
    INSERT INTO report (study_id, trial, attempt, step, value, metrics, at)
    SELECT study_id, trial, attempt, step, value, metrics, coalesce(at, clock_timestamp()) FROM x
    ON CONFLICT DO NOTHING
), k AS (
    INSERT INTO checkpoint (study_id, trial, attempt, step, path, sha256, size_bytes)
    SELECT study_id, trial, attempt, step, path, sha256, size_bytes FROM x WHERE path IS NOT NULL
    ON CONFLICT DO NOTHING
)

-- phrase: ready
-- For which a ticket may be sent now.
t.study_id = s.id AND t.state IN ('PAUSED', 'WAITING')
    AND (t.not_before IS NULL OR t.not_before <= clock_timestamp()) ORDER BY t.number LIMIT :most_ready

-- phrase: new_study_columns
name, spec, goal, parallel, code_root, fingerprint, schedule, slice, due_at, firing_id, stage

-- phrase: new_study
:name, CAST(:spec AS json), :goal, :parallel, :code_root, :fingerprint, :schedule, CAST(:slice AS jsonb), :due_at,
:firing_id, :stage

-- phrase: old_checkpoint
FROM checkpoint c {of_old_study}

-- phrase: of_old_study
-- Of a study that closed before then, and not a champion's. In batches by row address: a DELETE has no LIMIT.
JOIN study s ON s.id = c.study_id
WHERE c.study_id = :study AND s.ended_at < :before AND NOT EXISTS (
    SELECT 1 FROM champion ch WHERE ch.study_id = c.study_id AND ch.trial = c.trial AND ch.promoted)

-- phrase: startable
-- The study of a ticket, if it may run another trial.
s AS (
    SELECT id, name, spec, code_root, fingerprint, slice, due_at, stage, waiting, queued, running FROM study
    WHERE id = :study AND state = 'RUNNING' AND (parallel IS NULL OR running < parallel)
    FOR NO KEY UPDATE
)

-- phrase: share_held
-- What a trial that was placed so has of each of its devices. A CPU's slot has no share: it counts as a device.
coalesce(nullif(CAST(placed ->> 'share' AS float8), 0), 1)

-- phrase: leased
-- From the study `s` and its trial `o`, both locked.
t AS (
    UPDATE trial SET state = {after_lease}, attempts = trial.attempts + 1, worker = :worker, queued_at = NULL,
        started_at = coalesce(trial.started_at, clock_timestamp())
    FROM o WHERE trial.study_id = :study AND trial.number = :number
    RETURNING trial.params, trial.faults, trial.source, trial.seed, trial.placed
), a AS (
    INSERT INTO attempt (study_id, trial, number, token, worker, device, device_kind, leased_at, lease_s, lease_until, width)
    SELECT :study, :number, :attempt, :token, :worker, :device, :device_kind, clock_timestamp(), least(:lease_s, {day_s}),
        clock_timestamp() + make_interval(secs => least(:lease_s, {day_s})), {share_held}
    FROM t RETURNING token, lease_until
), c AS (
    UPDATE study SET running = s.running + 1,
        paused_s = CASE WHEN study.first_leased_at IS NULL THEN 0 ELSE study.paused_s END,
        first_leased_at = coalesce(study.first_leased_at, clock_timestamp()),
        waiting = s.waiting - CAST(o.state = 'WAITING' AS int),
        queued = s.queued - CAST(o.state = 'QUEUED' AS int)
    FROM s, o WHERE study.id = s.id
)
SELECT a.token, s.id, s.name, t.params, s.spec, s.code_root, s.fingerprint, s.slice, s.due_at, s.stage, t.faults, t.source,
    t.seed, a.lease_until, t.placed
FROM s, t, a WHERE set_config('synchronous_commit', 'off', true) = 'off'

-- phrase: held_of_device
-- Of the device of that name, by processes of trials that run, and by members of gangs that gather there. A pack holds its part once.
(
    SELECT coalesce(sum(CAST(x.placed ->> 'share' AS float8)), 0) AS share,
        coalesce(sum(CAST(x.placed ->> 'memory_bytes' AS bigint)), 0) AS memory_bytes
    FROM (
        SELECT r.placed FROM (
            SELECT DISTINCT ON (p.study_id, {process}) p.placed FROM trial p
            JOIN attempt a ON a.study_id = p.study_id AND a.trial = p.number AND a.number = p.attempts
            WHERE p.placed IS NOT NULL AND p.state = 'RUNNING' AND jsonb_exists(p.placed -> 'devices', :device)
        ) r
        UNION ALL
        SELECT p.placed FROM gang_member m JOIN trial p ON p.study_id = m.study_id AND p.number = m.trial
        WHERE m.device = :device AND {gathers_placed}
    ) AS x
)

-- phrase: gathers_placed
-- Whether the member `m` of a placed trial `p` waits for the others.
m.ended_at IS NULL AND m.rank IS NULL AND m.lease_until > clock_timestamp()
    AND p.placed IS NOT NULL AND p.state = 'QUEUED' AND p.attempts = m.attempt - 1
