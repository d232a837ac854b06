"""Note with how many samples at once an attempt ran out of memory, so that the next one takes fewer; and since which
attempt a person has a trial run once more, for whom that counts no longer. No row is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the columns; no attempt has used a batch plan yet."""
    op.add_column("attempt", sa.Column("micro_batch", sa.Integer()))
    op.add_column("trial", sa.Column("rerun_after", sa.Integer(), server_default="0", nullable=False))
