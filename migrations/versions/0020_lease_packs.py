"""Note which attempts one process ran together, and with how many trials at most a trial of a split pack goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Every attempt until now ran alone."""
    op.add_column("attempt", sa.Column("pack", sa.Text(), server_default="", nullable=False))
    op.add_column("attempt", sa.Column("packed", sa.Integer(), server_default="1", nullable=False))
    op.add_column("attempt", sa.Column("pack_most", sa.Integer()))
    op.add_column("attempt", sa.Column("split_by", sa.Text()))
    op.create_index(
        op.f("ix_attempt_split"), "attempt", ["study_id", "trial"], postgresql_where=sa.text("pack_most IS NOT NULL")
    )
