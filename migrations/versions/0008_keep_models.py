"""Keep where a trial's model lies: its path below the artefact root, its hash and its size. No row is rewritten."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column."""
    op.add_column("trial", sa.Column("model", sa.JSON()))
