-- What a host has.

-- name: put_devices(host text, key text, uuids text[], devices json) -> known boolean
-- Replaces what is known of a host. A row belongs to the key that it was written with, until nothing was heard of it for a minute:
-- so no host can take away another's.
WITH gone AS (
    DELETE FROM device WHERE host = :host AND uuid <> ALL(:uuids)
        AND (owner IN ('', {owner}) OR heartbeat_at < clock_timestamp() - interval '1 minute')
)
INSERT INTO device (host, uuid, kind, memory_bytes, labels, slots, fingerprint, health, heartbeat_at, heartbeat_s, owner,
    used_bytes, utilisation, temperature_c)
SELECT :host, x.uuid, x.kind, x.memory_bytes, x.labels, x.slots, x.fingerprint, x.health, clock_timestamp(), coalesce(x.heartbeat_s, 5), {owner},
    x.used_bytes, x.utilisation, x.temperature_c
FROM json_to_recordset(:devices) AS x(uuid text, kind text, memory_bytes bigint, labels json, slots json,
    fingerprint text, health text, heartbeat_s float8, used_bytes bigint, utilisation float8, temperature_c int)
ON CONFLICT (host, uuid) DO UPDATE SET kind = excluded.kind, memory_bytes = excluded.memory_bytes,
    labels = excluded.labels, slots = excluded.slots, fingerprint = excluded.fingerprint,
    health = excluded.health, heartbeat_at = excluded.heartbeat_at, heartbeat_s = excluded.heartbeat_s, owner = excluded.owner,
    used_bytes = excluded.used_bytes, utilisation = excluded.utilisation, temperature_c = excluded.temperature_c
    WHERE device.owner IN ('', excluded.owner) OR device.heartbeat_at < clock_timestamp() - interval '1 minute'
RETURNING true

-- name: put_aside(token text, reason text, for_s float8, study_only boolean) -> noted boolean
-- Notes that the slot which had this lease, or was a gang's member by it, takes no trials for so long, or none of its study: one row a slot and study, and those of this
-- slot that are over go with it.
WITH a AS (
    SELECT x.worker, CASE WHEN :study_only THEN x.study_id ELSE 0 END AS study_id FROM (
        SELECT worker, study_id FROM attempt WHERE token = :token
        UNION SELECT worker, study_id FROM gang_member WHERE token = :token
    ) x
), gone AS (
    DELETE FROM put_aside p USING a WHERE p.worker = a.worker AND p.study_id <> a.study_id AND p.until < clock_timestamp()
)
INSERT INTO put_aside (worker, study_id, reason, since, until)
SELECT worker, study_id, :reason, clock_timestamp(), clock_timestamp() + make_interval(secs => least(:for_s, {day_s})) FROM a
ON CONFLICT (worker, study_id) DO UPDATE SET reason = excluded.reason, since = excluded.since, until = excluded.until
RETURNING true

-- name: has_other_slots(worker text, gpus float8) -> found boolean
-- Whether a live slot besides this one could run a trial that needs so many GPUs.
SELECT EXISTS (
    SELECT 1 FROM device d, json_array_elements_text(d.slots) AS slot
    WHERE {alive} AND (:gpus = 0 OR d.kind <> 'cpu')
        AND slot <> :worker
)

-- name: live_gpus(least_bytes bigint) -> kind text, memory_bytes bigint, labels json
SELECT d.kind, d.memory_bytes, d.labels FROM device d
WHERE {alive} AND d.kind <> 'cpu' AND d.memory_bytes >= :least_bytes
ORDER BY d.kind, d.memory_bytes

