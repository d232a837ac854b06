-- What a person may change in a study that is there.

-- name: extend_study
UPDATE study SET spec = CAST(:spec AS json) WHERE id = :study

-- name: lock_to_rerun
SELECT number, state FROM trial WHERE study_id = :study
    AND (number = ANY(CAST(:numbers AS int[])) OR (CAST(:numbers AS int[]) IS NULL AND state = 'FAILED'))
ORDER BY number FOR NO KEY UPDATE

-- name: rerun
WITH t AS (
    UPDATE trial SET state = {after_rerun}, score = NULL, metrics = '{}', step = NULL, holdout = '[]', drift = NULL, model = NULL, fault = NULL, detail = '',
        signature = '', worker = '', ended_no = NULL, ended_at = NULL, queued_at = NULL, rerun_after = attempts
    WHERE study_id = :study AND number = ANY(CAST(:numbers AS int[])) RETURNING trial.*
), s AS (
    UPDATE study SET failed = failed - (SELECT count(*) FROM t), waiting = waiting + (SELECT count(*) FROM t)
    WHERE id = :study
)
SELECT {trial_columns} FROM t {newest_attempt} ORDER BY t.number

-- name: renumber
-- Ends stay numbered without a gap. First below 0, since no two may have one number at any moment.
UPDATE trial SET ended_no = -n.place FROM (
    SELECT number, row_number() OVER (ORDER BY ended_no) AS place FROM trial
    WHERE study_id = :study AND ended_no IS NOT NULL
) n WHERE trial.study_id = :study AND trial.number = n.number AND trial.ended_no <> n.place

-- name: renumbered
UPDATE trial SET ended_no = -ended_no WHERE study_id = :study AND ended_no < 0

-- name: promoted
SELECT coalesce(trial, 0) AS trial FROM champion WHERE promoted
    AND (study_id = :study OR firing_id = (SELECT firing_id FROM study WHERE id = :study))

-- name: drop_portion
-- Of what hangs on attempts, any number of rows.
WITH x AS (
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE study_id = :study LIMIT 5000)) RETURNING 1
)
SELECT count(*) AS gone FROM x

-- name: drop_rows
DELETE FROM {table} WHERE {column} = :study
