"""Index the verdicts of a slice: each night reads those of its own slice alone, however many slices there are."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the index; no row is rewritten."""
    op.create_index("ix_champion_slice", "champion", ["schedule", "slice", "id"])
