"""Add the rungs: each trial's value where it may be stopped early."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table with the two orders that a rung is read in: by arrival, and by value."""
    op.create_table(
        "rung",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("rung", sa.BigInteger(), nullable=False),
        sa.Column("bracket", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("resource", sa.Double(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("cutoff", sa.Double(), nullable=False),
        sa.Column("cutoff_place", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("value - value = 0", name=op.f("ck_rung_value_finite")),
        sa.ForeignKeyConstraint(
            ["study_id", "trial", "attempt"],
            ["attempt.study_id", "attempt.trial", "attempt.number"],
            name="fk_rung_attempt",
        ),
        sa.PrimaryKeyConstraint("study_id", "trial", "rung", name="pk_rung"),
    )
    op.create_index("ix_rung_place", "rung", ["study_id", "bracket", "rung", "place"], unique=True)
    op.create_index("ix_rung_loss", "rung", ["study_id", "bracket", "rung", "loss", "place"])
