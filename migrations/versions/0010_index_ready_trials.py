"""Index the trials that a ticket may be sent for, so that a turn finds them among thousands that run."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the index."""
    op.execute("CREATE INDEX ix_trial_ready ON trial (study_id, state, number) WHERE state IN ('PAUSED', 'WAITING')")
