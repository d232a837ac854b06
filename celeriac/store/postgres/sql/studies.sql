-- Studies: opening, finding and moving them.

-- name: now
-- The store's clock.
SELECT clock_timestamp() AS now

-- name: functions
-- What tells the functions of this database from another version's.
SELECT obj_description(to_regnamespace(:schema), 'pg_namespace') AS digest

-- name: create_study
INSERT INTO study AS s ({new_study_columns}) VALUES ({new_study}) ON CONFLICT (name) DO NOTHING RETURNING {study_columns}

-- name: study
SELECT {study_columns} FROM study s WHERE s.id = :study

-- name: study_named
SELECT {study_columns} FROM study s WHERE s.name = :name

-- name: names
-- The newest studies' names, to find one like the name that is not there.
SELECT name FROM study ORDER BY id DESC LIMIT 1000

-- name: studies
SELECT {study_columns} FROM study s WHERE {on_page}

-- name: studies_of_schedule
-- A statement of its own, for its index.
SELECT {study_columns} FROM study s WHERE s.schedule = :schedule AND {on_page}

-- phrase: on_page
s.id < coalesce(CAST(:before_id AS bigint), {most}) AND (CAST(:states AS text[]) IS NULL OR s.state = ANY(:states))
    AND (CAST(:named AS text) IS NULL OR position(lower(:named) IN lower(s.name)) > 0)
ORDER BY s.id DESC LIMIT :limit

-- name: lock_study
SELECT {study_columns} FROM study s WHERE s.id = :study FOR NO KEY UPDATE

-- name: lock_open_trials
SELECT number FROM trial WHERE study_id = :study AND ended_no IS NULL ORDER BY number FOR NO KEY UPDATE

-- name: studies_to_drive
SELECT id FROM study WHERE state IN ('OPEN', 'RUNNING') ORDER BY id

