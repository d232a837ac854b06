-- Lists of the API and the board: paged by a place in their order, filtered and thinned here.

-- name: trials_page
-- By number; `down`: the newest first.
SELECT {trial_columns} FROM trial t {newest_attempt} WHERE t.study_id = :study {of_trials}
    AND t.number > CAST(:after AS int) AND t.number < CAST(:before AS int)
ORDER BY t.number {down} LIMIT :limit

-- name: trials_by_score
-- The best first; those without a score are in no place.
SELECT {trial_columns} FROM trial t {newest_attempt} WHERE t.study_id = :study AND t.score IS NOT NULL {of_trials}
    AND (CAST(:score AS float8) IS NULL OR (t.score * {sign}, t.number) > (CAST(:score AS float8) * {sign}, CAST(:number AS int)))
ORDER BY t.score * {sign}, t.number LIMIT :limit

-- phrase: of_trials
AND (CAST(:states AS text[]) IS NULL OR t.state = ANY(:states))
    AND (CAST(:sources AS text[]) IS NULL OR t.source = ANY(:sources))
    AND (CAST(:faults AS text[]) IS NULL OR t.fault = ANY(:faults))
    AND (CAST(:min_score AS float8) IS NULL OR t.score >= :min_score)
    AND (CAST(:max_score AS float8) IS NULL OR t.score <= :max_score)

-- name: sampled_reports
-- Of each trial at most so many points, evenly by their places, its first and its last among them. A later attempt's value wins at
-- the same step.
SELECT p.trial, p.step, p.value, p.metrics, p.at FROM (
    SELECT r.*, row_number() OVER w AS place, count(*) OVER (PARTITION BY r.trial) AS of FROM (
        SELECT DISTINCT ON (r.trial, r.step) r.trial, r.attempt, r.step, r.value, r.metrics, r.at FROM report r
        WHERE r.study_id = :study AND r.trial = ANY(CAST(:numbers AS int[]))
            AND (CAST(:attempt AS int) IS NULL OR r.attempt = :attempt)
        ORDER BY r.trial, r.step, r.attempt DESC
    ) r WINDOW w AS (PARTITION BY r.trial ORDER BY r.step)
) p WHERE p.of <= CAST(:points AS int) OR p.place = p.of
    OR (p.place - 1) % CAST(ceil(CAST(p.of AS float8) / greatest(1, CAST(:points AS int) - 1)) AS bigint) = 0
ORDER BY p.trial, p.step

-- name: firings_by_id
SELECT {firing_columns} FROM firing f WHERE f.id = ANY(CAST(:ids AS bigint[])) ORDER BY f.id

-- name: attempts_page
SELECT {attempt_columns} FROM attempt a WHERE a.study_id = :study
    AND (CAST(:numbers AS int[]) IS NULL OR a.trial = ANY(CAST(:numbers AS int[])))
    AND (a.trial, a.number) > (CAST(:trial AS int), CAST(:number AS int))
ORDER BY a.trial, a.number LIMIT :limit

-- name: reports_page
-- By trial and step, through the key (study_id, trial, attempt, step) a trial at a time, so that a page reads no more trials than it
-- shows. A later attempt's value wins at the same step.
SELECT t.number AS trial, r.step, r.value, r.metrics, r.at FROM trial t CROSS JOIN LATERAL (
    SELECT DISTINCT ON (r.step) r.step, r.value, r.metrics, r.at FROM report r
    WHERE r.study_id = t.study_id AND r.trial = t.number AND (t.number > CAST(:trial AS int) OR r.step > CAST(:step AS bigint))
    ORDER BY r.step, r.attempt DESC
) r WHERE t.study_id = :study AND t.attempts > 0 AND t.number >= CAST(:trial AS int)
    AND (CAST(:numbers AS int[]) IS NULL OR t.number = ANY(CAST(:numbers AS int[])))
ORDER BY t.number, r.step LIMIT :limit

-- name: begin_request
-- One that was begun a minute ago and never answered was lost with its process: it is begun again.
INSERT INTO web_request AS w (token, key, asked) VALUES (:token, :key, :asked)
ON CONFLICT (token, key) DO UPDATE SET at = clock_timestamp()
WHERE w.asked = excluded.asked AND w.status IS NULL AND w.at < clock_timestamp() - interval '1 minute'
RETURNING 1 AS begun

-- name: request
SELECT asked, status, answer FROM web_request WHERE token = :token AND key = :key

-- name: end_request
UPDATE web_request SET status = :status, answer = CAST(:answer AS bytea) WHERE token = :token AND key = :key

-- name: forget_request
DELETE FROM web_request WHERE token = :token AND key = :key

-- name: forget_old_requests
DELETE FROM web_request WHERE at < clock_timestamp() - interval '1 day'

-- name: look_on
INSERT INTO web_viewer (id, until) VALUES (:viewer, clock_timestamp() + make_interval(secs => :for_s))
ON CONFLICT (id) DO UPDATE SET until = excluded.until

-- name: look_away
DELETE FROM web_viewer WHERE id = :viewer OR until < clock_timestamp()

-- name: listen
LISTEN celeriac_study
