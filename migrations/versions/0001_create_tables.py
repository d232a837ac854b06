"""Create the tables: studies, trials, attempts and what they leave; devices; schedules, firings and champions."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None

Instant = sa.DateTime(timezone=True)
EMPTY, NOW = sa.text("'{}'"), sa.text("clock_timestamp()")
COUNTERS = ("waiting", "queued", "running", "paused", "scored", "pruned", "failed", "cancelled")


def upgrade() -> None:
    """Make every table, those first that others name."""
    _study()
    _trial()
    _attempt()
    _attempt_log()
    _report()
    _checkpoint()
    _device()
    _schedule()
    _firing()
    _champion()


def _study() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        _full("name", sa.Text),
        _full("spec", sa.JSON),
        _full("goal", sa.Text),
        sa.Column("parallel", sa.Integer),
        _full("code_root", sa.Text, ""),
        _full("fingerprint", sa.Text, ""),
        _full("state", sa.Text, "OPEN"),
        _full("reason", sa.Text, ""),
        _full("turn", sa.BigInteger, "0"),
        _full("next_number", sa.Integer, "0"),
        *(_full(name, sa.Integer, "0") for name in COUNTERS),
        sa.Column("best_number", sa.Integer),
        sa.Column("best_score", sa.Double),
        _full("device_s", sa.Double, "0"),
        sa.Column("schedule", sa.Text),
        _full("slice", JSONB, EMPTY),
        sa.Column("due_at", Instant),
        _full("created_at", Instant, NOW),
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("resumed_at", Instant),
        sa.CheckConstraint("goal IN ('maximize', 'minimize')", name=op.f("ck_study_goal")),
        sa.CheckConstraint(
            "state IN ('OPEN', 'RUNNING', 'PAUSED', 'DONE', 'STOPPED', 'FAILED')", name=op.f("ck_study_state")
        ),
        sa.CheckConstraint(
            "least(waiting, queued, running, paused, scored, pruned, failed, cancelled) >= 0",
            name=op.f("ck_study_counters"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("name", name="uq_study_name"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_study_schedule", "study", ["schedule", "id"], postgresql_where=sa.text("schedule IS NOT NULL"))
    op.create_index("ix_study_to_drive", "study", ["id"], postgresql_where=sa.text("state IN ('OPEN', 'RUNNING')"))


def _trial() -> None:
    op.create_table(
        "trial",
        _full("study_id", sa.BigInteger),
        _full("number", sa.Integer),
        _full("params", sa.JSON),
        _full("state", sa.Text, "WAITING"),
        _full("source", sa.Text),
        _full("why", sa.JSON, EMPTY),
        sa.Column("score", sa.Double),
        _full("metrics", sa.JSON, EMPTY),
        sa.Column("step", sa.BigInteger),
        _full("attempts", sa.Integer, "0"),
        _full("faults", JSONB, EMPTY),
        sa.Column("fault", sa.Text),
        _full("detail", sa.Text, ""),
        _full("signature", sa.Text, ""),
        _full("worker", sa.Text, ""),
        sa.Column("ended_no", sa.Integer),
        _full("created_at", Instant, NOW),
        sa.Column("queued_at", Instant),
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant),
        sa.CheckConstraint(
            "(ended_no IS NULL) = (state IN ('WAITING', 'QUEUED', 'RUNNING', 'PAUSED'))", name=op.f("ck_trial_ended_no")
        ),
        sa.CheckConstraint("state <> 'SCORED' OR score IS NOT NULL", name=op.f("ck_trial_scored")),
        sa.CheckConstraint(
            "state IN ('WAITING', 'QUEUED', 'RUNNING', 'PAUSED', 'SCORED', 'PRUNED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_trial_state"),
        ),
        sa.CheckConstraint("score - score = 0", name=op.f("ck_trial_score_finite")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_trial_study"),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_trial"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_trial_ended",
        "trial",
        ["study_id", "ended_no"],
        unique=True,
        postgresql_where=sa.text("ended_no IS NOT NULL"),
    )
    op.create_index("ix_trial_open", "trial", ["study_id", "number"], postgresql_where=sa.text("ended_no IS NULL"))
    op.create_index("ix_trial_queued", "trial", ["queued_at"], postgresql_where=sa.text("state = 'QUEUED'"))


def _attempt() -> None:
    op.create_table(
        "attempt",
        _full("study_id", sa.BigInteger),
        _full("trial", sa.Integer),
        _full("number", sa.Integer),
        _full("token", sa.Text),
        _full("worker", sa.Text),
        _full("device", sa.Text),
        _full("fingerprint", sa.Text, ""),
        _full("leased_at", Instant),
        _full("lease_s", sa.Double),
        _full("lease_until", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("outcome", sa.Text),
        sa.Column("fault", sa.Text),
        _full("detail", sa.Text, ""),
        _full("traceback", sa.Text, ""),
        _full("device_s", sa.Double, "0"),
        _full("peak_memory_bytes", sa.BigInteger, "0"),
        sa.Column("resumed_step", sa.BigInteger),
        _full("log_path", sa.Text, ""),
        sa.Column("last_step", sa.BigInteger),
        sa.Column("last_value", sa.Double),
        _full("digest", sa.Text, ""),
        sa.Column("late", sa.JSON),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name=op.f("ck_attempt_outcome")),
        sa.ForeignKeyConstraint(["study_id", "trial"], ["trial.study_id", "trial.number"], name="fk_attempt_trial"),
        sa.PrimaryKeyConstraint("study_id", "trial", "number", name="pk_attempt"),
        sa.UniqueConstraint("token", name="uq_attempt_token"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_attempt_open", "attempt", ["study_id", "trial"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index("ix_attempt_open_worker", "attempt", ["worker"], postgresql_where=sa.text("ended_at IS NULL"))


def _attempt_log() -> None:
    op.create_table(
        "attempt_log",
        *_of_attempt("attempt_log"),
        _full("tail", sa.Text),
        sa.PrimaryKeyConstraint("study_id", "trial", "attempt", name="pk_attempt_log"),
    )


def _report() -> None:
    op.create_table(
        "report",
        *_of_attempt("report"),
        _full("step", sa.BigInteger),
        _full("value", sa.Double),
        _full("metrics", sa.JSON, EMPTY),
        _full("at", Instant),
        sa.PrimaryKeyConstraint("study_id", "trial", "step", "attempt", name="pk_report"),
    )


def _checkpoint() -> None:
    op.create_table(
        "checkpoint",
        *_of_attempt("checkpoint"),
        _full("step", sa.BigInteger),
        _full("path", sa.Text),
        _full("sha256", sa.Text),
        _full("size_bytes", sa.BigInteger),
        sa.PrimaryKeyConstraint("study_id", "trial", "step", "attempt", name="pk_checkpoint"),
    )


def _device() -> None:
    op.create_table(
        "device",
        _full("host", sa.Text),
        _full("uuid", sa.Text),
        _full("kind", sa.Text),
        _full("memory_bytes", sa.BigInteger),
        _full("labels", sa.JSON, EMPTY),
        _full("slots", sa.JSON),
        _full("fingerprint", sa.Text, ""),
        _full("health", sa.Text, ""),
        _full("heartbeat_at", Instant),
        sa.PrimaryKeyConstraint("host", "uuid", name="pk_device"),
    )


def _schedule() -> None:
    op.create_table(
        "schedule",
        _full("name", sa.Text),
        _full("spec", sa.JSON),
        _full("cron", sa.Text),
        _full("timezone", sa.Text),
        _full("slices", sa.JSON),
        _full("code_root", sa.Text, ""),
        _full("fingerprint", sa.Text, ""),
        _full("paused", sa.Boolean, sa.text("false")),
        _full("next_due_at", Instant),
        _full("created_at", Instant),
        sa.PrimaryKeyConstraint("name", name="pk_schedule"),
    )


def _firing() -> None:
    op.create_table(
        "firing",
        _full("schedule", sa.Text),
        _full("slice", JSONB),
        _full("due_at", Instant),
        _full("study_id", sa.BigInteger),
        _full("fired_at", Instant, NOW),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_firing_study"),
        sa.PrimaryKeyConstraint("schedule", "slice", "due_at", name="pk_firing"),
        sa.UniqueConstraint("study_id", name="uq_firing_study_id"),
    )


def _champion() -> None:
    op.create_table(
        "champion",
        _full("study_id", sa.BigInteger),
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        _full("schedule", sa.Text),
        _full("slice", JSONB),
        _full("study", sa.Text),
        sa.Column("trial", sa.Integer),
        _full("params", sa.JSON, EMPTY),
        sa.Column("score", sa.Double),
        sa.Column("default_score", sa.Double),
        _full("metrics", sa.JSON, EMPTY),
        _full("promoted", sa.Boolean),
        _full("reason", sa.Text, ""),
        _full("decided_at", Instant, NOW),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_champion_study"),
        sa.PrimaryKeyConstraint("study_id", name="pk_champion"),
    )
    op.create_index("ix_champion_newest", "champion", ["schedule", "slice", "id"], postgresql_where=sa.text("promoted"))
    op.create_index("ix_champion_verdicts", "champion", ["schedule", "id"])


def _full(name: str, kind: Any, default: Any = None) -> sa.Column[Any]:
    """A column that is never null."""
    return sa.Column(name, kind, server_default=default, nullable=False)


def _of_attempt(table: str) -> tuple[SchemaItem, ...]:
    """Whose attempt's a row of this table is."""
    return (
        _full("study_id", sa.BigInteger),
        _full("trial", sa.Integer),
        _full("attempt", sa.Integer),
        sa.ForeignKeyConstraint(
            ["study_id", "trial", "attempt"],
            ["attempt.study_id", "attempt.trial", "attempt.number"],
            name=f"fk_{table}_attempt",
        ),
    )
