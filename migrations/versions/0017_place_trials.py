"""Keep on which devices a trial was placed, what it took of their memory, and which devices were taken out by hand."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """No trial is placed yet, and no device is taken out."""
    op.add_column("trial", sa.Column("placed", JSONB()))
    op.create_index(
        op.f("ix_trial_placed"),
        "trial",
        ["study_id", "number"],
        postgresql_where=sa.text("placed IS NOT NULL AND state IN ('QUEUED', 'RUNNING')"),
    )
    op.add_column("attempt", sa.Column("gpu_peak_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "drain",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), server_default="", nullable=False),
        sa.Column("who", sa.Text(), server_default="", nullable=False),
        sa.Column("at", Instant, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("host", "device", name=op.f("pk_drain")),
    )
