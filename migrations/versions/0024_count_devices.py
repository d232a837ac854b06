"""Device time counts for all devices that an attempt holds; how long attempts ran is kept beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Until now each attempt counted once: those of gangs and of shares are counted anew."""
    op.add_column("attempt", sa.Column("width", sa.Double(), server_default="1", nullable=False))
    op.add_column("study", sa.Column("ran_s", sa.Double(), server_default="0", nullable=False))
    op.execute("UPDATE study SET ran_s = device_s WHERE device_s > 0")
    op.execute(
        """UPDATE attempt a SET width = x.width FROM (
            SELECT a.token, greatest(coalesce(g.world, 1), 1)
                * coalesce(nullif(CAST(t.placed ->> 'share' AS float8), 0), 1) AS width
            FROM attempt a JOIN trial t ON t.study_id = a.study_id AND t.number = a.trial
            LEFT JOIN gang_member g ON g.token = a.token
            WHERE g.world > 1 OR t.placed IS NOT NULL
        ) x WHERE a.token = x.token AND x.width <> 1"""
    )
    op.execute(
        """UPDATE study s SET device_s = s.device_s + x.more_s FROM (
            SELECT study_id, sum(device_s * (width - 1)) AS more_s FROM attempt WHERE width <> 1 GROUP BY study_id
        ) x WHERE s.id = x.study_id"""
    )
    op.execute("UPDATE attempt SET device_s = device_s * width WHERE width <> 1")
