"""Add to each device how often its node speaks: one that speaks seldom is not dead between two words."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column; rows from before have the interval that nodes had by default."""
    op.add_column("device", sa.Column("heartbeat_s", sa.Double(), server_default="5", nullable=False))
