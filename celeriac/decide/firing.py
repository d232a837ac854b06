"""What does a firing open? One study for each slice. Its name says schedule, slice and due time, so the name alone
tells which night it was.

A firing by hand never takes the place of a regular one: it has its own number (`by_hand` 1, 2, …; 0 is the regular
firing) and so its own name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celeriac.decide.due import next_due
from celeriac.domain.records import Firing, NewFiring, NewStudy, Schedule
from celeriac.domain.study_file import parse

#: How many names a firing tries.
MOST_NAMES = 100


def is_past_due_time(schedule: Schedule, at: datetime, now: datetime) -> bool:
    """Whether the clock's own firing for `at` is one that the clock will not make any more: asked for, it is made in
    its place.
    """
    if at > now or at >= schedule.next_due_at:
        return False
    return next_due(schedule.cron, schedule.timezone, at - timedelta(seconds=1)) == at


def next_by_hand(schedule: Schedule, due_at: datetime, firings: Iterable[Firing]) -> int:
    """The number of the next firing by hand on that local day."""
    zone = ZoneInfo(schedule.timezone)
    day = due_at.astimezone(zone).date()
    return 1 + max((each.by_hand for each in firings if each.due_at.astimezone(zone).date() == day), default=0)


def firings_of(
    schedule: Schedule, due_at: datetime, *, by_hand: int = 0, note: str = ""
) -> Iterator[Iterator[NewFiring]]:
    """For each slice what may be opened, in the order in which to try, since a name may be taken.

    Raises SpecInvalid when this version cannot read the schedule's spec.
    """
    spec = parse(schedule.spec, f"schedule {schedule.name}")
    for slice_ in schedule.slices or ({},):
        new = NewStudy(
            name=firing_name(schedule, slice_, due_at),
            spec=schedule.spec,
            goal=spec.metric.goal,
            code_root=schedule.code_root,
            fingerprint=schedule.fingerprint,
            parallel=spec.parallel,
            schedule=schedule.name,
            slice=slice_,
            due_at=due_at,
        )
        if by_hand:
            yield _numbered(schedule, new, due_at, by_hand, note)
        else:
            yield _named(new, note)


def _named(new: NewStudy, note: str) -> Iterator[NewFiring]:
    yield NewFiring(new, note=note)
    for k in range(2, MOST_NAMES + 1):
        name = f"{new.name}-{k}"
        taken = f"another study has the name {new.name}: this firing's is {name}"
        yield NewFiring(replace(new, name=name), note="; ".join(filter(None, (note, taken))))


def _numbered(schedule: Schedule, new: NewStudy, due_at: datetime, first: int, note: str) -> Iterator[NewFiring]:
    for k in range(first, first + MOST_NAMES):
        name = firing_name(schedule, new.slice, due_at, by_hand=k)
        yield NewFiring(replace(new, name=name), by_hand=k, note=note)


def firing_name(schedule: Schedule, slice_: Mapping[str, Any], due_at: datetime, *, by_hand: int = 0) -> str:
    """`flights/airport=JFK/2026-11-24`: the local date, with the time where the schedule may fire more than once a day.

    By hand it is always the date and the firing's number: `flights/airport=JFK/2026-11-24-by-hand-1`.
    """
    parts = [schedule.name]
    if slice_:
        parts.append(",".join(f"{key}={value}" for key, value in slice_.items()))
    local = due_at.astimezone(ZoneInfo(schedule.timezone))
    minute, hour = schedule.cron.split()[:2]
    once_a_day = minute.isdigit() and hour.isdigit()
    if by_hand:
        parts.append(f"{local:%Y-%m-%d}-by-hand-{by_hand}")
    else:
        parts.append(f"{local:%Y-%m-%d}" if once_a_day else f"{local:%Y-%m-%dT%H:%M}{_which_pass(local)}")
    return "/".join(parts)


def _which_pass(local: datetime) -> str:
    """Of an hour that the clocks repeat, the second pass is named apart."""
    return "-again" if local.fold and local.replace(fold=0).utcoffset() != local.utcoffset() else ""
