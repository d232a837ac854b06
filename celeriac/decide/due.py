"""When is a schedule due, and what was missed? Five cron fields in a time zone, as Debian's cron reads them.

An hour that a clock change skips: a firing at a fixed time in it happens at the first minute that exists. An hour that
comes twice: a fixed time in it fires once, the first time. After an outage only the latest missed firing is made; the
decision says how many were skipped. A firing that was begun is finished before that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from celeriac.domain.records import Schedule

MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class DueDecision:
    """Fire for `fire_at` (None: nothing is due) and be due again at `next_at`; `skipped` missed firings are not
    made.
    """

    fire_at: datetime | None
    next_at: datetime
    skipped: int
    reason: str


def next_due(cron: str, timezone: str, after: datetime) -> datetime:
    """The first firing strictly after `after`, in UTC. Raises ValueError when there is none."""
    try:
        return next(_after(cron, timezone, after))
    except StopIteration:
        raise ValueError(f"cron {cron!r} never comes: write five fields that some day matches") from None


def due(schedule: Schedule, now: datetime, *, begun: bool = False) -> DueDecision:
    """What to do about a schedule at `now`: its latest firing that is not in the future, and the one after that.

    `begun`: the firing at `next_due_at` has opened some of its slices.
    """
    at = schedule.next_due_at
    if at > now:
        return DueDecision(None, at, 0, f"due at {at.isoformat()}")
    if begun:
        return DueDecision(
            at, next_due(schedule.cron, schedule.timezone, at), 0, "due; its slices that are not open yet"
        )
    fire_at, passed = _latest(schedule, now)
    next_at = next_due(schedule.cron, schedule.timezone, max(now, fire_at))
    if not passed:
        return DueDecision(fire_at, next_at, 0, "due")
    more = "or more " if passed >= MOST_COUNTED else ""
    return DueDecision(fire_at, next_at, passed, f"due; {passed} {more}earlier firings were missed and skipped")


def _latest(schedule: Schedule, now: datetime) -> tuple[datetime, int]:
    """The latest firing up to `now`, and how many before it were missed (counted up to MOST_COUNTED)."""
    latest, passed = schedule.next_due_at, 0
    for at in _after(schedule.cron, schedule.timezone, schedule.next_due_at):
        if at > now:
            return latest, passed
        latest, passed = at, passed + 1
        if passed == MOST_COUNTED:
            break
    return _latest_near(schedule, latest, now), passed


def _latest_near(schedule: Schedule, known: datetime, now: datetime) -> datetime:
    """The latest firing up to `now`, looked for in windows that double, so that a year's outage of a minutely one is
    cheap.
    """
    window = timedelta(hours=1)
    while True:
        start, found = max(known, now - window), known
        for at in _after(schedule.cron, schedule.timezone, start):
            if at > now:
                break
            found = at
        if found > known or start == known:
            return found
        window *= 2


def _after(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
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
