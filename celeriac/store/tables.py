"""The tables, and nothing that speaks to them. Rule: `migrations/` makes exactly these; a test compares the two.

`json` keeps what a user wrote as it was written: the order of keys and the digits of numbers (`jsonb` reads 1e22 back
as a whole number and sorts a space's parameters by length). `jsonb` is used where the database itself compares or
edits a value.

Fill factors leave room in a page for the rows that change often, so that a heartbeat rewrites no index (HOT update):
for the same reason `lease_until` has no index; the open attempts are few and have one of their own.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime(timezone=True)


def _counter(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _words(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _of_attempt() -> tuple[Column[int], Column[int], Column[int], ForeignKeyConstraint]:
    """Whose attempt's a row is."""
    return (
        Column("study_id", BigInteger, nullable=False),
        Column("trial", Integer, nullable=False),
        Column("attempt", Integer, nullable=False),
        ForeignKeyConstraint(["study_id", "trial", "attempt"], ["attempt.study_id", "attempt.trial", "attempt.number"]),
    )


def _object(name: str, kind: type[JSON] | type[JSONB] = JSON) -> Column[object]:
    return Column(name, kind, nullable=False, server_default=text("'{}'"))


study = Table(
    "study",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("spec", JSON, nullable=False),
    Column("goal", Text, nullable=False),
    Column("parallel", Integer),
    _words("code_root"),
    _words("fingerprint"),
    Column("state", Text, nullable=False, server_default="OPEN"),
    _words("reason"),
    Column("turn", BigInteger, nullable=False, server_default="0"),
    Column("next_number", Integer, nullable=False, server_default="0"),
    *map(_counter, ("waiting", "queued", "running", "paused", "scored", "pruned", "failed", "cancelled")),
    Column("best_number", Integer),
    Column("best_score", Double),
    Column("device_s", Double, nullable=False, server_default="0"),
    Column("schedule", Text),
    _object("slice", JSONB),
    Column("due_at", Instant),
    Column("created_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("resumed_at", Instant),
    Column("first_leased_at", Instant),
    Column("paused_at", Instant),
    Column("paused_s", Double, nullable=False, server_default="0"),
    Column("reopened_at", Instant),
    Column("logs_pruned_at", Instant),
    Column("firing_id", BigInteger, ForeignKey("firing.id")),
    Column("stage", Text),
    CheckConstraint("least(waiting, queued, running, paused, scored, pruned, failed, cancelled) >= 0", name="counters"),
    CheckConstraint("goal IN ('maximize', 'minimize')", name="goal"),
    CheckConstraint("state IN ('OPEN', 'RUNNING', 'PAUSED', 'DONE', 'STOPPED', 'FAILED')", name="state"),
    CheckConstraint("stage IN ('look', 'search', 'confirm')", name="stage"),
    CheckConstraint("(stage IS NULL) = (firing_id IS NULL)", name="firing"),
    Index("ix_study_stage", "firing_id", "stage", unique=True, postgresql_where=text("firing_id IS NOT NULL")),
    Index("ix_study_open", "id", postgresql_where=text("state IN ('OPEN', 'RUNNING', 'PAUSED')")),
    Index("ix_study_closed", "ended_at", postgresql_where=text("schedule IS NOT NULL AND ended_at IS NOT NULL")),
    Index("ix_study_schedule", "schedule", "id", postgresql_where=text("schedule IS NOT NULL")),
    postgresql_with={"fillfactor": 50},
)

trial = Table(
    "trial",
    metadata,
    Column("study_id", BigInteger, ForeignKey("study.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("params", JSON, nullable=False),
    Column("state", Text, nullable=False, server_default="WAITING"),
    Column("source", Text, nullable=False),
    _object("why"),
    Column("score", Double),
    _object("metrics"),
    Column("step", BigInteger),
    Column("holdout", JSON, nullable=False, server_default=text("'[]'")),
    Column("drift", Double),
    Column("seed", BigInteger),
    Column("model", JSON),
    _counter("attempts"),
    _object("faults", JSONB),
    Column("fault", Text),
    _words("detail"),
    _words("signature"),
    _words("worker"),
    Column("ended_no", Integer),
    Column("created_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("not_before", Instant),
    Column("queued_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    _counter("rerun_after"),
    Column("placed", JSONB),
    PrimaryKeyConstraint("study_id", "number"),
    CheckConstraint(
        "state IN ('WAITING', 'QUEUED', 'RUNNING', 'PAUSED', 'SCORED', 'PRUNED', 'FAILED', 'CANCELLED')", name="state"
    ),
    CheckConstraint("(ended_no IS NULL) = (state IN ('WAITING', 'QUEUED', 'RUNNING', 'PAUSED'))", name="ended_no"),
    CheckConstraint("score - score = 0", name="score_finite"),
    CheckConstraint("state <> 'SCORED' OR score IS NOT NULL", name="scored"),
    Index("ix_trial_open", "study_id", "number", postgresql_where=text("ended_no IS NULL")),
    Index("ix_trial_ended", "study_id", "ended_no", unique=True, postgresql_where=text("ended_no IS NOT NULL")),
    Index("ix_trial_ready", "study_id", "state", "number", postgresql_where=text("state IN ('PAUSED', 'WAITING')")),
    Index("ix_trial_queued", "queued_at", postgresql_where=text("state = 'QUEUED'")),
    Index(
        "ix_trial_placed",
        "study_id",
        "number",
        postgresql_where=text("placed IS NOT NULL AND state IN ('QUEUED', 'RUNNING')"),
    ),
    postgresql_with={"fillfactor": 70},
)

attempt = Table(
    "attempt",
    metadata,
    Column("study_id", BigInteger, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("token", Text, nullable=False, unique=True),
    Column("worker", Text, nullable=False),
    Column("device", Text, nullable=False),
    _words("fingerprint"),
    Column("leased_at", Instant, nullable=False),
    Column("lease_s", Double, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", Text),
    Column("fault", Text),
    _words("detail"),
    _words("traceback"),
    Column("device_s", Double, nullable=False, server_default="0"),
    Column("peak_memory_bytes", BigInteger, nullable=False, server_default="0"),
    Column("resumed_step", BigInteger),
    _words("log_path"),
    Column("last_step", BigInteger),
    Column("last_value", Double),
    _words("digest"),
    Column("late", JSON),
    _words("device_kind"),
    Column("preempted_at", Instant),
    _words("preempt_reason"),
    Column("micro_batch", Integer),
    Column("gpu_peak_bytes", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("study_id", "trial", "number"),
    ForeignKeyConstraint(["study_id", "trial"], ["trial.study_id", "trial.number"]),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="outcome"),
    Index("ix_attempt_open", "study_id", "trial", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("ix_attempt_open_worker", "worker", postgresql_where=text("ended_at IS NULL")),
    postgresql_with={"fillfactor": 70},
)

attempt_log = Table(
    "attempt_log",
    metadata,
    *_of_attempt(),
    Column("tail", Text, nullable=False),
    PrimaryKeyConstraint("study_id", "trial", "attempt"),
)

report = Table(
    "report",
    metadata,
    *_of_attempt(),
    Column("step", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    _object("metrics"),
    Column("at", Instant, nullable=False),
    PrimaryKeyConstraint("study_id", "trial", "step", "attempt"),
)

rung = Table(
    "rung",
    metadata,
    *_of_attempt(),
    Column("rung", BigInteger, nullable=False),
    Column("bracket", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("resource", Double, nullable=False),
    Column("value", Double, nullable=False),
    # The value turned so that less is better, for either goal: what the rung's order is read by.
    Column("loss", Double, nullable=False),
    Column("cutoff", Double, nullable=False),
    Column("cutoff_place", Integer, nullable=False),
    Column("at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    PrimaryKeyConstraint("study_id", "trial", "rung"),
    CheckConstraint("value - value = 0", name="value_finite"),
    Index("ix_rung_place", "study_id", "bracket", "rung", "place", unique=True),
    Index("ix_rung_loss", "study_id", "bracket", "rung", "loss", "place"),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    *_of_attempt(),
    Column("step", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("study_id", "trial", "step", "attempt"),
)

# A slot that has come to a gang for one attempt of a trial. `rank` is set when the round begins; rank 0's token is then
# the attempt's as well. `leaving`: why its worker wants the trial handed back; `grow`: why the round is to make room.
gang_member = Table(
    "gang_member",
    metadata,
    Column("token", Text, primary_key=True),
    Column("study_id", BigInteger, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("device", Text, nullable=False),
    _words("device_kind"),
    Column("address", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("joined_at", Instant, nullable=False),
    Column("lease_s", Double, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("rank", Integer),
    Column("world", Integer),
    _words("leaving"),
    _words("grow"),
    Column("ended_at", Instant),
    Column("fault", Text),
    _words("detail"),
    _words("traceback"),
    _words("signature"),
    ForeignKeyConstraint(["study_id", "trial"], ["trial.study_id", "trial.number"]),
    CheckConstraint("(rank IS NULL) = (world IS NULL)", name="placed"),
    Index("ix_gang_member_attempt", "study_id", "trial", "attempt"),
    Index("ix_gang_member_open", "worker", postgresql_where=text("ended_at IS NULL")),
    postgresql_with={"fillfactor": 70},
)

device = Table(
    "device",
    metadata,
    Column("host", Text, nullable=False),
    Column("uuid", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    _object("labels"),
    Column("slots", JSON, nullable=False),
    _words("fingerprint"),
    _words("health"),
    Column("heartbeat_at", Instant, nullable=False),
    _words("owner"),
    Column("heartbeat_s", Double, nullable=False, server_default="5"),
    PrimaryKeyConstraint("host", "uuid"),
)

# Taken out by a person; device "": all of the host's.
drain = Table(
    "drain",
    metadata,
    Column("host", Text, nullable=False),
    _words("device"),
    _words("who"),
    Column("at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    PrimaryKeyConstraint("host", "device"),
)

# study_id 0: of any study.
put_aside = Table(
    "put_aside",
    metadata,
    Column("worker", Text, nullable=False),
    Column("study_id", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    PrimaryKeyConstraint("worker", "study_id"),
)

reaper = Table(
    "reaper",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("looked_at", Instant, nullable=False),
    Column("before_at", Instant, nullable=False),
    Column("seen_since", Instant, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

duty = Table(
    "duty",
    metadata,
    Column("name", Text, primary_key=True),
    Column("every_s", Double, nullable=False),
    Column("done_at", Instant, nullable=False),
)

schedule = Table(
    "schedule",
    metadata,
    Column("name", Text, primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("slices", JSON, nullable=False),
    _words("code_root"),
    _words("fingerprint"),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False),
)

schedule_slice = Table(
    "schedule_slice",
    metadata,
    Column("schedule", Text, ForeignKey("schedule.name", ondelete="CASCADE"), nullable=False),
    Column("slice", JSONB, nullable=False),
    Column("next_due_at", Instant, nullable=False),
    _words("note"),
    PrimaryKeyConstraint("schedule", "slice"),
    Index("ix_schedule_slice_due", "next_due_at"),
)

# Outlives its schedule.
schedule_edit = Table(
    "schedule_edit",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("schedule", Text, nullable=False),
    Column("at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("changes", JSON, nullable=False),
    _words("reason"),
    Index("ix_schedule_edit_newest", "schedule", "id"),
)

firing = Table(
    "firing",
    metadata,
    Column("id", BigInteger, Identity(), nullable=False),
    Column("name", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("slice", JSONB, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("by_hand", Integer, nullable=False, server_default="0"),
    _words("note"),
    Column("plan", JSON, nullable=False),
    Column("state", Text, nullable=False, server_default="DUE"),
    _words("reason"),
    Column("turn", BigInteger, nullable=False, server_default="0"),
    Column("fired_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("entered_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("steps", JSONB, nullable=False, server_default=text("'[]'")),
    PrimaryKeyConstraint("schedule", "slice", "due_at", "by_hand"),
    UniqueConstraint("id"),
    UniqueConstraint("name"),
    CheckConstraint(
        "state IN ('DUE', 'LOOKING', 'SEARCHING', 'CONFIRMING', 'PROMOTED', 'KEPT', 'SKIPPED', 'FAILED', 'MISSED')",
        name="state",
    ),
    Index("ix_firing_due", "schedule", "due_at"),
    Index("ix_firing_entered", "entered_at"),
    Index("ix_firing_working", "id", postgresql_where=text("state IN ('DUE', 'LOOKING', 'SEARCHING', 'CONFIRMING')")),
)

# The outbox: what is to be done outside the database, of a promotion or of a night.
delivery = Table(
    "delivery",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("promotion", BigInteger, ForeignKey("champion.id")),
    Column("night", Text),
    _counter("tries"),
    Column("next_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("done_at", Instant),
    _words("detail"),
    UniqueConstraint("promotion", "kind"),
    UniqueConstraint("schedule", "night"),
    CheckConstraint("kind IN ('publish', 'hook', 'morning')", name="kind"),
    CheckConstraint(
        "(promotion IS NULL) = (kind = 'morning') AND (night IS NULL) = (kind <> 'morning')", name="subject"
    ),
    Index("ix_delivery_open", "next_at", postgresql_where=text("done_at IS NULL")),
)

champion = Table(
    "champion",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("study_id", BigInteger, ForeignKey("study.id"), nullable=False),
    Column("schedule", Text, nullable=False),
    Column("slice", JSONB, nullable=False),
    Column("study", Text, nullable=False),
    Column("trial", Integer),
    _object("params"),
    Column("score", Double),
    Column("default_score", Double),
    _object("metrics"),
    Column("promoted", Boolean, nullable=False),
    _words("reason"),
    Column("decided_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("firing_id", BigInteger),
    Column("kind", Text, nullable=False, server_default="night"),
    _words("who"),
    Column("before_id", BigInteger),
    Column("awaits", Boolean, nullable=False, server_default=text("false")),
    _object("evidence"),
    CheckConstraint("kind IN ('night', 'approved', 'rejected', 'by hand', 'rollback')", name="kind"),
    Index("ix_champion_newest", "schedule", "slice", "id", postgresql_where=text("promoted")),
    Index("ix_champion_verdicts", "schedule", "id"),
    Index("ix_champion_slice", "schedule", "slice", "id"),
    Index("ix_champion_study", "study_id"),
    # A firing has one verdict of its own, and a champion one successor: so their history is a line.
    Index("ix_champion_firing", "firing_id", unique=True, postgresql_where=text("kind = 'night'")),
    Index(
        "ix_champion_line",
        "schedule",
        "slice",
        text("coalesce(before_id, 0)"),
        unique=True,
        postgresql_where=text("promoted"),
    ),
)
