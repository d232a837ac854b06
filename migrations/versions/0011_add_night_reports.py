"""Add the nights that are to be told of, where their schedules say so."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table, empty: no schedule has asked for it yet."""
    op.create_table(
        "night_report",
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("night", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", Instant, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("done_at", Instant),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("schedule", "night", name=op.f("pk_night_report")),
    )
