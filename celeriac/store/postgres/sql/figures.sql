-- Figures that are counted when somebody looks.

-- name: proposed
-- One row a proposer. Losses are scores turned so that less is better; the median is that of the study's own trials.
WITH t AS (
    SELECT t.ended_no, t.source = 'proposed' AS is_proposed, coalesce(t.why ->> 'who', '') AS who,
        CASE WHEN t.state = 'SCORED' THEN CASE s.goal WHEN 'maximize' THEN -t.score ELSE t.score END END AS loss
    FROM study s JOIN trial t ON t.study_id = s.id WHERE s.id = :study AND t.state <> 'CANCELLED'
), m AS (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t.loss) AS loss FROM t WHERE NOT t.is_proposed AND t.loss IS NOT NULL
)
SELECT t.who, count(*) AS given, count(t.ended_no) AS ended, count(*) FILTER (WHERE t.loss <= m.loss) AS hits
FROM t, m WHERE t.is_proposed GROUP BY t.who ORDER BY t.who

-- name: known_cost
SELECT count(*) AS studies, CAST(coalesce(sum(n.finished), 0) AS bigint) AS trials, coalesce(sum(n.ran_s), 0) AS ran_s
FROM (
    SELECT s.scored + s.pruned + s.failed AS finished, s.ran_s FROM study s
    WHERE s.spec ->> 'objective' = :objective AND s.scored + s.pruned + s.failed > 0 ORDER BY s.id DESC LIMIT :most
) n

-- name: figures
-- One row a figure: the metric, the values of its labels, the value. Counters of studies' rows stand for their trials; all else is found
-- by an index, or is as short as the fleet: so the cost does not grow with the number of trials.
WITH f AS MATERIALIZED (
    SELECT a.worker, a.leased_at, a.ended_at, coalesce(a.outcome, 'running') AS outcome, coalesce(a.fault, '') AS fault
    FROM attempt a WHERE a.leased_at > clock_timestamp() - interval '10 minutes'
), g AS (
    SELECT CAST(extract(epoch FROM f.leased_at - lag(f.ended_at) OVER (PARTITION BY f.worker ORDER BY f.leased_at)) AS float8) AS gap_s FROM f
), l AS (
    SELECT CAST(extract(epoch FROM clock_timestamp() - d.next_due_at) AS float8) AS late_s
    FROM schedule_slice d JOIN schedule sc ON sc.name = d.schedule
    WHERE NOT sc.paused AND d.next_due_at < clock_timestamp() - interval '1 minute'
), d AS (
    SELECT d.host, d.health, json_array_length(d.slots) AS slots FROM device d WHERE {alive}
)
SELECT 'studies' AS name, ARRAY[s.state] AS labels, CAST(count(*) AS float8) AS value FROM study s GROUP BY s.state
UNION ALL SELECT 'trials', ARRAY[n.state], CAST(sum(n.count) AS float8) FROM study s, LATERAL (VALUES ('WAITING', s.waiting), ('QUEUED', s.queued),
    ('RUNNING', s.running), ('PAUSED', s.paused), ('SCORED', s.scored), ('PRUNED', s.pruned), ('FAILED', s.failed), ('CANCELLED', s.cancelled)) n(state, count)
    GROUP BY n.state
UNION ALL SELECT 'trials_failed', ARRAY[coalesce(t.fault, '')], count(*) FROM trial t WHERE t.state = 'FAILED' GROUP BY t.fault
UNION ALL SELECT 'queue_depth', CAST('{}' AS text[]), count(*) FROM trial t WHERE t.state = 'QUEUED'
UNION ALL SELECT 'queue_oldest_seconds', CAST('{}' AS text[]), CAST(coalesce(extract(epoch FROM clock_timestamp() - min(t.queued_at)), 0) AS float8)
    FROM trial t WHERE t.state = 'QUEUED'
UNION ALL SELECT 'waiting_trials', CAST('{}' AS text[]), CAST(coalesce(sum(s.waiting), 0) AS float8) FROM study s
    WHERE s.state IN ('OPEN', 'RUNNING', 'PAUSED')
UNION ALL SELECT 'slots', ARRAY['alive'], CAST(coalesce(sum(d.slots), 0) AS float8) FROM d
-- A pack is many attempts of one slot, a gang one attempt on many.
UNION ALL SELECT 'slots', ARRAY['busy'], count(*) FROM (SELECT a.worker FROM attempt a WHERE a.ended_at IS NULL
    UNION SELECT m.worker FROM gang_member m WHERE m.ended_at IS NULL) b
UNION ALL SELECT 'slots', ARRAY['aside'], count(DISTINCT p.worker) FROM put_aside p WHERE p.study_id = 0 AND p.until > clock_timestamp()
UNION ALL SELECT 'hosts_alive', CAST('{}' AS text[]), count(DISTINCT d.host) FROM d
UNION ALL SELECT 'devices_ill', CAST('{}' AS text[]), count(*) FROM d WHERE d.health <> 'ok'
UNION ALL SELECT 'slot_gap_seconds', ARRAY[CAST(q.share AS text)], percentile_cont(q.share) WITHIN GROUP (ORDER BY g.gap_s)
    FROM g, (VALUES (CAST(0.5 AS float8)), (0.95)) q(share) WHERE g.gap_s >= 0 GROUP BY q.share
UNION ALL SELECT 'attempts_recent', ARRAY[f.outcome, f.fault], count(*) FROM f GROUP BY f.outcome, f.fault
UNION ALL SELECT 'leases_lapsed', CAST('{}' AS text[]), count(*) FROM attempt a WHERE a.ended_at IS NULL AND a.lease_until < clock_timestamp()
UNION ALL SELECT 'firings_late', CAST('{}' AS text[]), count(*) FROM l
UNION ALL SELECT 'firing_late_seconds', CAST('{}' AS text[]), coalesce(max(l.late_s), 0) FROM l
UNION ALL SELECT 'firings_open', ARRAY[f.state], count(*) FROM firing f WHERE {is_working} GROUP BY f.state
UNION ALL SELECT 'gate_decisions', ARRAY[ch.kind, CASE WHEN ch.awaits THEN 'waits' WHEN ch.promoted THEN 'promoted' ELSE 'kept' END], count(*)
    FROM champion ch GROUP BY 2
UNION ALL SELECT 'deliveries_pending', CAST('{}' AS text[]), count(*) FROM delivery v WHERE v.done_at IS NULL
UNION ALL SELECT 'duty_age_seconds', ARRAY[u.name], CAST(extract(epoch FROM clock_timestamp() - u.done_at) AS float8) FROM duty u
ORDER BY name, labels
