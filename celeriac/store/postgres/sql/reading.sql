-- Reading trials, attempts, reports and logs, in pages.

-- name: trial
{trials} WHERE t.study_id = :study AND t.number = :number

-- name: trials
{trials_with_past} WHERE t.study_id = :study AND t.number > :after
    AND (CAST(:states AS text[]) IS NULL OR t.state = ANY(:states))
ORDER BY t.number LIMIT :limit

-- name: attempts
SELECT {attempt_columns} FROM attempt a WHERE a.study_id = :study AND a.trial = ANY(CAST(:numbers AS int[]))
ORDER BY a.trial, a.number

-- name: reports
-- A later attempt's value wins at the same step.
SELECT DISTINCT ON (r.trial, r.step) r.study_id, r.trial, r.attempt, r.step, r.value, r.metrics, r.at,
    c.path, c.sha256, c.size_bytes
FROM report r LEFT JOIN checkpoint c
    ON c.study_id = r.study_id AND c.trial = r.trial AND c.attempt = r.attempt AND c.step = r.step
WHERE r.study_id = :study AND r.trial = ANY(CAST(:numbers AS int[]))
    AND (CAST(:attempt AS int) IS NULL OR r.attempt = :attempt)
ORDER BY r.trial, r.step, r.attempt DESC

-- name: rung_records
SELECT {rung_columns} FROM rung r WHERE r.study_id = :study
    AND (r.bracket, r.rung, r.place) > (CAST(:bracket AS int), CAST(:rung AS bigint), CAST(:place AS int))
ORDER BY r.bracket, r.rung, r.place LIMIT :limit

-- name: savings
-- A step is counted from 0, or from where the attempt was resumed. A population spares none: heirs run them.
WITH e AS (
    SELECT t.state, a.last_step, a.last_step - coalesce(a.resumed_step, -1) AS steps, a.device_s
    FROM trial t JOIN attempt a ON a.study_id = t.study_id AND a.trial = t.number AND a.number = t.attempts
    WHERE t.study_id = :study AND t.state IN ('SCORED', 'PRUNED')
), s AS (
    SELECT e.*, greatest(0, (SELECT max(last_step) FROM e WHERE state = 'SCORED') - last_step) AS spared
    FROM e WHERE state = 'PRUNED'
), p AS (
    SELECT coalesce(spec #>> '{stop_early,rule}', '') <> 'pbt' AS spares FROM study WHERE id = :study
)
SELECT count(*) AS trials, CAST(coalesce(sum(spared) FILTER (WHERE p.spares), 0) AS bigint) AS steps,
    coalesce(sum(spared * device_s / greatest(1, steps)) FILTER (WHERE p.spares), 0) AS device_s FROM s, p

-- name: fault_counts
SELECT e.key AS fault, CAST(sum(CAST(e.value AS int)) AS int) AS faults FROM trial t, jsonb_each_text(t.faults) e
WHERE t.study_id = ANY(CAST(:studies AS bigint[])) AND t.faults <> '{}' GROUP BY e.key ORDER BY e.key

-- name: codes
SELECT split_part(a.fingerprint, ' ', 1) AS code, count(*) AS trials, min(a.trial) AS first, max(a.trial) AS last
FROM trial t JOIN attempt a ON a.study_id = t.study_id AND a.trial = t.number AND a.number = t.attempts
WHERE t.study_id = :study AND t.ended_no IS NOT NULL AND a.fingerprint <> ''
GROUP BY code ORDER BY first, code

-- name: checkpoints
SELECT {checkpoint_columns} FROM checkpoint c WHERE c.study_id = :study AND c.trial = :number
ORDER BY c.step DESC, c.attempt DESC

-- name: log_tail
SELECT coalesce(l.tail, '') AS tail FROM attempt a LEFT JOIN attempt_log l
    ON l.study_id = a.study_id AND l.trial = a.trial AND l.attempt = a.number
WHERE a.study_id = :study AND a.trial = :number AND a.number = :attempt
