"""Of a gang that ran out of memory, note the kind of the device where it did: rank 0 may be on one of another kind."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Until now it was taken for that of rank 0."""
    op.add_column("attempt", sa.Column("short_kind", sa.Text(), server_default="", nullable=False))
