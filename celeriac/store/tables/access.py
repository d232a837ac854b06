"""Who may ask over the web, what they asked for by a key, and who looks on."""

from sqlalchemy import ARRAY, Column, ForeignKey, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from celeriac.store.tables.columns import Instant, metadata, words

_NOW = text("clock_timestamp()")

# Of a token or a session its SHA-256 is kept, never itself.
api_token = Table(
    "api_token",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("made_at", Instant, nullable=False, server_default=_NOW),
    Column("used_at", Instant),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

# opened_at NULL: a link that lets one browser in.
web_session = Table(
    "web_session",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("token", Text, ForeignKey("api_token.name", ondelete="CASCADE"), nullable=False, index=True),
    words("csrf"),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("opened_at", Instant),
)

# What a write with an idempotency key was answered. status NULL: it is being done.
web_request = Table(
    "web_request",
    metadata,
    Column("token", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("at", Instant, nullable=False, server_default=_NOW, index=True),
    Column("status", Integer),
    Column("answer", LargeBinary),
    PrimaryKeyConstraint("token", "key"),
)

# Changes are announced only while somebody looks on.
web_viewer = Table(
    "web_viewer", metadata, Column("id", Text, primary_key=True), Column("until", Instant, nullable=False)
)
