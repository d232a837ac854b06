"""Number the firings that people make, apart from the clock's own: neither takes the place of the other.

Each firing may also carry a note for its schedule's history. Firings from before count as the clock's own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns, and the number to the key."""
    op.add_column("firing", sa.Column("by_hand", sa.Integer(), server_default="0", nullable=False))
    op.add_column("firing", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.drop_constraint("pk_firing", "firing", type_="primary")
    op.create_primary_key("pk_firing", "firing", ["schedule", "slice", "due_at", "by_hand"])
