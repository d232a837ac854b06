"""Keep that a running attempt was asked to hand itself back, when and why. No row is rewritten."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns; nobody has asked yet."""
    op.add_column("attempt", sa.Column("preempted_at", sa.DateTime(timezone=True)))
    op.add_column("attempt", sa.Column("preempt_reason", sa.Text(), server_default="", nullable=False))
