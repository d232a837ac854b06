-- Firings and champions. The unique row is the lock, so a firing happens once however often it is tried. Where a study's row and its
-- firing's are both locked, the study's is first.

-- name: fire
-- No row: it was fired before, or a study has its name.
INSERT INTO firing AS f (name, schedule, slice, due_at, by_hand, note, plan, steps)
SELECT :name, :schedule, CAST(:slice AS jsonb), :due_at, :by_hand, :note, CAST(:plan AS json),
    jsonb_build_array(jsonb_build_object('state', 'DUE', 'at', clock_timestamp(), 'reason', CAST(:note AS text)))
WHERE NOT EXISTS (SELECT 1 FROM study s WHERE s.name = :name)
ON CONFLICT (schedule, slice, due_at, by_hand) DO NOTHING RETURNING {firing_columns}

-- name: is_fired
SELECT 1 FROM firing WHERE schedule = :schedule AND slice = CAST(:slice AS jsonb) AND due_at = :due_at AND by_hand = :by_hand

-- name: firing
SELECT {firing_columns} FROM firing f WHERE f.id = :firing

-- name: firing_plan
SELECT f.name, f.schedule, f.slice, f.due_at, f.id AS firing_id, f.plan -> 'spec' AS spec, f.plan ->> 'goal' AS goal,
    CAST(f.plan ->> 'parallel' AS int) AS parallel, f.plan ->> 'code_root' AS code_root,
    f.plan ->> 'fingerprint' AS fingerprint
FROM firing f WHERE f.id = :firing

-- name: firings
SELECT {firing_columns} FROM firing f WHERE f.schedule = :schedule AND {listed_firings}

-- name: firings_of_slice
SELECT {firing_columns} FROM firing f WHERE f.schedule = :schedule AND f.slice = CAST(:slice AS jsonb) AND {listed_firings}

-- phrase: listed_firings
(CAST(:states AS text[]) IS NULL OR f.state = ANY(:states))
    AND (CAST(:due_at AS timestamptz) IS NULL OR (f.due_at, f.id) < (CAST(:due_at AS timestamptz), CAST(:id AS bigint)))
ORDER BY f.due_at DESC, f.id DESC LIMIT :limit

-- name: firings_to_mind
SELECT f.id AS firing_id, f.name, f.slice, f.due_at, CASE WHEN NOT {is_working} THEN f.entered_at END AS ended_at FROM firing f
WHERE f.schedule = :schedule AND f.by_hand = 0 AND (f.due_at >= :since OR f.entered_at >= :since OR {is_working})
ORDER BY f.due_at, f.id

-- name: firings_to_move
SELECT f.id FROM firing f WHERE {is_working} AND NOT EXISTS (
    SELECT 1 FROM study s WHERE s.firing_id = f.id AND s.ended_at IS NULL AND s.stage = {stage_of_state}
) ORDER BY f.id

-- name: studies_left_open
SELECT {study_columns} FROM study s JOIN firing f ON f.id = s.firing_id
WHERE s.state IN ('OPEN', 'RUNNING', 'PAUSED') AND NOT {is_working} ORDER BY s.id

-- name: studies_held
SELECT {study_columns} FROM study s JOIN firing f ON f.id = s.firing_id
WHERE s.state = 'PAUSED' AND {is_working} ORDER BY s.id

-- name: stage_studies
SELECT {study_columns} FROM study s WHERE s.firing_id = ANY(CAST(:firings AS bigint[])) ORDER BY s.id

-- name: earlier_studies
-- A reproducible one learns from earlier nights alone: which sisters have ended tonight, and in which order they began,
-- is another matter each time.
WITH now AS (
    SELECT * FROM study WHERE id = :study AND schedule IS NOT NULL
), before AS (
    SELECT e.*, e.slice = now.slice AS is_own FROM study e JOIN now ON e.schedule = now.schedule
    WHERE e.stage = 'search' AND (e.due_at, e.id) < (now.due_at, now.id) AND e.ended_at <= now.created_at
        AND (e.due_at < now.due_at OR now.spec->>'reproducible' IS DISTINCT FROM 'true')
), ranked AS (
    SELECT b.id, b.due_at, b.name, b.is_own, row_number() OVER (
        PARTITION BY b.is_own, CASE WHEN NOT b.is_own THEN b.slice END ORDER BY b.due_at DESC, b.id DESC) AS place
    FROM before b
), chosen AS (
    (SELECT id, is_own FROM ranked WHERE is_own AND place <= :nights)
    UNION ALL
    (SELECT id, is_own FROM ranked WHERE NOT is_own AND place = 1 ORDER BY due_at DESC, name LIMIT :sisters)
)
SELECT {study_columns} FROM study s JOIN chosen c ON c.id = s.id 
ORDER BY c.is_own DESC, s.due_at DESC, CASE WHEN c.is_own THEN s.id END DESC, s.name

-- name: stage_study
SELECT s.id FROM study s WHERE s.firing_id = :firing AND s.stage = :stage

-- name: lock_firing
SELECT {firing_columns} FROM firing f WHERE f.id = :firing FOR NO KEY UPDATE

