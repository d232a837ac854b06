-- Asking running trials back.

-- name: running_attempts
-- Of each, by key: when an attempt before it was asked back last, and when its own newest checkpoint was written.
SELECT a.token, a.study_id, s.name AS study, a.trial AS number, a.number AS attempt, a.worker, a.leased_at, a.preempted_at,
    b.preempted_at AS preempted_before_at, k.at AS saved_at
FROM attempt a JOIN study s ON s.id = a.study_id
LEFT JOIN LATERAL (
    SELECT max(e.preempted_at) AS preempted_at FROM attempt e
    WHERE e.study_id = a.study_id AND e.trial = a.trial AND e.number < a.number
) b ON true
LEFT JOIN LATERAL (
    SELECT r.at FROM checkpoint c JOIN report r
        ON r.study_id = c.study_id AND r.trial = c.trial AND r.attempt = c.attempt AND r.step = c.step
    WHERE c.study_id = a.study_id AND c.trial = a.trial AND c.attempt = a.number ORDER BY c.step DESC LIMIT 1
) k ON true
WHERE a.ended_at IS NULL AND a.study_id = ANY(CAST(:studies AS bigint[])) ORDER BY a.leased_at, a.study_id, a.trial

-- name: preempt
UPDATE attempt SET preempted_at = clock_timestamp(), preempt_reason = :reason
WHERE token = ANY(CAST(:tokens AS text[])) AND ended_at IS NULL AND preempted_at IS NULL RETURNING true
