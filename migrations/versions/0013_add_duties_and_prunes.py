"""Add when the coordinator last did each of its duties, and when a study's logs were pruned.

A host that holds files of those logs deletes them by that.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the table, whose rows come with the first ticks, and the column."""
    op.create_table(
        "duty",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("every_s", sa.Double(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duty")),
    )
    op.add_column("study", sa.Column("logs_pruned_at", sa.DateTime(timezone=True)))
