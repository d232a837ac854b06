-- Placed trials, and devices that are taken out.

-- name: placed_trials
-- Of a pack that runs one trial: it holds its part once.
SELECT x.* FROM (
    SELECT DISTINCT ON (t.study_id, CASE t.state WHEN 'RUNNING' THEN {process} ELSE 'ticket ' || t.number END)
        t.study_id, t.number, t.attempts, t.state = 'RUNNING' AS is_running,
        CAST(coalesce(extract(epoch FROM clock_timestamp() - t.queued_at), 0) AS float8) AS queued_s, t.placed
    FROM trial t LEFT JOIN attempt a ON a.study_id = t.study_id AND a.trial = t.number AND a.number = t.attempts
    WHERE t.placed IS NOT NULL AND t.state IN ('QUEUED', 'RUNNING')
    ORDER BY t.study_id, CASE t.state WHEN 'RUNNING' THEN {process} ELSE 'ticket ' || t.number END, t.number
) x ORDER BY x.study_id, x.number

-- name: open_by_device
-- Of a gang each member counts where it is; rank 0's membership has the attempt's token. One that gathers where it was placed counts by
-- its place. A pack is one.
SELECT x.device, CAST(count(*) AS int) AS attempts FROM (
    SELECT DISTINCT ON (a.study_id, {process}) a.device FROM attempt a
    WHERE a.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM gang_member g WHERE g.token = a.token)
    UNION ALL SELECT m.device FROM gang_member m JOIN trial p ON p.study_id = m.study_id AND p.number = m.trial
    WHERE m.ended_at IS NULL AND m.lease_until > clock_timestamp() AND NOT ({gathers_placed})
) x GROUP BY x.device

-- name: peak_memory
-- By key: only the newest trials of a study are looked at, however long it is.
SELECT s.id AS study_id, max(a.gpu_peak_bytes) AS peak
FROM study s JOIN attempt a ON a.study_id = s.id AND a.trial >= s.next_number - 256
WHERE s.id = ANY(CAST(:studies AS bigint[])) AND a.gpu_peak_bytes > 0
GROUP BY s.id

-- name: short_trials
-- Open trials that ran out of memory, with the attempts that did, in order.
SELECT t.study_id, t.number,
    t.state IN ('PAUSED', 'WAITING') AND (t.not_before IS NULL OR t.not_before <= clock_timestamp()) AS is_ready,
    json_agg(json_build_array({short_kind}, attempt.micro_batch) ORDER BY attempt.number) AS faults
FROM trial t JOIN attempt ON attempt.study_id = t.study_id AND attempt.trial = t.number
    AND attempt.fault = 'out_of_memory' AND attempt.number > t.rerun_after
WHERE t.study_id = ANY(CAST(:studies AS bigint[])) AND t.ended_no IS NULL AND jsonb_exists(t.faults, 'out_of_memory')
GROUP BY t.study_id, t.number, t.state, t.not_before ORDER BY t.study_id, t.number

-- name: share_figures
SELECT coalesce(CAST(t.placed ->> 'share' AS float8), 1) AS share, CAST(count(*) AS int) AS trials,
    avg(a.device_s / a.width) AS mean_s, max(a.gpu_peak_bytes) AS peak_bytes
FROM trial t JOIN attempt a ON a.study_id = t.study_id AND a.trial = t.number AND a.number = t.attempts
WHERE t.study_id = :study AND t.state = 'SCORED' AND a.device_kind NOT IN ('', 'cpu')
GROUP BY 1 ORDER BY 1

-- name: unplace(study bigint, number int, attempt int) -> moved boolean
-- A placed trial that cannot run where it was placed goes back to the buffer.
WITH s AS (
    SELECT study.id, study.waiting, study.queued FROM study WHERE study.id = :study FOR NO KEY UPDATE
), o AS (
    SELECT trial.number FROM trial JOIN s ON trial.study_id = s.id
    WHERE trial.number = :number AND trial.attempts = :attempt - 1 AND trial.state IN ({may_unqueue})
        AND trial.placed IS NOT NULL FOR NO KEY UPDATE OF trial
), t AS (
    UPDATE trial SET state = {after_unqueue}, queued_at = NULL
    FROM o WHERE trial.study_id = :study AND trial.number = o.number RETURNING 1
), c AS (
    UPDATE study SET queued = s.queued - 1, waiting = s.waiting + 1 FROM s, t WHERE study.id = s.id
)
SELECT true FROM t

-- name: drain
INSERT INTO drain (host, device, who) SELECT :host, unnest(CAST(:devices AS text[])), :who
ON CONFLICT (host, device) DO NOTHING

-- name: undrain
DELETE FROM drain WHERE host = :host AND (CAST(:devices AS text[]) IS NULL OR device = ANY(CAST(:devices AS text[])))
RETURNING device

-- name: drained(host text) -> device text
-- What is taken out of a host, for its node; '' is all of it.
SELECT device FROM drain WHERE host = :host ORDER BY device
