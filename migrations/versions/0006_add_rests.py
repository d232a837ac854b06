"""Add when a study's first trial was leased and how long it was paused since: the wall budget counts from there,
without the pauses.

A study that has begun already counts on from its start, as it did before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns, fill them for studies that are open, and let the index of open studies know the paused ones."""
    op.add_column("study", sa.Column("first_leased_at", Instant))
    op.add_column("study", sa.Column("paused_at", Instant))
    op.add_column("study", sa.Column("paused_s", sa.Double(), server_default="0", nullable=False))
    op.execute("UPDATE study SET first_leased_at = started_at WHERE state IN ('RUNNING', 'PAUSED')")
    op.execute("UPDATE study SET paused_at = clock_timestamp() WHERE state = 'PAUSED'")
    op.drop_index("ix_study_to_drive", "study")
    op.create_index(
        "ix_study_open", "study", ["id"], postgresql_where=sa.text("state IN ('OPEN', 'RUNNING', 'PAUSED')")
    )
