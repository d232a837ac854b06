"""Create the tables: studies, trials, attempts and what they leave; devices; schedules, firings and champions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


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
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("goal", sa.Text(), nullable=False),
        sa.Column("parallel", sa.Integer(), nullable=True),
        sa.Column("code_root", sa.Text(), server_default="", nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="OPEN", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("running", sa.Integer(), server_default="0", nullable=False),
        sa.Column("paused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scored", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pruned", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("best_number", sa.Integer(), nullable=True),
        sa.Column("best_score", sa.Double(), nullable=True),
        sa.Column("device_s", sa.Double(), server_default="0", nullable=False),
        sa.Column("schedule", sa.Text(), nullable=True),
        sa.Column("slice", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True),
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
    op.create_index(
        "ix_study_schedule", "study", ["schedule", "id"], unique=False, postgresql_where=sa.text("schedule IS NOT NULL")
    )
    op.create_index(
        "ix_study_to_drive", "study", ["id"], unique=False, postgresql_where=sa.text("state IN ('OPEN', 'RUNNING')")
    )


def _trial() -> None:
    op.create_table(
        "trial",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("why", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("metrics", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("faults", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("signature", sa.Text(), server_default="", nullable=False),
        sa.Column("worker", sa.Text(), server_default="", nullable=False),
        sa.Column("ended_no", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
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
    op.create_index(
        "ix_trial_open", "trial", ["study_id", "number"], unique=False, postgresql_where=sa.text("ended_no IS NULL")
    )
    op.create_index(
        "ix_trial_queued", "trial", ["queued_at"], unique=False, postgresql_where=sa.text("state = 'QUEUED'")
    )


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_s", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("traceback", sa.Text(), server_default="", nullable=False),
        sa.Column("device_s", sa.Double(), server_default="0", nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("resumed_step", sa.BigInteger(), nullable=True),
        sa.Column("log_path", sa.Text(), server_default="", nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("last_value", sa.Double(), nullable=True),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("late", sa.JSON(), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name=op.f("ck_attempt_outcome")),
        sa.ForeignKeyConstraint(["study_id", "trial"], ["trial.study_id", "trial.number"], name="fk_attempt_trial"),
        sa.PrimaryKeyConstraint("study_id", "trial", "number", name="pk_attempt"),
        sa.UniqueConstraint("token", name="uq_attempt_token"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_attempt_open", "attempt", ["study_id", "trial"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index(
        "ix_attempt_open_worker", "attempt", ["worker"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )


def _attempt_log() -> None:
    op.create_table(
        "attempt_log",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id", "trial", "attempt"],
            ["attempt.study_id", "attempt.trial", "attempt.number"],
            name="fk_attempt_log_attempt",
        ),
        sa.PrimaryKeyConstraint("study_id", "trial", "attempt", name="pk_attempt_log"),
    )


def _report() -> None:
    op.create_table(
        "report",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("metrics", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id", "trial", "attempt"],
            ["attempt.study_id", "attempt.trial", "attempt.number"],
            name="fk_report_attempt",
        ),
        sa.PrimaryKeyConstraint("study_id", "trial", "step", "attempt", name="pk_report"),
    )


def _checkpoint() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id", "trial", "attempt"],
            ["attempt.study_id", "attempt.trial", "attempt.number"],
            name="fk_checkpoint_attempt",
        ),
        sa.PrimaryKeyConstraint("study_id", "trial", "step", "attempt", name="pk_checkpoint"),
    )


def _device() -> None:
    op.create_table(
        "device",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("health", sa.Text(), server_default="", nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("host", "uuid", name="pk_device"),
    )


def _schedule() -> None:
    op.create_table(
        "schedule",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("slices", sa.JSON(), nullable=False),
        sa.Column("code_root", sa.Text(), server_default="", nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("next_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_schedule"),
    )


def _firing() -> None:
    op.create_table(
        "firing",
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("slice", JSONB(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_firing_study"),
        sa.PrimaryKeyConstraint("schedule", "slice", "due_at", name="pk_firing"),
        sa.UniqueConstraint("study_id", name="uq_firing_study_id"),
    )


def _champion() -> None:
    op.create_table(
        "champion",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("slice", JSONB(), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=True),
        sa.Column("params", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("default_score", sa.Double(), nullable=True),
        sa.Column("metrics", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "decided_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_champion_study"),
        sa.PrimaryKeyConstraint("study_id", name="pk_champion"),
    )
    op.create_index(
        "ix_champion_newest",
        "champion",
        ["schedule", "slice", "id"],
        unique=False,
        postgresql_where=sa.text("promoted"),
    )
    op.create_index("ix_champion_verdicts", "champion", ["schedule", "id"], unique=False)
