-- The coordinator's turn: look at one study, add trials, queue them.

-- name: try_lock
SELECT pg_try_advisory_lock(:key) AS mine

-- name: unlock
SELECT pg_advisory_unlock(:key)

-- name: snapshot
-- Of the trials that wait, those that were proposed from outside come first.
SELECT {study_columns}, clock_timestamp() AS now,
    ARRAY(SELECT t.number FROM trial t WHERE t.state = 'PAUSED' AND {ready}) AS paused_numbers,
    ARRAY(SELECT t.number FROM trial t WHERE t.state = 'WAITING' AND t.source = 'proposed' AND {ready})
        || ARRAY(SELECT t.number FROM trial t WHERE t.state = 'WAITING' AND t.source <> 'proposed' AND {ready}) AS waiting_numbers, (
    SELECT json_agg(json_build_array(e.number, e.fault, e.signature, e.detail, e.ended_at)) FROM (
        SELECT t.number, t.fault, t.signature, t.detail, t.ended_at FROM trial t
        WHERE t.study_id = s.id AND t.ended_no IS NOT NULL ORDER BY t.ended_no DESC LIMIT 3
    ) e
) AS last_ended
FROM study s WHERE s.id = :study

-- name: newest_waiting
SELECT {untried} FROM trial t WHERE t.study_id = :study AND t.state = 'WAITING' AND t.attempts = 0
ORDER BY t.number DESC LIMIT :limit

-- name: pending
-- Two looks by index: the open trials, and the ends that came after. The limit is none, but makes the planner take the second index.
SELECT number, params, source, CAST(why ->> 'observed' AS int) AS observed FROM (
    SELECT * FROM trial WHERE study_id = :study AND number >= :since AND number < :below AND ended_no IS NULL
    UNION ALL
    SELECT * FROM (
        SELECT * FROM trial WHERE study_id = :study AND ended_no > :observed ORDER BY ended_no LIMIT :most
    ) later WHERE number >= :since AND number < :below
) t ORDER BY number

-- name: ended_since
{trials_with_past} WHERE t.study_id = :study AND t.ended_no > :ended_no ORDER BY t.ended_no LIMIT :limit

-- name: add_trials
WITH s AS (
    UPDATE study SET turn = turn + 1, next_number = next_number + :count, waiting = waiting + :count
    WHERE id = :study AND turn = :turn AND state = 'RUNNING'
    RETURNING id, next_number - :count AS first
), t AS (
    INSERT INTO trial (study_id, number, params, source, why, seed)
    SELECT s.id, s.first + x.place, x.params, x.source, x.why, x.seed
    FROM s, json_to_recordset(CAST(:suggestions AS json)) AS x(place int, params json, source text, why json, seed bigint)
    RETURNING *
)
SELECT s.id AS taken, {untried} FROM s LEFT JOIN t ON true ORDER BY t.number

-- name: replace_waiting
-- The newest trials give way together, or none does: `o` are those that may, `w` is the study if that is all of them.
WITH s AS (
    SELECT id FROM study
    WHERE id = :study AND turn = :turn AND state = 'RUNNING' AND next_number = :first + :count
    FOR NO KEY UPDATE
), o AS (
    SELECT trial.number FROM s, trial
    WHERE trial.study_id = :study AND trial.number >= :first AND trial.ended_no IS NULL AND trial.state IN ({may_replace})
        AND trial.attempts = 0 AND trial.source = 'suggested'
    ORDER BY trial.number FOR NO KEY UPDATE OF trial
), w AS (
    SELECT s.id FROM s WHERE (SELECT count(*) FROM o) = :count
), t AS (
    UPDATE trial SET params = x.params, why = x.why, seed = x.seed
    FROM w, o JOIN json_to_recordset(CAST(:suggestions AS json)) AS x(place int, params json, why json, seed bigint)
        ON x.place = o.number - :first
    WHERE trial.study_id = :study AND trial.number = ANY(ARRAY(SELECT number FROM o)) AND trial.number = o.number
    RETURNING trial.*
), c AS (
    UPDATE study SET turn = turn + 1 FROM w WHERE study.id = w.id
)
SELECT w.id AS taken, {untried} FROM w LEFT JOIN t ON true ORDER BY t.number

-- name: queue_trials
-- The trials are found by an array, so by key: joined to `o`, a plan that was made when the table was small reads all of the study's.
WITH s AS (
    SELECT id, clock_timestamp() AS now FROM study
    WHERE id = :study AND turn = :turn AND state = 'RUNNING' FOR NO KEY UPDATE
), o AS (
    SELECT trial.number, trial.state FROM s, trial
    WHERE trial.study_id = :study AND trial.number = ANY(CAST(:numbers AS int[])) AND trial.state IN ({may_queue})
    ORDER BY trial.number FOR NO KEY UPDATE OF trial
), t AS (
    UPDATE trial SET state = {after_queue}, queued_at = s.now, placed = CAST(:places AS jsonb) -> CAST(trial.number AS text)
    FROM s WHERE trial.study_id = :study AND trial.number = ANY(ARRAY(SELECT number FROM o))
    RETURNING trial.*
), c AS (
    UPDATE study SET turn = turn + 1,
        waiting = waiting - (SELECT count(*) FROM o WHERE o.state = 'WAITING'),
        paused = paused - (SELECT count(*) FROM o WHERE o.state = 'PAUSED'),
        queued = queued + (SELECT count(*) FROM t)
    FROM s WHERE study.id = s.id
)
SELECT s.id AS taken, {trial_columns} FROM s LEFT JOIN t ON true {newest_attempt} ORDER BY t.number