-- name: move_firing
UPDATE firing f SET state = :state, reason = :reason, turn = turn + 1, entered_at = clock_timestamp(),
    steps = steps || jsonb_build_array(CAST(:evidence AS jsonb) || jsonb_build_object(
        'state', CAST(:state AS text), 'at', clock_timestamp(), 'reason', CAST(:reason AS text)))
WHERE f.id = :firing RETURNING {firing_columns}

-- name: announce
-- Once a firing, and while it works: what it waits for is told, and nothing moves.
UPDATE firing f SET reason = :reason, steps = steps || jsonb_build_array(jsonb_build_object(
    'state', f.state, 'at', clock_timestamp(), 'reason', CAST(:reason AS text), 'late', true))
WHERE f.id = :firing AND f.state IN ('DUE', 'LOOKING', 'SEARCHING', 'CONFIRMING')
    AND NOT f.steps @> CAST('[{"late": true}]' AS jsonb) RETURNING f.id

-- name: give_points
-- Trials for a study that asks no sampler: they are there at once, and its budget is as many.
WITH s AS (
    UPDATE study SET turn = turn + 1, next_number = next_number + :count, waiting = waiting + :count,
        spec = CAST(:spec AS json)
    WHERE id = :study RETURNING id, next_number - :count AS first
)
INSERT INTO trial (study_id, number, params, source, why, seed)
SELECT s.id, s.first + x.place, x.params, x.source, x.why, x.seed
FROM s, json_to_recordset(CAST(:suggestions AS json)) AS x(place int, params json, source text, why json, seed bigint)

-- name: drop_firing
-- Once the last study of it is gone, but never the evidence of a promotion.
DELETE FROM firing f WHERE f.id = :firing AND f.state NOT IN ('DUE', 'PROMOTED')
    AND NOT EXISTS (SELECT 1 FROM study s WHERE s.firing_id = f.id)

-- name: record_champion
-- One that promotes takes the place of the slice's champion of this moment, or of none.
INSERT INTO champion AS ch
    (study_id, schedule, slice, study, trial, params, score, default_score, metrics, promoted, reason, firing_id, kind,
        who, before_id, awaits, evidence)
SELECT :study_id, :schedule, CAST(:slice AS jsonb), :study, :trial, CAST(:params AS json), :score, :default_score,
    CAST(:metrics AS json), :promoted, :reason, :firing_id, :kind, :who, :before_id, :awaits, CAST(:evidence AS json)
WHERE NOT :promoted OR coalesce(CAST(:before_id AS bigint), 0) = coalesce((
    SELECT max(c.id) FROM champion c
    WHERE c.promoted AND c.schedule = :schedule AND c.slice = CAST(:slice AS jsonb)
), 0)
ON CONFLICT DO NOTHING RETURNING {champion_columns}

-- name: verdict
SELECT {champion_columns} FROM champion ch WHERE ch.firing_id = :firing AND ch.kind = 'night'

-- name: champion_of
SELECT {champion_columns} FROM champion ch
WHERE ch.promoted AND ch.schedule = :schedule AND ch.slice = CAST(:slice AS jsonb) ORDER BY ch.id DESC LIMIT 1

-- name: champions
-- From the slice after that of the verdict `after_id` on; a limit of NULL is none.
SELECT DISTINCT ON (ch.schedule, ch.slice) {champion_columns} FROM champion ch
WHERE ch.promoted AND (CAST(:schedule AS text) IS NULL OR ch.schedule = :schedule)
    AND (CAST(:after_id AS bigint) IS NULL
        OR (ch.schedule, ch.slice) > (SELECT a.schedule, a.slice FROM champion a WHERE a.id = :after_id))
ORDER BY ch.schedule, ch.slice, ch.id DESC LIMIT CAST(:limit AS bigint)

-- name: verdicts
SELECT {champion_columns} FROM champion ch
WHERE ch.schedule = :schedule AND ch.id < coalesce(CAST(:before_id AS bigint), {most}) ORDER BY ch.id DESC LIMIT :limit

-- name: verdicts_of_slice
SELECT {champion_columns} FROM champion ch WHERE ch.schedule = :schedule AND ch.slice = CAST(:slice AS jsonb)
    AND ch.id < coalesce(CAST(:before_id AS bigint), {most}) ORDER BY ch.id DESC LIMIT :limit

-- name: night_tallies
-- Of nights whose tests had a share of false promotions to spend: a schedule that is given one begins with all of it.
SELECT sum(CAST(ch.evidence #>> '{gate,said,level}' AS float8)
        * CAST(ch.evidence #>> '{gate,asked,before,weight}' AS float8)) AS spent,
    count(*) FILTER (WHERE ch.promoted) AS promoted
FROM champion ch JOIN firing f ON f.id = ch.firing_id
WHERE ch.schedule = :schedule AND ch.kind = 'night' AND f.due_at < :before
    AND ch.evidence #>> '{gate,said,level}' IS NOT NULL AND ch.evidence #>> '{gate,asked,rules,fdr}' IS NOT NULL
GROUP BY f.due_at ORDER BY f.due_at

-- name: forget_verdict
-- Of a firing that goes on, a verdict of its own that promoted nothing is void.
DELETE FROM champion WHERE firing_id = :firing AND kind = 'night' AND NOT promoted
