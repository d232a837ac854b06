-- What keeps the service going. Each look touches open rows only, by an index that holds no others; so a tick costs the same after
-- five thousand trials.

-- name: expired
{open_attempts} AND a.lease_until < clock_timestamp() ORDER BY a.lease_until LIMIT :limit

-- name: open_attempts_of
{open_attempts} AND a.worker = :worker ORDER BY a.leased_at

-- name: reaper_look
SELECT clock_timestamp() AS now, r.looked_at, r.before_at, r.seen_since
FROM (SELECT 1) AS one LEFT JOIN reaper r ON r.id = 1

-- name: keep_look
INSERT INTO reaper (id, looked_at, before_at, seen_since) VALUES (1, :looked_at, :before_at, :seen_since)
ON CONFLICT (id) DO UPDATE SET looked_at = excluded.looked_at, before_at = excluded.before_at,
    seen_since = excluded.seen_since
WHERE reaper.looked_at = CAST(:last AS timestamptz) RETURNING 1

-- name: did
INSERT INTO duty (name, every_s, done_at) VALUES (:name, :every_s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET every_s = excluded.every_s, done_at = excluded.done_at

-- name: duties
SELECT name, every_s, CAST(extract(epoch FROM clock_timestamp() - done_at) AS float8) AS ago_s FROM duty ORDER BY name

-- name: unclaimed
{trials} WHERE t.state = 'QUEUED' AND t.ended_no IS NULL AND t.study_id = ANY(CAST(:studies AS bigint[]))
    AND t.queued_at < clock_timestamp() - make_interval(secs => :older_than_s)
ORDER BY t.queued_at, t.study_id, t.number LIMIT :limit

-- name: touch_queued
-- Locked rows are skipped: whoever holds one is moving that trial, so its ticket is not lost; and nobody waits, so nobody deadlocks.
WITH o AS (
    SELECT trial.study_id, trial.number FROM trial
    JOIN json_to_recordset(CAST(:trials AS json)) AS x(study_id bigint, number int)
        ON trial.study_id = x.study_id AND trial.number = x.number
    WHERE trial.state = 'QUEUED' FOR NO KEY UPDATE OF trial SKIP LOCKED
), t AS (
    UPDATE trial SET queued_at = clock_timestamp() FROM o
    WHERE trial.study_id = o.study_id AND trial.number = o.number RETURNING trial.*
)
SELECT {trial_columns} FROM t {newest_attempt} ORDER BY t.study_id, t.number

-- name: devices
SELECT {device_columns} FROM device d
WHERE NOT CAST(:alive AS boolean) OR {alive}
ORDER BY d.host, d.uuid

-- name: put_asides
SELECT {put_aside_columns} FROM put_aside p WHERE p.until > clock_timestamp() ORDER BY p.worker, p.study_id

-- name: prune
-- For reports, and for log tails.
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT c.ctid FROM {table} c {of_old_study} LIMIT :limit)) RETURNING 1
) SELECT count(*) AS gone FROM gone

-- name: note_pruned
UPDATE study SET logs_pruned_at = clock_timestamp() WHERE id = :study AND ended_at < :before

-- name: old_checkpoints
SELECT {checkpoint_columns} {old_checkpoint} AND (c.trial, c.step, c.attempt) > (:trial, :step, :attempt)
ORDER BY c.trial, c.step, c.attempt LIMIT :limit

-- name: prune_checkpoints
WITH gone AS (
    DELETE FROM checkpoint WHERE ctid = ANY(ARRAY(SELECT c.ctid {old_checkpoint} AND c.path = ANY(CAST(:paths AS text[])))) RETURNING 1
) SELECT count(*) AS gone FROM gone

-- name: forget_models
UPDATE trial SET model = NULL
WHERE study_id = :study AND model IS NOT NULL AND NOT model ->> 'path' = ANY(CAST(:kept AS text[])) RETURNING number
