-- How an attempt ends, and what becomes of its trial.

-- name: finish({end}, only_expired boolean) -> {trial}
-- Ends the open attempt of a token and moves its trial, as the tables of the lifecycle allow; no row when there is none.
WITH a AS (
    SELECT study_id, trial FROM attempt WHERE token = :token
), s AS (
    SELECT id, scored + pruned + failed + cancelled AS ended FROM study
    WHERE id = (SELECT study_id FROM a) FOR NO KEY UPDATE
), o AS (
    SELECT trial.study_id, trial.number FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = (SELECT trial FROM a) AND trial.state = 'RUNNING' FOR NO KEY UPDATE OF trial
), e AS (
    UPDATE attempt SET ended_at = clock_timestamp(), outcome = way.outcome, {noted}
    FROM o, (VALUES {ways}) AS way(attempt_event, trial_event, outcome, state, ends)
    WHERE attempt.token = :token AND attempt.ended_at IS NULL
        AND way.attempt_event = :attempt_event AND way.trial_event = :trial_event
        AND (NOT :only_expired OR attempt.lease_until < clock_timestamp()) AND {sound}
    RETURNING attempt.study_id, attempt.trial, attempt.number, attempt.last_step, attempt.last_value, attempt.device_kind,
        attempt.width, way.state, way.ends
), l AS (
    INSERT INTO attempt_log (study_id, trial, attempt, tail)
    SELECT study_id, trial, number, :log_tail FROM e WHERE :log_tail IS NOT NULL {keep_tail}
), t AS (
    UPDATE trial SET state = e.state, fault = :fault, detail = :detail, signature = :signature,
        faults = CASE WHEN :fault IS NULL THEN trial.faults ELSE jsonb_set(trial.faults, ARRAY[:fault],
            to_jsonb(CASE WHEN :forgives THEN 1 ELSE coalesce(CAST(trial.faults ->> :fault AS int), 0) + 1 END)) END,
        worker = CASE WHEN e.ends THEN trial.worker ELSE '' END,
        not_before = CASE WHEN :wait_s > 0 THEN clock_timestamp() + make_interval(secs => :wait_s) END,
        score = CASE WHEN e.ends THEN :score END,
        metrics = CASE WHEN e.ends THEN :metrics ELSE trial.metrics END,
        step = CASE WHEN e.ends THEN :step END,
        holdout = CASE WHEN e.ends THEN :holdout ELSE trial.holdout END,
        drift = CASE WHEN e.ends THEN :drift END,
        model = CASE WHEN e.ends THEN :model END,
        ended_no = CASE WHEN e.ends THEN s.ended + 1 END,
        ended_at = CASE WHEN e.ends THEN clock_timestamp() END
    FROM s, e WHERE trial.study_id = e.study_id AND trial.number = e.trial
    RETURNING trial.*, e.last_step, e.last_value, e.device_kind, e.width
), c AS (
    UPDATE study SET running = study.running - 1, {counted}, {best},
        device_s = study.device_s + :device_s * t.width, ran_s = study.ran_s + :device_s
    FROM t WHERE study.id = t.study_id
)
SELECT {trial_alone}, t.last_step, t.last_value, t.device_kind FROM t