-- name: slot_runs
-- The attempts that one process ran together are one run of its slot. Of a gang each member's slot has run what its attempt did, until it
-- was a member no more.
SELECT r.worker, min(r.leased_at) AS leased_at, CASE WHEN bool_and(r.ended_at IS NOT NULL) THEN max(r.ended_at) END AS ended_at,
    sum(a.device_s / a.width) AS ran_s, greatest(s.created_at, s.resumed_at, s.reopened_at) AS opened_at,
    min(coalesce(p.ended_at, t.created_at)) AS ready_at, r.device,
    coalesce(max(CAST(t.placed ->> 'share' AS float8)), 0) AS share,
    coalesce(max(CAST(t.placed ->> 'memory_bytes' AS bigint)), 0) AS memory_bytes
FROM study s JOIN attempt a ON a.study_id = s.id JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial
LEFT JOIN attempt p ON p.study_id = a.study_id AND p.trial = a.trial AND p.number = a.number - 1
CROSS JOIN LATERAL (
    SELECT a.worker, a.leased_at, a.ended_at, a.device
    UNION ALL SELECT g.worker, a.leased_at, coalesce(a.ended_at, g.ended_at), g.device FROM gang_member g
    WHERE g.study_id = a.study_id AND g.trial = a.trial AND g.attempt = a.number AND g.rank > 0
) r
WHERE (s.ended_at IS NULL OR s.ended_at > :since) AND (a.ended_at IS NULL OR a.ended_at > :since)
GROUP BY a.study_id, r.worker, r.device, s.created_at, s.resumed_at, s.reopened_at,
    {process}
ORDER BY min(r.leased_at), r.worker

-- name: let_go(study bigint, numbers int[], older_than_s float8) -> number int, checkpoints boolean, logs boolean
-- Of these trials, ended so long ago: those of which files may be deleted, since no row names their checkpoints or their logs were pruned.
SELECT * FROM (
    SELECT t.number,
        NOT EXISTS (SELECT 1 FROM checkpoint c WHERE c.study_id = t.study_id AND c.trial = t.number) AS checkpoints,
        coalesce(t.ended_at < s.logs_pruned_at, false) AND NOT EXISTS (
            SELECT 1 FROM champion ch WHERE ch.study_id = t.study_id AND ch.trial = t.number AND ch.promoted) AS logs
    FROM study s JOIN trial t ON t.study_id = s.id
    WHERE s.id = :study AND t.number = ANY(:numbers) AND t.ended_no IS NOT NULL
        AND t.ended_at < clock_timestamp() - make_interval(secs => :older_than_s)
) AS x WHERE x.checkpoints OR x.logs ORDER BY x.number

-- name: wanted_slots(gpus int) -> wanted float8
-- How many GPUs (0: CPU slots) the open studies could use at once, those included that run: by this an autoscaler sizes the workers.
SELECT coalesce(sum(w.width * ceil(least(s.parallel, s.running + s.queued + s.waiting + s.paused + greatest(0,
        CAST(s.spec -> 'budget' ->> 'trials' AS int) - s.waiting - s.queued - s.running - s.paused - s.scored - s.pruned - s.failed))
    / greatest(coalesce(CAST(s.spec ->> 'pack' AS float8), 1), 1))), 0)
FROM study s, LATERAL (
    SELECT max(CASE json_typeof(asked.value) WHEN 'number' THEN CAST(CAST(asked.value AS text) AS float8)
        ELSE CAST(asked.value ->> 'max' AS float8) END) FILTER (WHERE asked.key = 'gpus') AS gpus,
        max(CASE json_typeof(asked.value) WHEN 'number' THEN CAST(CAST(asked.value AS text) AS float8)
        ELSE CAST(asked.value ->> 'max' AS float8) END) FILTER (WHERE asked.key = 'slots') AS slots
    FROM json_each(s.spec -> 'resources') AS asked WHERE asked.key IN ('gpus', 'slots')
) AS r, LATERAL (
    SELECT CASE WHEN coalesce(r.gpus, 0) > 0 THEN r.gpus ELSE coalesce(r.slots, 1) END AS width
) AS w
WHERE s.state IN ('OPEN', 'RUNNING') AND (coalesce(r.gpus, 0) > 0) = (:gpus > 0)
