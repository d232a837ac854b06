"""Index firings by when they are due and when they last moved: each tick asks for the newest of them."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("ix_firing_due", "firing", ["schedule", "due_at"])
    op.create_index("ix_firing_entered", "firing", ["entered_at"])
