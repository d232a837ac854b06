-- Schedules, their firings and their champions. The unique row is the lock, so a firing happens once however often it is tried.

-- name: put_schedule
INSERT INTO schedule AS sc
    (name, spec, cron, timezone, slices, code_root, fingerprint, paused, next_due_at, created_at)
VALUES (:name, CAST(:spec AS json), :cron, :timezone, CAST(:slices AS json), :code_root, :fingerprint, :paused,
    :next_due_at, :created_at)
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, cron = excluded.cron, timezone = excluded.timezone,
    slices = excluded.slices, code_root = excluded.code_root, fingerprint = excluded.fingerprint,
    paused = excluded.paused, next_due_at = excluded.next_due_at
RETURNING {schedule_columns}

-- name: schedules
SELECT {schedule_columns} FROM schedule sc ORDER BY sc.name

-- name: schedule
SELECT {schedule_columns} FROM schedule sc WHERE sc.name = :name

-- name: drop_schedule
DELETE FROM schedule WHERE name = :name RETURNING name

-- name: pause_schedule
UPDATE schedule sc SET paused = :paused WHERE name = :name RETURNING {schedule_columns}

-- name: due_schedules
SELECT {schedule_columns} FROM schedule sc WHERE NOT sc.paused AND sc.next_due_at <= clock_timestamp()
ORDER BY sc.next_due_at, sc.name

-- name: advance_schedule
UPDATE schedule SET next_due_at = :next_due_at WHERE name = :name AND next_due_at = :due_at RETURNING name

-- name: fire
-- The firing's row comes first and holds the key; the study takes the id that the firing already names.
WITH f AS (
    INSERT INTO firing (schedule, slice, due_at, by_hand, note, study_id)
    VALUES (:schedule, CAST(:slice AS jsonb), :due_at, :by_hand, :note, nextval(pg_get_serial_sequence('study', 'id')))
    ON CONFLICT (schedule, slice, due_at, by_hand) DO NOTHING RETURNING study_id
)
INSERT INTO study AS s (id, {new_study_columns}) SELECT f.study_id, {new_study} FROM f RETURNING {study_columns}

-- name: firings
SELECT {firing_columns} FROM firing f WHERE f.schedule = :schedule ORDER BY f.due_at DESC, f.study_id DESC LIMIT :limit

-- name: record_champion
INSERT INTO champion AS ch
    (study_id, schedule, slice, study, trial, params, score, default_score, metrics, promoted, reason)
VALUES (:study_id, :schedule, CAST(:slice AS jsonb), :study, :trial, CAST(:params AS json), :score, :default_score,
    CAST(:metrics AS json), :promoted, :reason)
ON CONFLICT (study_id) DO NOTHING RETURNING {champion_columns}

-- name: verdict
SELECT {champion_columns} FROM champion ch WHERE ch.study_id = :study_id

-- name: unjudged
SELECT s.id FROM study s WHERE s.schedule IS NOT NULL AND s.ended_at IS NOT NULL
    AND s.ended_at > clock_timestamp() - make_interval(secs => :within_s)
    AND NOT EXISTS (SELECT 1 FROM champion ch WHERE ch.study_id = s.id)
ORDER BY s.id

-- name: champions
SELECT DISTINCT ON (ch.schedule, ch.slice) {champion_columns} FROM champion ch
WHERE ch.promoted AND (CAST(:schedule AS text) IS NULL OR ch.schedule = :schedule)
ORDER BY ch.schedule, ch.slice, ch.id DESC

-- name: verdicts
SELECT {champion_columns} FROM champion ch WHERE ch.schedule = :schedule ORDER BY ch.id DESC LIMIT :limit
