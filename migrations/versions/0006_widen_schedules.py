"""Widen schedules: each slice is due at times of its own, and a schedule's edits are kept.

Each slice of an existing schedule is due when its schedule was. Edits from before are not known.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Move `next_due_at` from the schedule to its slices, and add the table of edits."""
    op.create_table(
        "schedule_slice",
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("slice", JSONB(), nullable=False),
        sa.Column("next_due_at", Instant, nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule"], ["schedule.name"], ondelete="CASCADE", name=op.f("fk_schedule_slice_schedule")
        ),
        sa.PrimaryKeyConstraint("schedule", "slice", name="pk_schedule_slice"),
    )
    op.create_index("ix_schedule_slice_due", "schedule_slice", ["next_due_at"])
    op.execute("""
        INSERT INTO schedule_slice (schedule, slice, next_due_at)
        SELECT sc.name, CAST(CAST(s.slice AS text) AS jsonb), sc.next_due_at FROM schedule sc, json_array_elements(
            CASE json_array_length(sc.slices) WHEN 0 THEN CAST('[{}]' AS json) ELSE sc.slices END) AS s(slice)
        ON CONFLICT DO NOTHING
    """)
    op.drop_column("schedule", "next_due_at")
    op.create_table(
        "schedule_edit",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("at", Instant, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_edit")),
    )
    op.create_index("ix_schedule_edit_newest", "schedule_edit", ["schedule", "id"])
