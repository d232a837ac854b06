-- The outbox: what is to be done outside the database. Of each promotion: publish it, then run its schedule's hook. Of each night whose
-- schedule says so: send its morning. A try is known by its number, so whoever lost it to another can neither keep it nor end it.

-- name: note_promotions
-- What no row says yet. It follows from the verdicts alone, so that no crash between a promotion and this loses one. Each tick asks it:
-- looked at are the verdicts since the newest that was noted, and the 1,000 before it, for verdicts may be committed in another order
-- than they are numbered. The upper bounds bound nothing, but make the planner expect few rows, and take the indices.
INSERT INTO delivery (kind, schedule, promotion)
WITH first AS MATERIALIZED (
    SELECT id, id + 4611686018427387904 AS beyond FROM (SELECT coalesce(max(promotion), 0) - 1000 AS id FROM delivery) n
)
SELECT k.kind, ch.schedule, ch.id FROM champion ch CROSS JOIN (VALUES ('publish'), ('hook')) AS k(kind)
WHERE ch.promoted AND ch.id > (SELECT id FROM first) AND ch.id < (SELECT beyond FROM first) AND NOT EXISTS (
    SELECT 1 FROM delivery d WHERE d.promotion = ch.id AND d.kind = k.kind
        AND d.promotion > (SELECT id FROM first) AND d.promotion < (SELECT beyond FROM first))
ORDER BY ch.id, k.kind ON CONFLICT DO NOTHING

-- name: note_nights
-- A firing's name ends with its night. It follows from the firings alone, so that no crash between their end and this loses one. One that
-- waits for a person holds nothing up: that person is told by the morning. Each tick asks it: those of the last days are found by an
-- index, apart from the join, for which Postgres could choose to read all that a schedule has ever had.
INSERT INTO delivery (kind, schedule, night)
WITH recent AS MATERIALIZED (
    SELECT f.schedule, f.by_hand, {is_working} AND NOT EXISTS (
            SELECT 1 FROM study s WHERE s.firing_id = f.id AND s.state = 'PAUSED') AS goes_on,
        substring(f.name FROM '/([0-9]+-[0-9][0-9]-[0-9][0-9](T[0-9][0-9]:[0-9][0-9](-again)?)?)(-[0-9]+)?$') AS night
    FROM firing f WHERE {is_working} OR f.entered_at > (SELECT clock_timestamp()) - interval '3 days'
)
SELECT 'morning', f.schedule, f.night FROM recent f JOIN schedule sc ON sc.name = f.schedule
WHERE f.by_hand = 0 AND sc.spec #> '{schedule,morning}' IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.schedule = f.schedule AND d.night = f.night)
GROUP BY f.schedule, f.night
HAVING NOT bool_or(f.goes_on)
ON CONFLICT DO NOTHING

-- name: due_deliveries
{deliveries} WHERE d.done_at IS NULL AND d.next_at <= clock_timestamp() AND (d.kind <> 'hook' OR EXISTS (
    SELECT 1 FROM delivery p WHERE p.promotion = d.promotion AND p.kind = 'publish' AND p.done_at IS NOT NULL))
ORDER BY d.promotion NULLS LAST, d.kind DESC, d.night, d.schedule LIMIT :limit

-- name: deliveries_of
{deliveries} WHERE d.schedule = :schedule ORDER BY d.id DESC LIMIT :limit

-- phrase: deliveries
SELECT d.id, d.kind, d.schedule, coalesce(ch.slice, jsonb_build_object()) AS slice, d.promotion, coalesce(d.night, '') AS night,
    d.tries, d.next_at, d.done_at, d.detail
FROM delivery d LEFT JOIN champion ch ON ch.id = d.promotion

-- name: claim_delivery
UPDATE delivery SET tries = tries + 1, next_at = clock_timestamp() + make_interval(secs => :for_s)
WHERE id = :delivery AND done_at IS NULL AND next_at <= clock_timestamp() RETURNING tries

-- name: renew_delivery
UPDATE delivery SET next_at = clock_timestamp() + make_interval(secs => :for_s)
WHERE id = :delivery AND tries = :number AND done_at IS NULL RETURNING id

-- name: end_delivery
UPDATE delivery SET detail = :detail,
    done_at = CASE WHEN CAST(:again_s AS float8) IS NULL THEN clock_timestamp() END,
    next_at = clock_timestamp() + make_interval(secs => coalesce(CAST(:again_s AS float8), 0))
WHERE id = :delivery AND tries = :number AND done_at IS NULL RETURNING id

-- name: publication
-- The model is the search's own where that kept one, else that of the first run of these parameters in the firing that judged them:
-- also for what a person approves or rolls back to, which an earlier firing has judged.
SELECT ch.schedule, ch.slice, ch.id AS version, ch.study, ch.trial, ch.params, ch.score, ch.metrics, ch.reason, ch.decided_at,
    coalesce(m.fingerprint, (
        SELECT a.fingerprint FROM attempt a WHERE a.study_id = ch.study_id AND a.trial = ch.trial ORDER BY a.number DESC LIMIT 1
    ), '') AS code, m.model,
    json_build_object('kind', ch.kind, 'who', ch.who, 'before', ch.before_id, 'evidence', ch.evidence) AS more
FROM champion ch LEFT JOIN LATERAL (
    SELECT t.model, a.fingerprint FROM study s JOIN trial t ON t.study_id = s.id
    LEFT JOIN attempt a ON a.study_id = t.study_id AND a.trial = t.number AND a.number = t.attempts
    WHERE t.model IS NOT NULL AND (
        s.id = ch.study_id AND t.number = ch.trial
        OR s.stage = 'confirm' AND CAST(t.params AS jsonb) = CAST(ch.params AS jsonb))
    AND s.id IN (
        SELECT ch.study_id UNION ALL SELECT c.id FROM study c WHERE c.stage = 'confirm' AND c.firing_id IN (
            SELECT e.firing_id FROM champion e
            WHERE e.study_id = ch.study_id AND e.trial = ch.trial AND e.firing_id IS NOT NULL))
    ORDER BY s.id = ch.study_id DESC, s.id, t.number LIMIT 1
) m ON true
WHERE ch.id = :promotion
