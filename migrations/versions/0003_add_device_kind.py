"""Add to each attempt the kind of device that it ran on: what is learned of memory holds for a kind.

Attempts from before stay of no known kind: a device's row may be gone or changed by now, and what was suggested
without the kinds must come out the same when it is asked again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; no row is rewritten."""
    op.add_column("attempt", sa.Column("device_kind", sa.Text(), server_default="", nullable=False))
