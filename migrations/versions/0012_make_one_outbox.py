"""Make one outbox: nights that are to be told of are deliveries too, beside publications and hooks."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Give deliveries an id and a schedule of their own, and move the nights to them."""
    op.add_column("delivery", sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False))
    op.add_column("delivery", sa.Column("schedule", sa.Text()))
    op.add_column("delivery", sa.Column("night", sa.Text()))
    op.execute("UPDATE delivery d SET schedule = ch.schedule FROM champion ch WHERE ch.id = d.promotion")
    op.alter_column("delivery", "schedule", nullable=False)
    op.drop_constraint("pk_delivery", "delivery")
    op.create_primary_key("pk_delivery", "delivery", ["id"])
    op.alter_column("delivery", "promotion", nullable=True)
    op.create_unique_constraint(op.f("uq_delivery_promotion"), "delivery", ["promotion", "kind"])
    op.create_unique_constraint(op.f("uq_delivery_schedule"), "delivery", ["schedule", "night"])
    op.drop_constraint(op.f("ck_delivery_kind"), "delivery")
    op.create_check_constraint(op.f("ck_delivery_kind"), "delivery", "kind IN ('publish', 'hook', 'morning')")
    subject = "(promotion IS NULL) = (kind = 'morning') AND (night IS NULL) = (kind <> 'morning')"
    op.create_check_constraint(op.f("ck_delivery_subject"), "delivery", subject)
    op.execute(
        "INSERT INTO delivery (kind, schedule, night, tries, next_at, done_at, detail) "
        "SELECT 'morning', schedule, night, tries, next_at, done_at, detail FROM night_report ORDER BY night, schedule"
    )
    op.drop_table("night_report")
