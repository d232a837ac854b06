"""Add the members of gangs: slots that run one trial together."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

Instant = sa.DateTime(timezone=True)


def _words(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def upgrade() -> None:
    """Make the table, empty: no trial has had more than one slot yet."""
    op.create_table(
        "gang_member",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        _words("device_kind"),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("joined_at", Instant, nullable=False),
        sa.Column("lease_s", sa.Double(), nullable=False),
        sa.Column("lease_until", Instant, nullable=False),
        sa.Column("rank", sa.Integer()),
        sa.Column("world", sa.Integer()),
        _words("leaving"),
        _words("grow"),
        sa.Column("ended_at", Instant),
        sa.Column("fault", sa.Text()),
        _words("detail"),
        _words("traceback"),
        _words("signature"),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_gang_member")),
        sa.ForeignKeyConstraint(
            ["study_id", "trial"], ["trial.study_id", "trial.number"], name=op.f("fk_gang_member_trial")
        ),
        sa.CheckConstraint("(rank IS NULL) = (world IS NULL)", name=op.f("ck_gang_member_placed")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_gang_member_attempt", "gang_member", ["study_id", "trial", "attempt"])
    op.create_index("ix_gang_member_open", "gang_member", ["worker"], postgresql_where=sa.text("ended_at IS NULL"))
