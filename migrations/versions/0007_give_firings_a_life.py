"""Give firings a life of their own: a state with its reason, and a study for each stage; and champions a record.

A firing no longer is its search's study: studies name their firing and their stage, and the firing keeps what it was
made with, so that a schedule may be edited in the middle of a night. Firings from before are PROMOTED or KEPT by their
verdict. Those without one are SEARCHING, which the next tick moves on; but a search that closed more than 30 days ago,
which no program of before would have judged any more, is KEPT.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"

Instant = sa.DateTime(timezone=True)
STATES = "'DUE', 'LOOKING', 'SEARCHING', 'CONFIRMING', 'PROMOTED', 'KEPT', 'SKIPPED', 'FAILED', 'MISSED'"

FILL = """
    UPDATE firing f SET name = s.name,
        plan = json_build_object('spec', s.spec, 'goal', s.goal, 'parallel', s.parallel, 'code_root', s.code_root,
            'fingerprint', s.fingerprint),
        state = CASE WHEN ch.promoted THEN 'PROMOTED' WHEN ch.study_id IS NOT NULL THEN 'KEPT'
            WHEN s.ended_at < clock_timestamp() - interval '30 days' THEN 'KEPT' ELSE 'SEARCHING' END,
        reason = coalesce(ch.reason, 'fired before firings had a life of their own'),
        entered_at = coalesce(ch.decided_at, f.fired_at)
    FROM study s LEFT JOIN champion ch ON ch.study_id = s.id WHERE s.id = f.study_id
"""
LINE = """
    UPDATE champion ch SET before_id = b.before_id, firing_id = b.firing_id FROM (
        SELECT c.id, f.id AS firing_id, max(c.id) FILTER (WHERE c.promoted) OVER (
            PARTITION BY c.schedule, c.slice ORDER BY c.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before_id FROM champion c LEFT JOIN firing f ON f.study_id = c.study_id
    ) b WHERE b.id = ch.id
"""


def upgrade() -> None:
    """Add the columns, fill them from the studies and verdicts that are there, and tie studies to their firings."""
    op.add_column("study", sa.Column("firing_id", sa.BigInteger()))
    op.add_column("study", sa.Column("stage", sa.Text()))
    _firings()
    _champions()
    op.drop_constraint("uq_firing_study_id", "firing", type_="unique")
    op.drop_column("firing", "study_id")
    op.create_foreign_key(op.f("fk_study_firing"), "study", "firing", ["firing_id"], ["id"])
    op.create_check_constraint("stage", "study", "stage IN ('look', 'search', 'confirm')")
    op.create_check_constraint("firing", "study", "(stage IS NULL) = (firing_id IS NULL)")
    op.execute("CREATE UNIQUE INDEX ix_study_stage ON study (firing_id, stage) WHERE firing_id IS NOT NULL")


def _firings() -> None:
    op.add_column("firing", sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False))
    op.create_unique_constraint(op.f("uq_firing_id"), "firing", ["id"])
    op.add_column("firing", sa.Column("name", sa.Text()))
    op.add_column("firing", sa.Column("plan", sa.JSON()))
    op.add_column("firing", sa.Column("state", sa.Text(), server_default="DUE", nullable=False))
    op.add_column("firing", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    op.add_column("firing", sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False))
    now = sa.text("clock_timestamp()")
    op.add_column("firing", sa.Column("entered_at", Instant, server_default=now, nullable=False))
    op.add_column("firing", sa.Column("steps", JSONB(), server_default=sa.text("'[]'"), nullable=False))
    op.execute(FILL)
    op.execute("UPDATE study s SET firing_id = f.id, stage = 'search' FROM firing f WHERE f.study_id = s.id")
    op.alter_column("firing", "name", nullable=False)
    op.alter_column("firing", "plan", nullable=False)
    op.create_unique_constraint(op.f("uq_firing_name"), "firing", ["name"])
    op.create_check_constraint("state", "firing", f"state IN ({STATES})")
    op.execute(
        "CREATE INDEX ix_firing_working ON firing (id) WHERE state IN ('DUE', 'LOOKING', 'SEARCHING', 'CONFIRMING')"
    )


def _champions() -> None:
    op.add_column("champion", sa.Column("firing_id", sa.BigInteger()))
    op.add_column("champion", sa.Column("kind", sa.Text(), server_default="night", nullable=False))
    op.add_column("champion", sa.Column("who", sa.Text(), server_default="", nullable=False))
    op.add_column("champion", sa.Column("before_id", sa.BigInteger()))
    op.add_column("champion", sa.Column("awaits", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("champion", sa.Column("evidence", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    op.execute(LINE)
    op.drop_constraint("pk_champion", "champion", type_="primary")
    op.create_primary_key("pk_champion", "champion", ["id"])
    op.create_check_constraint("kind", "champion", "kind IN ('night', 'approved', 'rejected', 'by hand', 'rollback')")
    op.execute("CREATE INDEX ix_champion_study ON champion (study_id)")
    op.execute("CREATE UNIQUE INDEX ix_champion_firing ON champion (firing_id) WHERE kind = 'night'")
    op.execute(
        "CREATE UNIQUE INDEX ix_champion_line ON champion (schedule, slice, (coalesce(before_id, 0))) WHERE promoted"
    )
