"""Keep what a schedule's gate judges by: each trial's hold-out scores by block, its drift, and a seed given for a pair.

No row is rewritten; trials from before have no blocks.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("trial", sa.Column("holdout", sa.JSON(), server_default=sa.text("'[]'"), nullable=False))
    op.add_column("trial", sa.Column("drift", sa.Double()))
    op.add_column("trial", sa.Column("seed", sa.BigInteger()))
