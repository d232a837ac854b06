-- Reading for pages that people look at. What a page shows is chosen, thinned and counted here: a study of any length costs a page.

-- phrase: study_line
s.id, s.name, s.state, s.reason, s.goal, s.spec #>> '{metric,name}' AS metric,
CAST(s.spec #>> '{budget,trials}' AS int) AS budget, {study_counters}, s.best_number, s.best_score, s.device_s, s.schedule,
s.stage, s.created_at, s.ended_at

-- name: study_lines
SELECT {study_line} FROM study s
WHERE s.id < coalesce(CAST(:before_id AS bigint), {most})
    AND (CAST(:states AS text[]) IS NULL OR s.state = ANY(CAST(:states AS text[])))
    AND (CAST(:schedule AS text) IS NULL OR s.schedule = :schedule)
    AND (CAST(:goal AS text) IS NULL OR s.goal = :goal)
    AND (CAST(:metric AS text) IS NULL OR s.spec #>> '{metric,name}' = :metric)
    AND strpos(lower(s.name), lower(:search)) > 0
ORDER BY s.id DESC LIMIT :limit

-- name: study_states
SELECT s.state, CAST(count(*) AS int) AS studies FROM study s GROUP BY s.state

-- phrase: of_trial
-- What the trial `t` has under the name `n.name`, as JSON; none under a name that it does not know.
CASE n.name
    WHEN 'number' THEN to_json(t.number) WHEN 'score' THEN to_json(t.score) WHEN 'attempts' THEN to_json(t.attempts)
    WHEN 'seconds' THEN to_json(CAST(extract(epoch FROM t.ended_at - t.started_at) AS float8))
    WHEN 'ended' THEN to_json(t.ended_no) WHEN 'state' THEN to_json(lower(t.state)) WHEN 'source' THEN to_json(t.source)
    WHEN 'fault' THEN to_json(t.fault) WHEN 'worker' THEN to_json(t.worker)
    ELSE coalesce(t.params -> n.name, t.metrics -> n.name) END

-- phrase: figure
CASE WHEN json_typeof(v.value) = 'number' THEN CAST(v.value #>> '{}' AS float8) END

-- name: trial_lines
-- A trial is there if each condition holds; one on a value that it does not have, does not.
WITH n AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:conditions AS json)) AS n(name text, op text, word text, figure float8)
), f AS (
    SELECT t.number, {figure} AS figure, CASE WHEN json_typeof(v.value) <> 'number' THEN v.value #>> '{}' END AS word
    FROM trial t CROSS JOIN LATERAL (SELECT CAST(:sort AS text) AS name) n CROSS JOIN LATERAL (SELECT {of_trial} AS value OFFSET 0) v
    WHERE t.study_id = :study AND NOT EXISTS (
        SELECT 1 FROM n CROSS JOIN LATERAL (SELECT {of_trial} AS value OFFSET 0) v WHERE NOT coalesce(CASE n.op
            WHEN '<' THEN {figure} < n.figure WHEN '<=' THEN {figure} <= n.figure
            WHEN '>' THEN {figure} > n.figure WHEN '>=' THEN {figure} >= n.figure
            WHEN '=' THEN lower(v.value #>> '{}') = n.word OR {figure} = n.figure
            WHEN '!=' THEN lower(v.value #>> '{}') <> n.word AND coalesce({figure} <> n.figure, true) END, false))
), o AS (
    SELECT f.number, CAST(count(*) OVER () AS int) AS of, row_number() OVER (ORDER BY
        CASE WHEN :down THEN -f.figure ELSE f.figure END NULLS LAST, CASE WHEN NOT :down THEN f.word END NULLS LAST,
        CASE WHEN :down THEN f.word END DESC NULLS LAST, f.number) AS place
    FROM f
)
SELECT t.number, t.state, t.source, t.score, t.params, t.fault, t.detail, t.attempts, t.started_at, t.ended_at,
    a.last_step, a.last_value, o.of
FROM (SELECT o.* FROM o ORDER BY o.place OFFSET :skip LIMIT :limit) o
JOIN trial t ON t.study_id = :study AND t.number = o.number {newest_attempt} ORDER BY o.place

-- name: best_steps
-- Of each study the trials that were better than all that had ended before them.
WITH f AS (
    SELECT t.study_id, t.number, t.score, t.ended_no, extract(epoch FROM t.ended_at - coalesce(s.started_at, s.created_at)) AS after_s,
        CASE WHEN t.state = 'SCORED' THEN CASE s.goal WHEN 'maximize' THEN -t.score ELSE t.score END END AS loss
    FROM study s JOIN trial t ON t.study_id = s.id
    WHERE s.id = ANY(CAST(:studies AS bigint[])) AND t.state IN ('SCORED', 'PRUNED', 'FAILED')
), r AS (
    SELECT f.*, min(f.loss) OVER (PARTITION BY f.study_id ORDER BY f.ended_no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
        row_number() OVER (PARTITION BY f.study_id ORDER BY f.ended_no) AS place
    FROM f
)
SELECT r.study_id, CAST(r.place AS int) AS place, r.number, r.score, CAST(r.after_s AS float8) AS after_s
FROM r WHERE r.loss < coalesce(r.before, 'Infinity') ORDER BY r.study_id, r.place

-- name: drawn_trials
-- The trials of a study's pictures: each that was better than all before it, the default, the best third of `most`, and of the
-- others every so-many-th.
WITH f AS (
    SELECT t.number, t.source, CASE WHEN t.state = 'SCORED' THEN CASE s.goal WHEN 'maximize' THEN -t.score ELSE t.score END END AS loss
    FROM study s JOIN trial t ON t.study_id = s.id WHERE s.id = :study AND t.state IN ('SCORED', 'PRUNED', 'FAILED')
), r AS (
    SELECT f.*, min(f.loss) OVER (ORDER BY f.number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
        row_number() OVER (ORDER BY f.loss NULLS LAST, f.number) AS place, row_number() OVER (ORDER BY f.number) AS along,
        count(*) OVER () AS of
    FROM f
), d AS (
    SELECT r.number FROM r WHERE r.of <= :limit OR r.source = 'default' OR r.place <= CAST(:limit AS int) / 3
        OR r.loss < coalesce(r.before, 'Infinity') OR r.along % (1 + r.of * 3 / (2 * CAST(:limit AS int))) = 0
)
SELECT {trial_columns} FROM d JOIN trial t ON t.study_id = :study AND t.number = d.number {newest_attempt} ORDER BY t.number

-- name: drawn_curves
-- The numbers of trials whose reports are drawn: those that run, the best third of `limit`, and of the others every so-many-th.
WITH f AS (
    SELECT t.number, t.state, CASE WHEN t.state = 'SCORED' THEN CASE s.goal WHEN 'maximize' THEN -t.score ELSE t.score END END AS loss
    FROM study s JOIN trial t ON t.study_id = s.id WHERE s.id = :study AND t.attempts > 0 AND t.state <> 'CANCELLED'
), r AS (
    SELECT f.*, row_number() OVER (ORDER BY f.state <> 'RUNNING', f.loss NULLS LAST, f.number) AS place,
        row_number() OVER (ORDER BY f.number) AS along, count(*) OVER () AS of
    FROM f
)
SELECT r.number, r.state FROM r WHERE r.of <= :limit OR r.place <= CAST(:limit AS int) / 3
    OR r.along % (1 + r.of * 3 / (2 * CAST(:limit AS int))) = 0 ORDER BY r.number

-- name: thinned_reports
-- At most about `most` reports a trial, the first and the last among them; of a step reported twice the latest attempt's.
WITH r AS (
    SELECT DISTINCT ON (r.trial, r.step) r.trial, r.step, r.value FROM report r
    WHERE r.study_id = :study AND r.trial = ANY(CAST(:numbers AS int[])) ORDER BY r.trial, r.step, r.attempt DESC
), n AS (
    SELECT r.*, row_number() OVER (PARTITION BY r.trial ORDER BY r.step) AS place, count(*) OVER (PARTITION BY r.trial) AS of FROM r
)
SELECT n.trial, n.step, n.value FROM n
WHERE n.place IN (1, n.of) OR n.place % (1 + n.of / CAST(:most AS int)) = 0 ORDER BY n.trial, n.step

-- name: rung_lines
-- Each rung's newest record, and how many pruned trials came no further.
WITH x AS (
    SELECT r.bracket, r.rung, r.place, r.rung = max(r.rung) OVER (PARTITION BY r.trial) AND t.state = 'PRUNED' AS is_end
    FROM rung r JOIN trial t ON t.study_id = r.study_id AND t.number = r.trial WHERE r.study_id = :study
), g AS (
    SELECT x.bracket, x.rung, max(x.place) AS place, CAST(count(*) FILTER (WHERE x.is_end) AS int) AS stopped FROM x GROUP BY 1, 2
)
SELECT {rung_columns}, g.stopped FROM g JOIN rung r
    ON r.study_id = :study AND r.bracket = g.bracket AND r.rung = g.rung AND r.place = g.place
ORDER BY r.bracket, r.rung

-- name: newest_runs
SELECT a.trial, a.number AS attempt, a.worker, a.device_kind, a.leased_at, a.ended_at, a.outcome, a.fault
FROM attempt a WHERE a.study_id = :study ORDER BY a.leased_at DESC, a.trial DESC LIMIT :limit

-- name: runs_now
SELECT s.name AS study, a.study_id, a.trial, a.number AS attempt, a.worker, a.leased_at, a.last_step, a.last_value
FROM attempt a JOIN study s ON s.id = a.study_id
WHERE a.ended_at IS NULL AND (CAST(:study AS bigint) IS NULL OR a.study_id = :study) ORDER BY a.leased_at, a.trial LIMIT :limit

-- name: drains
SELECT d.host, d.device, d.who, d.at FROM drain d ORDER BY d.host, d.device

-- name: faults_on_slots
SELECT a.worker, a.fault, CAST(count(*) AS int) AS faults, max(a.ended_at) AS last_at
FROM study s JOIN attempt a ON a.study_id = s.id
WHERE (s.ended_at IS NULL OR s.ended_at > :since) AND a.fault IS NOT NULL AND a.ended_at > :since GROUP BY 1, 2 ORDER BY 1, 2

-- phrase: said
ch.evidence #> '{gate,said}'

-- name: night_cells
-- A firing with what its own test said.
SELECT f.id, f.name, f.schedule, f.slice, f.due_at, f.by_hand, f.state, f.reason, f.entered_at, ch.gain, ch.low, ch.high,
    ch.trial, ch.study, coalesce(ch.awaits, false) AS awaits
FROM firing f LEFT JOIN LATERAL (
    SELECT CAST({said} ->> 'gain' AS float8) AS gain, CAST({said} #>> '{interval,0}' AS float8) AS low,
        CAST({said} #>> '{interval,1}' AS float8) AS high, ch.trial, ch.study, ch.awaits
    FROM champion ch WHERE ch.firing_id = f.id AND ch.kind = 'night' LIMIT 1
) ch ON true
WHERE f.schedule = :schedule AND f.due_at >= :since ORDER BY f.due_at DESC, f.id DESC LIMIT :limit

-- name: nights_version
-- Another whenever a night of the schedule may look another: a firing has moved, a verdict or a delivery has come or is done.
SELECT concat_ws(' ',
    (SELECT max(f.entered_at) FROM firing f WHERE f.schedule = :schedule),
    (SELECT max(ch.id) FROM champion ch WHERE ch.schedule = :schedule),
    (SELECT concat_ws(' ', count(*), max(d.next_at), max(d.done_at)) FROM delivery d WHERE d.schedule = :schedule)) AS version

-- name: champion_lines
SELECT DISTINCT ON (ch.schedule, ch.slice) ch.id, ch.schedule, ch.slice, ch.study, ch.trial, ch.score, ch.params, ch.decided_at,
    ch.kind, ch.who, ch.before_id, ch.reason
FROM champion ch WHERE ch.promoted AND (CAST(:schedule AS text) IS NULL OR ch.schedule = :schedule)
ORDER BY ch.schedule, ch.slice, ch.id DESC

-- name: unanswered
-- What waits for a person: the newest verdict of its slice that asks for one, and that nobody has answered.
SELECT ch.id, ch.schedule, ch.slice, ch.study, ch.trial, ch.score, ch.params, ch.decided_at, ch.kind, ch.who, ch.before_id, ch.reason
FROM champion ch WHERE ch.awaits AND NOT EXISTS (
    SELECT 1 FROM champion l WHERE l.schedule = ch.schedule AND l.slice = ch.slice AND l.id > ch.id
        AND (l.awaits OR l.kind IN ('approved', 'rejected')))
ORDER BY ch.id DESC

