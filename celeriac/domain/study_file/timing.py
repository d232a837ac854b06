"""What a schedule's times come to: when a firing may begin, when it should be done; and times that cannot work
together, which a file is refused for.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from typing import Any

from celeriac.domain.study_file.blackout import Blackout, is_clock
from celeriac.domain.study_file.specs import ScheduleSpec

#: From here on due times are tried: a year with both clock changes.
_FIRST = datetime(2026, 1, 1)  # noqa: DTZ001 - a local time, of whichever zone
_MOST_TRIED = 20_000  # a firing every minute for two weeks
_FEW = 60
_SPRING = datetime(2026, 3, 1)  # noqa: DTZ001 - likewise
#: A deadline so far behind a firing is one that its clock shows before it.
_HALF_A_DAY_S = 12 * 3600.0


def offset_s(schedule: str, slice_name: str, jitter_s: float) -> float:
    """How long after its due time a slice's firing may begin: the same at every firing, on every machine."""
    digest = hashlib.sha256(f"{schedule}\n{slice_name}".encode()).digest()
    return jitter_s * (int.from_bytes(digest[:8], "big") / 2**64)


def slice_name(values: Mapping[str, Any]) -> str:
    """A slice as its studies' names have it: `airport=JFK,year=2026`; "" for the one empty slice."""
    return ",".join(f"{key}={value}" for key, value in values.items())


def full_slice_name(schedule: str, values: Mapping[str, Any]) -> str:
    """A schedule's slice as messages name it: `nightly airport=JFK`; the schedule alone where its slice is empty."""
    return f"{schedule} {slice_name(values)}".strip()


def deadline_at(deadline: str | float | None, due_at: datetime, zone: Any) -> datetime | None:
    """When a firing should be done, in UTC: the first such time of the day in its zone, or so many seconds later."""
    if deadline is None:
        return None
    if not isinstance(deadline, str):
        return due_at + timedelta(seconds=deadline)
    local = due_at.astimezone(zone)
    days = 1 if deadline == "24:00" else 0
    clock = time() if days else time.fromisoformat(deadline)
    at = datetime.combine(local.date() + timedelta(days=days), clock, zone).astimezone(UTC)
    if at > due_at:
        return at
    return datetime.combine(local.date() + timedelta(days=days + 1), clock, zone).astimezone(UTC)


@lru_cache(maxsize=4096)
def deadline_of(deadline: str | float | None, timezone: str | None, due_at: datetime | None) -> datetime | None:
    """When the firing of a due time should be done, by its schedule's keys; None where one of them is not given."""
    if deadline is None or due_at is None:
        return None
    from zoneinfo import ZoneInfo  # only schedules pay for it

    return deadline_at(deadline, due_at, ZoneInfo(timezone or "UTC"))


def covering(blackout: tuple[Blackout, ...], local: datetime) -> Blackout | None:
    """The window that a local moment lies in, if one."""
    return next((each for each in blackout if each.covers(local)), None)


def flaws(plan: ScheduleSpec, cron: str, timezone: str) -> Iterator[tuple[str, str]]:
    """The keys of a schedule that do not go together with a sound cron line in a zone, and why."""
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    zone = ZoneInfo(timezone)
    local_times = islice(CronSim(cron, _FIRST.replace(tzinfo=zone)), _FEW)
    dues = [each.astimezone(UTC) for each in local_times]
    gap_s = min(((b - a).total_seconds() for a, b in pairwise(dues)), default=float("inf"))
    if plan.jitter_s >= gap_s:
        yield "jitter", f"is not shorter than the time between two firings ({gap_s:g} s): a firing would meet the next"
    if plan.deadline is not None:
        least_s = min(_until_s(plan.deadline, due, zone) for due in dues)
        most_s = max(_until_s(plan.deadline, due, zone) for due in dues)
        if is_clock(plan.deadline) and most_s > _HALF_A_DAY_S:
            yield "deadline", _before(plan.deadline, cron)
        elif least_s <= plan.jitter_s:
            yield "deadline", f"lies before the start: with its jitter a firing may begin {plan.jitter_s:g} s late"
    again = tuple(each for each in plan.blackout if each.comes_again)
    times = enumerate(islice(CronSim(cron, _FIRST.replace(tzinfo=zone)), _MOST_TRIED))
    # A clock change moves a firing out of its window once a year, which is not what a window is for.
    tried = takewhile(lambda each: each[0] < _FEW or each[1] < _SPRING.replace(tzinfo=zone), times)
    if again and all(covering(again, due) for _, due in tried):
        yield "blackout", f"never ends for this schedule: every firing of {cron!r} lies within it"


def _until_s(deadline: str | float, due: datetime, zone: Any) -> float:
    at = deadline_at(deadline, due, zone)
    return float("inf") if at is None else (at - due).total_seconds()


def _before(deadline: object, cron: str) -> str:
    return (
        f"{deadline} lies before the start, or more than 12 hours behind it, for firings of {cron!r}: write a later"
        " time, or how long a firing may take, such as 20h"
    )
