"""Add API tokens and the board's sessions, answered requests, and announcements of changes while somebody looks on."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

Instant = sa.DateTime(timezone=True)
_NOW = sa.text("clock_timestamp()")

# A notice takes a lock that all of a database's notices share until COMMIT; so none is sent while nobody looks on. Like
# the workers' functions these run as their owner, with a path of names of their own.
_ANNOUNCE = """
CREATE FUNCTION announce_study() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $function$
BEGIN
    IF EXISTS (SELECT 1 FROM web_viewer WHERE until > clock_timestamp()) THEN
        PERFORM pg_notify('celeriac_study', CAST(NEW.id AS text));
    END IF;
    RETURN NULL;
END $function$
"""
_ANNOUNCE_REPORTS = """
CREATE FUNCTION announce_reports() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $function$
BEGIN
    IF EXISTS (SELECT 1 FROM web_viewer WHERE until > clock_timestamp()) THEN
        PERFORM pg_notify('celeriac_study', CAST(study_id AS text)) FROM (SELECT DISTINCT study_id FROM fresh) AS s;
    END IF;
    RETURN NULL;
END $function$
"""


def upgrade() -> None:
    """Nobody has a token yet: `celeriac token create` makes the first, `celeriac up` one for its owner."""
    op.create_table(
        "api_token",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("made_at", Instant, server_default=_NOW, nullable=False),
        sa.Column("used_at", Instant),
        sa.Column("expires_at", Instant),
        sa.Column("revoked_at", Instant),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_api_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_token_digest")),
    )
    op.create_table(
        "web_session",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("opened_at", Instant),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_web_session")),
        sa.ForeignKeyConstraint(
            ["token"], ["api_token.name"], name=op.f("fk_web_session_api_token"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_web_session_token"), "web_session", ["token"])
    op.create_index(op.f("ix_web_session_expires_at"), "web_session", ["expires_at"])
    op.create_table(
        "web_request",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("at", Instant, server_default=_NOW, nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("answer", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("token", "key", name=op.f("pk_web_request")),
    )
    op.create_index(op.f("ix_web_request_at"), "web_request", ["at"])
    op.create_table(
        "web_viewer",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_viewer")),
    )
    op.execute(_ANNOUNCE)
    op.execute(_ANNOUNCE_REPORTS)
    op.execute("REVOKE EXECUTE ON FUNCTION announce_study(), announce_reports() FROM PUBLIC")
    op.execute(
        "CREATE TRIGGER announce_study AFTER INSERT OR UPDATE ON study FOR EACH ROW EXECUTE FUNCTION announce_study()"
    )
    op.execute(
        "CREATE TRIGGER announce_reports AFTER INSERT ON report REFERENCING NEW TABLE AS fresh"
        " FOR EACH STATEMENT EXECUTE FUNCTION announce_reports()"
    )