-- name: adopt({end}) -> {trial}
-- Takes a score that came after its lease had lapsed, while nobody had leased the trial again: the attempt did end so, and the fault
-- that was counted for its silence is taken back. No row when somebody has.
WITH a AS (
    SELECT study_id, trial, number FROM attempt WHERE token = :token AND outcome = 'superseded'
), s AS (
    SELECT id, waiting, queued, scored + pruned + failed + cancelled AS ended FROM study
    WHERE id = (SELECT study_id FROM a) FOR NO KEY UPDATE
), o AS (
    SELECT trial.study_id, trial.number, trial.state FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = (SELECT trial FROM a) AND trial.attempts = (SELECT number FROM a)
        AND trial.state IN ({may_adopt}) FOR NO KEY UPDATE OF trial
), b AS (
    SELECT attempt.token, attempt.fault, attempt.device_s FROM attempt JOIN o ON attempt.study_id = o.study_id
    WHERE attempt.token = :token AND attempt.outcome = 'superseded' FOR NO KEY UPDATE OF attempt
), e AS (
    UPDATE attempt SET ended_at = clock_timestamp(), outcome = {adopted}, {noted}
    FROM b WHERE attempt.token = b.token AND :trial_event = 'score' AND {sound}
    RETURNING attempt.study_id, attempt.trial, attempt.number, attempt.worker, attempt.last_step, attempt.last_value,
        attempt.device_kind, attempt.width, b.fault AS was_fault, b.device_s AS was_device_s
), l AS (
    INSERT INTO attempt_log (study_id, trial, attempt, tail)
    SELECT study_id, trial, number, :log_tail FROM e WHERE :log_tail IS NOT NULL {keep_tail}
), t AS (
    UPDATE trial SET state = {after_adopt}, fault = :fault, detail = :detail, signature = :signature, queued_at = NULL,
        not_before = NULL, faults = CASE WHEN CAST(trial.faults ->> e.was_fault AS int) > 1
            THEN jsonb_set(trial.faults, ARRAY[e.was_fault], to_jsonb(CAST(trial.faults ->> e.was_fault AS int) - 1))
            ELSE trial.faults - coalesce(e.was_fault, '') END,
        worker = e.worker, score = :score, metrics = :metrics, step = :step, holdout = :holdout, drift = :drift, model = :model,
        ended_no = s.ended + 1, ended_at = clock_timestamp()
    FROM s, e WHERE trial.study_id = e.study_id AND trial.number = e.trial
    RETURNING trial.*, e.last_step, e.last_value, e.device_kind, e.width, e.was_device_s
), c AS (
    UPDATE study SET waiting = s.waiting - CAST(o.state = 'WAITING' AS int), queued = s.queued - CAST(o.state = 'QUEUED' AS int),
        scored = study.scored + 1, {best}, device_s = study.device_s + :device_s * t.width - t.was_device_s,
        ran_s = study.ran_s + :device_s - t.was_device_s / t.width
    FROM s, o, t WHERE study.id = s.id
)
SELECT {trial_alone}, t.last_step, t.last_value, t.device_kind FROM t

-- name: overtaken_models(token text) -> path text
-- Forgets the models of the ended trials of the lease's study that are not its best, where it keeps only that one's.
WITH s AS (
    SELECT study.id, study.best_number FROM attempt JOIN study ON study.id = attempt.study_id
    WHERE attempt.token = :token AND study.spec ->> 'keep_model' = 'best'
), o AS (
    SELECT trial.number, trial.model ->> 'path' AS path FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.model IS NOT NULL AND trial.ended_no IS NOT NULL AND trial.number <> s.best_number
    ORDER BY trial.number FOR NO KEY UPDATE OF trial
), t AS (
    UPDATE trial SET model = NULL FROM s, o WHERE trial.study_id = s.id AND trial.number = o.number
)
SELECT o.path FROM o

-- name: same_end(token text, digest text) -> {trial}
-- The trial of an attempt that has ended, if it ended in this very way: a repeat is answered as the first call was.
{trials} JOIN attempt e ON e.study_id = t.study_id AND e.trial = t.number WHERE e.token = :token AND e.digest = :digest

-- name: keep_late(token text, late json) -> kept boolean
-- Keeps a result that came after the attempt had ended, as evidence; the first one.
UPDATE attempt SET late = :late WHERE token = :token AND late IS NULL AND ended_at IS NOT NULL RETURNING true

-- name: cancel_ticket(study bigint, number int, attempt int, key text, reason text) -> {trial}
-- Cancels the trial that a ticket names: before anybody has leased it, or while it runs under a token made with this key.
-- It is no more than who has the ticket could do with it: lease the trial, and end it.
WITH s AS (
    SELECT id, waiting, queued, running, paused, scored, pruned, failed, cancelled FROM study
    WHERE id = :study FOR NO KEY UPDATE
), o AS (
    SELECT trial.study_id, trial.number, trial.state FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number AND (
        trial.state IN ({may_lease}) AND trial.attempts = :attempt - 1
        OR trial.state = 'RUNNING' AND trial.attempts = :attempt AND EXISTS (
            SELECT 1 FROM attempt a WHERE a.study_id = :study AND a.trial = :number AND a.number = :attempt
                AND a.ended_at IS NULL AND {made_with_key}))
    FOR NO KEY UPDATE OF trial
), {cancels}

-- name: cancelled(study bigint, number int, attempt int) -> {trial}
-- The trial, if it was cancelled at this attempt or before it: a repeat is answered as the first call was.
{trials} WHERE t.study_id = :study AND t.number = :number AND t.state = {after_cancel} AND t.attempts IN (:attempt - 1, :attempt)

-- name: cancel_trial
-- Cancels a trial of which its transaction knows that it may be.
WITH s AS (
    SELECT id, waiting, queued, running, paused, scored, pruned, failed, cancelled FROM study
    WHERE id = :study FOR NO KEY UPDATE
), o AS (
    SELECT trial.study_id, trial.number, trial.state FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number FOR NO KEY UPDATE OF trial
), {cancels}
