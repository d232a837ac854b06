"""Note how a device is used: memory, computing, temperature, as its driver tells them at each heartbeat."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Nobody knows it until the host's next heartbeat; of processors never."""
    op.add_column("device", sa.Column("used_bytes", sa.BigInteger()))
    op.add_column("device", sa.Column("utilisation", sa.Double()))
    op.add_column("device", sa.Column("temperature_c", sa.Integer()))
