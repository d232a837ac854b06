"""Keep which past nights of a schedule somebody wants run, until all of them have ended."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Nobody has asked for any. One is open a schedule at most."""
    op.create_table(
        "replay",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("asked_at", Instant, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("ended_at", Instant),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replay")),
    )
    op.create_index(
        op.f("ix_replay_open"), "replay", ["schedule"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index(op.f("ix_replay_newest"), "replay", ["schedule", "id"])
