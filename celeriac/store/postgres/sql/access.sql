-- Tokens and sessions: who may ask over the web. A secret is compared by its SHA-256, which is the key of its row.

-- name: add_token
INSERT INTO api_token (name, digest, scopes, expires_at)
VALUES (:name, :digest, CAST(:scopes AS text[]), :expires_at) ON CONFLICT DO NOTHING
RETURNING name, digest, scopes, made_at, used_at, expires_at, revoked_at

-- name: tokens
SELECT name, digest, scopes, made_at, used_at, expires_at, revoked_at FROM api_token ORDER BY name

-- name: token_of
SELECT name, digest, scopes, made_at, used_at, expires_at, revoked_at FROM api_token t
WHERE t.digest = :digest AND {token_holds}

-- name: use_token
-- Written once a minute at most: a reader that polls does not write.
UPDATE api_token SET used_at = clock_timestamp()
WHERE name = :name AND (used_at IS NULL OR used_at < clock_timestamp() - interval '1 minute')

-- name: revoke_token
UPDATE api_token SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE name = :name RETURNING name

-- name: end_sessions_of
DELETE FROM web_session WHERE token = :token

-- name: open_session
INSERT INTO web_session (digest, token, csrf, expires_at, opened_at)
SELECT :digest, t.name, :csrf, clock_timestamp() + make_interval(secs => :for_s),
    CASE WHEN CAST(:is_link AS boolean) THEN NULL ELSE clock_timestamp() END
FROM api_token t WHERE t.name = :token AND {token_holds} RETURNING token

-- name: use_link
-- A link becomes the session that it lets in: whoever comes second finds no link any more.
UPDATE web_session s SET digest = :digest, csrf = :csrf, opened_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => :for_s)
FROM api_token t WHERE s.digest = :link AND s.opened_at IS NULL AND s.expires_at > clock_timestamp()
    AND t.name = s.token AND {token_holds}
RETURNING s.digest, s.token, s.csrf, t.scopes, s.expires_at, s.opened_at

-- name: session_of
SELECT s.digest, s.token, s.csrf, t.scopes, s.expires_at, s.opened_at
FROM web_session s JOIN api_token t ON t.name = s.token
WHERE s.digest = :digest AND s.opened_at IS NOT NULL AND s.expires_at > clock_timestamp() AND {token_holds}

-- name: end_session
DELETE FROM web_session WHERE digest = :digest

-- name: forget_old_sessions
DELETE FROM web_session WHERE expires_at < clock_timestamp()

-- phrase: token_holds
(t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp()))
