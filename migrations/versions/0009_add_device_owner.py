"""Add to each device the mark of the host that wrote it. From here on a database has the functions that workers call.

These are made after each migration, from `celeriac/store/postgres/sql`, and not here: they are what this program says,
whatever the database was before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; no row is rewritten, and a row without an owner is the next writer's."""
    op.add_column("device", sa.Column("owner", sa.Text(), server_default="", nullable=False))