-- name: claims
SELECT id AS study_id, spec -> 'resources' AS resources, parallel, coalesce(CAST(spec ->> 'pack' AS int), 0) AS pack,
    state <> 'PAUSED' AS may_run, running, queued, waiting + paused AS ready,
    greatest(coalesce(CAST(spec #>> '{budget,trials}' AS int), 0) - scored - pruned - failed
        - waiting - queued - running - paused, 0) AS left,
    scored + pruned + failed AS finished, ran_s,
    greatest(coalesce(extract(epoch FROM
        coalesce(paused_at, clock_timestamp()) - coalesce(first_leased_at, started_at)) - paused_s, 0), 0) AS age_s,
    coalesce(CAST(spec ->> 'priority' AS double precision), 1) AS weight,
    spec #> '{schedule,deadline}' AS deadline, spec #>> '{schedule,timezone}' AS timezone, due_at, clock_timestamp() AS now
FROM study WHERE state IN ('OPEN', 'RUNNING', 'PAUSED') ORDER BY id

-- name: device_spent
-- Of the study, of its firing, and of the firings of its schedule with due times from `since` to `until`; and what `runs` more of each
-- firing that searches or confirms would take, as long as its runs were, less what its confirmation has had of that.
WITH me AS (
    SELECT id, schedule, firing_id FROM study WHERE id = :study
), found AS (
    SELECT me.id AS study_id FROM me
    UNION SELECT s.id FROM me JOIN study s ON s.firing_id = me.firing_id
    UNION SELECT s.id FROM me JOIN study s ON s.schedule = me.schedule
    WHERE s.firing_id IS NOT NULL AND s.due_at >= CAST(:since AS timestamptz) AND s.due_at < CAST(:until AS timestamptz)
), spent AS (
    SELECT s.id = me.id AS mine, s.firing_id, s.firing_id = me.firing_id AS beside, s.stage,
        s.device_s + coalesce(open.device_s, 0) AS device_s, open.holds,
        s.device_s / nullif(s.scored + s.pruned + s.failed, 0) AS run_s
    FROM me, found JOIN study s ON s.id = found.study_id CROSS JOIN LATERAL (
        SELECT sum(p.device_s) AS device_s, sum(p.width) AS holds FROM (
            SELECT max(a.width) AS width,
                sum(greatest(extract(epoch FROM clock_timestamp() - a.leased_at), 0) / a.packed * a.width) AS device_s
            FROM attempt a WHERE a.study_id = s.id AND a.ended_at IS NULL
            GROUP BY {process}
        ) p
    ) open
), kept AS (
    SELECT x.beside, greatest(coalesce(max(x.run_s) FILTER (WHERE x.stage <> 'confirm'), 0) * CAST(:runs AS int)
        - coalesce(sum(x.device_s) FILTER (WHERE x.stage = 'confirm'), 0), 0) AS device_s
    FROM spent x JOIN firing f ON f.id = x.firing_id WHERE f.state IN ('SEARCHING', 'CONFIRMING') GROUP BY x.firing_id, x.beside
)
SELECT coalesce(sum(device_s) FILTER (WHERE mine), 0) AS study_s,
    coalesce(sum(device_s) FILTER (WHERE beside), 0) AS firing_s, coalesce(sum(device_s), 0) AS night_s,
    coalesce(sum(holds) FILTER (WHERE mine), 0) AS study_holds,
    coalesce(sum(holds) FILTER (WHERE beside), 0) AS firing_holds, coalesce(sum(holds), 0) AS night_holds,
    (SELECT coalesce(sum(k.device_s) FILTER (WHERE k.beside), 0) FROM kept k) AS firing_kept_s,
    (SELECT coalesce(sum(k.device_s), 0) FROM kept k) AS night_kept_s
FROM spent

-- name: take_code
WITH p AS (DELETE FROM put_aside WHERE study_id = :study)
UPDATE study s SET fingerprint = :fingerprint WHERE s.id = :study RETURNING {study_columns}

-- name: unqueue_all
-- A paused study's queued trials go back to the buffer.
WITH t AS (
    UPDATE trial SET state = {after_unqueue}, queued_at = NULL
    WHERE study_id = :study AND ended_no IS NULL AND state IN ({may_unqueue}) RETURNING 1
)
UPDATE study SET queued = queued - (SELECT count(*) FROM t), waiting = waiting + (SELECT count(*) FROM t)
WHERE id = :study

-- name: cancel_open_trials
-- They end in the order of their numbers; an open attempt's device time runs until now by the database's clock.
WITH o AS (
    SELECT number, state, row_number() OVER (ORDER BY number) AS place FROM trial
    WHERE study_id = :study AND ended_no IS NULL
), t AS (
    UPDATE trial SET state = {after_cancel}, ended_no = :ended + o.place, ended_at = clock_timestamp(),
        detail = :reason, queued_at = NULL
    FROM o WHERE trial.study_id = :study AND trial.number = o.number
), e AS (
    UPDATE attempt SET ended_at = clock_timestamp(), outcome = {after_release}, detail = :reason,
        device_s = greatest(0, extract(epoch FROM clock_timestamp() - leased_at)) / packed * width
    WHERE study_id = :study AND ended_at IS NULL RETURNING device_s, width
)
UPDATE study SET waiting = 0, queued = 0, running = 0, paused = 0,
    cancelled = cancelled + (SELECT count(*) FROM o),
    device_s = device_s + (SELECT coalesce(sum(e.device_s), 0) FROM e),
    ran_s = ran_s + (SELECT coalesce(sum(e.device_s / e.width), 0) FROM e)
WHERE id = :study

-- name: move_study
UPDATE study s SET state = :state, reason = :reason, turn = turn + 1,
    started_at = CASE WHEN :state = 'RUNNING' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
    paused_s = paused_s + coalesce(extract(epoch FROM clock_timestamp() - coalesce(paused_at, ended_at)), 0),
    paused_at = CASE WHEN :state = 'PAUSED' THEN clock_timestamp() END,
    resumed_at = CASE WHEN :resumed THEN clock_timestamp() ELSE resumed_at END,
    reopened_at = CASE WHEN :reopened THEN clock_timestamp() ELSE reopened_at END,
    ended_at = CASE WHEN :closed THEN clock_timestamp() END
WHERE id = :study RETURNING {study_columns}
