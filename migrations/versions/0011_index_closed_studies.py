"""Index the closed studies of schedules, so that a tick finds one that has no verdict."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the index."""
    op.execute("CREATE INDEX ix_study_closed ON study (ended_at) WHERE schedule IS NOT NULL AND ended_at IS NOT NULL")
