-- Schedules, their firings and their champions. The unique row is the lock, so a firing happens once however often it is tried.

-- name: put_schedule
INSERT INTO schedule AS sc (name, spec, cron, timezone, slices, code_root, fingerprint, paused, created_at)
VALUES (:name, CAST(:spec AS json), :cron, :timezone, CAST(:slices AS json), :code_root, :fingerprint, :paused,
    :created_at)
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, cron = excluded.cron, timezone = excluded.timezone,
    slices = excluded.slices, code_root = excluded.code_root, fingerprint = excluded.fingerprint,
    paused = excluded.paused
RETURNING sc.name

-- name: put_slices
WITH given AS (
    SELECT d.slice, d.next_due_at, d.note FROM jsonb_to_recordset(CAST(:dues AS jsonb))
        AS d(slice jsonb, next_due_at timestamptz, note text)
), gone AS (
    DELETE FROM schedule_slice WHERE schedule = :name AND slice NOT IN (SELECT given.slice FROM given)
)
INSERT INTO schedule_slice (schedule, slice, next_due_at, note)
SELECT :name, given.slice, given.next_due_at, given.note FROM given
ON CONFLICT (schedule, slice) DO UPDATE SET next_due_at = excluded.next_due_at, note = excluded.note

-- name: note_edit
INSERT INTO schedule_edit (schedule, who, what, changes, reason)
VALUES (:schedule, :who, :what, CAST(:changes AS json), :reason)

-- name: schedule_edits
SELECT {schedule_edit_columns} FROM schedule_edit se WHERE se.schedule = :schedule ORDER BY se.id DESC LIMIT :limit

-- name: slice_dues
SELECT {schedule_slice_columns} FROM schedule_slice sd WHERE sd.schedule = :schedule ORDER BY sd.next_due_at, sd.slice

-- name: schedules
SELECT {schedule_columns} FROM schedule sc ORDER BY sc.name

-- name: schedule
SELECT {schedule_columns} FROM schedule sc WHERE sc.name = :name

-- name: drop_schedule
DELETE FROM schedule WHERE name = :name RETURNING name

-- name: pause_schedule
UPDATE schedule sc SET paused = :paused WHERE name = :name RETURNING {schedule_columns}

-- name: due_schedules
SELECT {schedule_columns} FROM schedule sc WHERE NOT sc.paused
    AND sc.name IN (SELECT sd.schedule FROM schedule_slice sd WHERE sd.next_due_at <= clock_timestamp())
ORDER BY next_due_at, sc.name

-- name: advance_slice
UPDATE schedule_slice SET next_due_at = :next_due_at, note = :note
WHERE schedule = :schedule AND slice = CAST(:slice AS jsonb) AND next_due_at = :due_at RETURNING schedule

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

-- name: firings_to_mind
SELECT f.slice, f.due_at, f.study_id, s.name AS study, s.ended_at IS NULL AS is_open
FROM firing f JOIN study s ON s.id = f.study_id
WHERE f.schedule = :schedule AND f.by_hand = 0 AND (f.due_at >= :since OR s.ended_at IS NULL)
ORDER BY f.due_at, f.study_id

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
