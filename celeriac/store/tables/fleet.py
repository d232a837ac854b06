"""What hosts have, and what the coordinator last did."""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from celeriac.store.tables.columns import Instant, json_object, metadata, words

device = Table(
    "device",
    metadata,
    Column("host", Text, nullable=False),
    Column("uuid", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    json_object("labels"),
    Column("slots", JSON, nullable=False),
    words("fingerprint"),
    words("health"),
    Column("heartbeat_at", Instant, nullable=False),
    words("owner"),
    Column("heartbeat_s", Double, nullable=False, server_default="5"),
    Column("used_bytes", BigInteger),
    Column("utilisation", Double),
    Column("temperature_c", Integer),
    PrimaryKeyConstraint("host", "uuid"),
)

# Taken out by a person; device "": all of the host's.
drain = Table(
    "drain",
    metadata,
    Column("host", Text, nullable=False),
    words("device"),
    words("who"),
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
