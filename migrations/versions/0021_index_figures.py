"""Count failed trials by the class of their fault, and find recent attempts, without reading either table whole."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """A small index of failed trials; and a BRIN index, which holds a few numbers for each megabyte of attempts."""
    op.create_index(op.f("ix_trial_failed"), "trial", ["fault"], postgresql_where=sa.text("state = 'FAILED'"))
    op.create_index(op.f("ix_attempt_leased"), "attempt", ["leased_at"], postgresql_using="brin")
