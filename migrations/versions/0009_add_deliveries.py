"""Add what is to be done of each promotion outside the database: publish it, then run its schedule's hook.

Champions from before are not published, and no hook runs for them: they are done.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table, and fill it with what is past."""
    op.create_table(
        "delivery",
        sa.Column("promotion", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", Instant, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("done_at", Instant),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("kind IN ('publish', 'hook')", name=op.f("ck_delivery_kind")),
        sa.ForeignKeyConstraint(["promotion"], ["champion.id"], name=op.f("fk_delivery_champion")),
        sa.PrimaryKeyConstraint("promotion", "kind", name=op.f("pk_delivery")),
    )
    op.execute("CREATE INDEX ix_delivery_open ON delivery (next_at) WHERE done_at IS NULL")
    op.execute(
        "INSERT INTO delivery (promotion, kind, done_at, detail) SELECT ch.id, k.kind, clock_timestamp(), "
        "'promoted before champions were published' FROM champion ch "
        "CROSS JOIN (VALUES ('publish'), ('hook')) AS k(kind) WHERE ch.promoted"
    )
