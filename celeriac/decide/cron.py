"""The times of a cron line: five fields in a time zone, as Debian's cron reads them.

An hour that a clock change skips: a firing at a fixed time in it happens at the first minute that exists. An hour that
comes twice: a fixed time in it fires once, the first time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def next_due(cron: str, timezone: str, after: datetime) -> datetime:
    """The first firing strictly after `after`, in UTC. Raises ValueError when there is none."""
    try:
        return next(dues_after(cron, timezone, after))
    except StopIteration:
        raise ValueError(f"cron {cron!r} never comes: write five fields that some day matches") from None


def dues_after(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """All firings strictly after, in UTC and in order. Raises ValueError for fields that are no cron or a zone that is
    none.
    """
    from cronsim import CronSim, CronSimError

    try:
        local_times = CronSim(cron, after.astimezone(ZoneInfo(timezone)))
    except (CronSimError, KeyError) as error:
        raise ValueError(f"cron {cron!r} in time zone {timezone!r}: {error}") from error
    last = after
    for local in local_times:
        # In the second pass of an hour that comes twice, CronSim starts from that hour's first pass.
        at: datetime = local.astimezone(UTC)
        if at > last:
            last = at
            yield at
