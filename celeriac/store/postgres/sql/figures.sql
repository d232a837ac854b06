-- Figures that are counted when somebody looks.

-- name: proposed
-- Losses are scores turned so that less is better; the median is that of the study's own trials.
WITH t AS (
    SELECT t.state, t.ended_no, t.source = 'proposed' AS is_proposed,
        CASE WHEN t.state = 'SCORED' THEN CASE s.goal WHEN 'maximize' THEN -t.score ELSE t.score END END AS loss
    FROM study s JOIN trial t ON t.study_id = s.id WHERE s.id = :study AND t.state <> 'CANCELLED'
), m AS (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t.loss) AS loss FROM t WHERE NOT t.is_proposed AND t.loss IS NOT NULL
)
SELECT count(*) AS given, count(t.ended_no) AS ended, count(*) FILTER (WHERE t.loss <= m.loss) AS hits
FROM t, m WHERE t.is_proposed

-- name: known_cost
SELECT count(*) AS studies, CAST(coalesce(sum(n.finished), 0) AS bigint) AS trials, coalesce(sum(n.device_s), 0) AS device_s
FROM (
    SELECT s.scored + s.pruned + s.failed AS finished, s.device_s FROM study s
    WHERE s.spec ->> 'objective' = :objective AND s.scored + s.pruned + s.failed > 0 ORDER BY s.id DESC LIMIT :most
) n
