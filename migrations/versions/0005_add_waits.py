"""Add when a trial may run again after a fault, and which slots take no trials for a while: a sick host shall not
drain a study.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the column and the table; no row is rewritten."""
    op.add_column("trial", sa.Column("not_before", Instant))
    op.create_table(
        "put_aside",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.PrimaryKeyConstraint("worker", "study_id", name="pk_put_aside"),
    )
