-- Schedules' rows.

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

-- name: ask_replay
INSERT INTO replay AS rp (schedule, first_day, last_day, who) VALUES (:schedule, :first_day, :last_day, :who)
ON CONFLICT (schedule) WHERE ended_at IS NULL DO NOTHING RETURNING {replay_columns}

-- name: replays
SELECT {replay_columns} FROM replay rp WHERE rp.schedule = :schedule ORDER BY rp.id DESC LIMIT :limit

-- name: open_replays
SELECT {replay_columns} FROM replay rp WHERE rp.ended_at IS NULL ORDER BY rp.id

-- name: end_replay
UPDATE replay SET ended_at = clock_timestamp(), reason = :reason WHERE id = :replay AND ended_at IS NULL RETURNING id

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
