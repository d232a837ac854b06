"""Add when a person last wanted a closed study to go on: what had ended it does not end it again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column; no row is rewritten."""
    op.add_column("study", sa.Column("reopened_at", sa.DateTime(timezone=True)))
