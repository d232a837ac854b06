"""Schedules, their firings, and what became of them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from celeriac.store.tables.columns import Instant, counter, json_object, metadata, words

schedule = Table(
    "schedule",
    metadata,
    Column("name", Text, primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("slices", JSON, nullable=False),
    words("code_root"),
    words("fingerprint"),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False),
)

schedule_slice = Table(
    "schedule_slice",
    metadata,
    Column("schedule", Text, ForeignKey("schedule.name", ondelete="CASCADE"), nullable=False),
    Column("slice", JSONB, nullable=False),
    Column("next_due_at", Instant, nullable=False),
    words("note"),
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
    words("reason"),
    Index("ix_schedule_edit_newest", "schedule", "id"),
)

# Past nights that somebody wants; outlives its schedule.
replay = Table(
    "replay",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("schedule", Text, nullable=False),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("who", Text, nullable=False),
    Column("asked_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("ended_at", Instant),
    words("reason"),
    Index("ix_replay_open", "schedule", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("ix_replay_newest", "schedule", "id"),
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
    words("note"),
    Column("plan", JSON, nullable=False),
    Column("state", Text, nullable=False, server_default="DUE"),
    words("reason"),
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
    counter("tries"),
    Column("next_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("done_at", Instant),
    words("detail"),
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
    json_object("params"),
    Column("score", Double),
    Column("default_score", Double),
    json_object("metrics"),
    Column("promoted", Boolean, nullable=False),
    words("reason"),
    Column("decided_at", Instant, nullable=False, server_default=text("clock_timestamp()")),
    Column("firing_id", BigInteger),
    Column("kind", Text, nullable=False, server_default="night"),
    words("who"),
    Column("before_id", BigInteger),
    Column("awaits", Boolean, nullable=False, server_default=text("false")),
    json_object("evidence"),
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
