-- What a running trial reports. A repeat changes nothing, and the first that came stays.

-- name: report(token text, last_step bigint, last_value float8, reports json) -> landed boolean
-- Inserts reports with their checkpoints.
{reported} SELECT true FROM e

-- name: report_at_rungs(token text, last_step bigint, last_value float8, reports json, crossings json) -> {rung}
-- As `report`, and ranks those that cross a rung: the trial's record at each, or a row of nulls where there is none (yet).
-- A rung is ranked by (loss, place). Its newest record `n` knows the cutoff: the last record that is kept, of the n.place there are.
-- With one record more the cutoff moves by one place at most: to its neighbour `b` before it, `w` behind it, or to the new record `c`.
-- Whoever takes the next place first has it: the unique index makes the second wait, and then insert nothing.
{reported}, c AS (
    SELECT e.study_id, e.trial, e.number AS attempt, c.*, g.sign, g.sign * c.value AS loss
    FROM e JOIN LATERAL (
        SELECT CASE study.goal WHEN 'maximize' THEN -1 ELSE 1 END AS sign FROM study WHERE study.id = e.study_id
    ) g ON true, json_to_recordset(:crossings) AS
        c(rung bigint, step bigint, resource float8, value float8, bracket int, divisor int, spare int, times int)
), known AS (
    SELECT k.* FROM c CROSS JOIN LATERAL (
        SELECT * FROM rung r WHERE r.study_id = c.study_id AND r.trial = c.trial AND r.rung = c.rung LIMIT 1
    ) k
), m AS (
    SELECT c.*, coalesce(n.place, 0) + 1 AS place, n.cutoff, n.cutoff_place, b.loss AS b_loss, b.place AS b_place,
        w.loss AS w_loss, w.place AS w_place, CASE
            WHEN n.place IS NULL THEN 'c'
            WHEN (c.loss < n.cutoff) = (greatest(1, ((n.place + 1) * coalesce(times, 1) + spare) / divisor)
                > greatest(1, (n.place * coalesce(times, 1) + spare) / divisor))
                THEN 'n'
            WHEN c.loss < n.cutoff THEN CASE WHEN b.loss > c.loss THEN 'b' ELSE 'c' END
            WHEN w.loss <= c.loss THEN 'w' ELSE 'c'
        END AS last_kept
    FROM c LEFT JOIN LATERAL (
        SELECT r.place, c.sign * r.cutoff AS cutoff, r.cutoff_place FROM rung r WHERE {of_its_rung}
        ORDER BY r.place DESC LIMIT 1
    ) n ON true LEFT JOIN LATERAL (
        SELECT r.loss, r.place FROM rung r WHERE {of_its_rung} AND (r.loss, r.place) < (n.cutoff, n.cutoff_place)
        ORDER BY r.loss DESC, r.place DESC LIMIT 1
    ) b ON true LEFT JOIN LATERAL (
        SELECT r.loss, r.place FROM rung r WHERE {of_its_rung} AND (r.loss, r.place) > (n.cutoff, n.cutoff_place)
        ORDER BY r.loss, r.place LIMIT 1
    ) w ON true
    WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.rung = c.rung)
), new AS (
    INSERT INTO rung (study_id, trial, rung, bracket, place, attempt, step, resource, value, loss, cutoff, cutoff_place)
    SELECT study_id, trial, rung, bracket, place, attempt, step, resource, value, loss,
        sign * CASE last_kept WHEN 'c' THEN loss WHEN 'n' THEN cutoff WHEN 'b' THEN b_loss ELSE w_loss END,
        CASE last_kept WHEN 'c' THEN place WHEN 'n' THEN cutoff_place WHEN 'b' THEN b_place ELSE w_place END
    FROM m ORDER BY rung ON CONFLICT DO NOTHING RETURNING *
)
SELECT {rung_columns} FROM e LEFT JOIN (SELECT * FROM known UNION ALL SELECT * FROM new) r ON true ORDER BY r.rung

-- name: own_reports(token text) -> study_id bigint, trial int, attempt int, step bigint, value float8, metrics json, at timestamptz, path text, sha256 text, size_bytes bigint
-- What all attempts of the lease's trial reported, the newest attempt's value for each step.
SELECT DISTINCT ON (r.step) r.study_id, r.trial, r.attempt, r.step, r.value, r.metrics, r.at, c.path, c.sha256, c.size_bytes
FROM attempt a JOIN report r ON r.study_id = a.study_id AND r.trial = a.trial LEFT JOIN checkpoint c
    ON c.study_id = r.study_id AND c.trial = r.trial AND c.attempt = r.attempt AND c.step = r.step
WHERE a.token = :token AND a.ended_at IS NULL ORDER BY r.step, r.attempt DESC

-- name: own_checkpoints(token text) -> {checkpoint}
-- The checkpoints of the lease's trial, newest first.
SELECT {checkpoint_columns} FROM attempt a JOIN checkpoint c ON c.study_id = a.study_id AND c.trial = a.trial
WHERE a.token = :token AND a.ended_at IS NULL ORDER BY c.step DESC, c.attempt DESC

-- name: forget_checkpoints(token text, paths text[]) -> forgotten boolean
-- Deletes rows of the lease's trial.
DELETE FROM checkpoint c USING attempt a
WHERE a.token = :token AND a.ended_at IS NULL AND c.study_id = a.study_id AND c.trial = a.trial AND c.path = ANY(:paths)
RETURNING true

-- name: drop_checkpoints(token text, kept text[]) -> ended boolean
-- Deletes the rows of a trial that has ended but for the kept ones, for one that has had an attempt of it; says whether it has.
WITH t AS (
    SELECT trial.study_id, trial.number, trial.ended_no FROM attempt JOIN trial
        ON trial.study_id = attempt.study_id AND trial.number = attempt.trial
    WHERE attempt.token = :token
), gone AS (
    DELETE FROM checkpoint c USING t WHERE t.ended_no IS NOT NULL AND c.study_id = t.study_id AND c.trial = t.number
        AND c.path <> ALL(:kept)
)
SELECT t.ended_no IS NOT NULL FROM t
