"""Add the reaper's last look: leases are given up only after one whole lease in which the database was seen to
answer.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table; its one row comes with the first look."""
    op.create_table(
        "reaper",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_reaper_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reaper")),
    )
