"""Find the waiting points that were proposed from outside, which run first, by an index of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """None waits yet: the index is empty."""
    op.create_index(
        op.f("ix_trial_proposed"),
        "trial",
        ["study_id", "number"],
        postgresql_where=sa.text("state = 'WAITING' AND source = 'proposed'"),
    )
