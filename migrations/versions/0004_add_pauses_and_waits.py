"""Add what a long life needs: pauses that cost no budget, waits after faults, slots put aside, firings by hand.

And the reaper's last look, when each duty of the coordinator was done, when logs were pruned, and whose a device is.
From here on a database has the functions that workers call. They are made after each migration, from
`celeriac/store/postgres/sql`, and not here: they are what this program says, whatever the database was before. No row
of trials or attempts is rewritten. Firings from before are the clock's own; a device without an owner is the next
writer's; a study that has begun already counts on from its start.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns, tables and indexes."""
    _studies()
    op.add_column("trial", sa.Column("not_before", Instant))
    op.execute("CREATE INDEX ix_trial_ready ON trial (study_id, state, number) WHERE state IN ('PAUSED', 'WAITING')")
    op.add_column("device", sa.Column("owner", sa.Text(), server_default="", nullable=False))
    op.add_column("device", sa.Column("heartbeat_s", sa.Double(), server_default="5", nullable=False))
    op.add_column("firing", sa.Column("by_hand", sa.Integer(), server_default="0", nullable=False))
    op.add_column("firing", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.drop_constraint("pk_firing", "firing", type_="primary")
    op.create_primary_key("pk_firing", "firing", ["schedule", "slice", "due_at", "by_hand"])
    op.create_table(
        "put_aside",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.PrimaryKeyConstraint("worker", "study_id", name="pk_put_aside"),
    )
    op.create_table(
        "reaper",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("looked_at", Instant, nullable=False),
        sa.Column("before_at", Instant, nullable=False),
        sa.Column("seen_since", Instant, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_reaper_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reaper")),
    )
    op.create_table(
        "duty",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("every_s", sa.Double(), nullable=False),
        sa.Column("done_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duty")),
    )


def _studies() -> None:
    for name in ("first_leased_at", "paused_at", "reopened_at", "logs_pruned_at"):
        op.add_column("study", sa.Column(name, Instant))
    op.add_column("study", sa.Column("paused_s", sa.Double(), server_default="0", nullable=False))
    op.execute("UPDATE study SET first_leased_at = started_at WHERE state IN ('RUNNING', 'PAUSED')")
    op.execute("UPDATE study SET paused_at = clock_timestamp() WHERE state = 'PAUSED'")
    op.drop_index("ix_study_to_drive", "study")
    op.execute("CREATE INDEX ix_study_open ON study (id) WHERE state IN ('OPEN', 'RUNNING', 'PAUSED')")
    op.execute("CREATE INDEX ix_study_closed ON study (ended_at) WHERE schedule IS NOT NULL AND ended_at IS NOT NULL")
