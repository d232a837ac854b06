-- Population based training: who leads where a trial fell behind, and what its heir goes on from.

-- name: rung_leaders
-- The trial's record at the first rung where it was not kept, then the best of those that came there up to it.
WITH me AS (
    SELECT g.* FROM rung g JOIN study s ON s.id = g.study_id
    WHERE g.study_id = :study AND g.trial = :trial AND g.loss > CASE s.goal WHEN 'maximize' THEN -g.cutoff ELSE g.cutoff END
    ORDER BY g.rung LIMIT 1
), best AS (
    SELECT g.* FROM me JOIN rung g ON g.study_id = me.study_id AND g.bracket = me.bracket AND g.rung = me.rung
        AND g.place <= me.place
    ORDER BY g.loss, g.place LIMIT :limit
)
SELECT {rung_columns} FROM (SELECT 0 AS part, * FROM me UNION ALL SELECT 1 AS part, * FROM best) r
ORDER BY r.part, r.loss, r.place

-- name: inherited_checkpoint(token text) -> {checkpoint}
-- The checkpoint of its parent that an heir begins from; the newest attempt's.
-- The token is that of its attempt, or of a gang's member.
SELECT {checkpoint_columns} FROM (
    SELECT study_id, trial FROM attempt WHERE token = :token AND ended_at IS NULL
    UNION SELECT study_id, trial FROM gang_member WHERE token = :token AND ended_at IS NULL
) a JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial
JOIN checkpoint c ON c.study_id = a.study_id AND c.trial = CAST(t.why ->> 'parent' AS int)
    AND c.step = CAST(t.why ->> 'parent_step' AS bigint)
ORDER BY c.attempt DESC LIMIT 1

-- name: drop_inheritance
-- Nothing goes on from the checkpoints of a population that is closed; their files go with the next sweep.
DELETE FROM checkpoint c USING study s
WHERE s.id = :study AND s.spec #>> '{stop_early,rule}' = 'pbt' AND c.study_id = s.id
