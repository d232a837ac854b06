"""What does a firing open? One study for each slice. Its name says schedule, slice and due time, so the name alone
tells which night it was.

A firing by hand never takes the place of a regular one: it has its own number (`by_hand` 1, 2, …; 0 is the regular
firing) and so its own name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from celeriac.decide.calendar import SlicePlan
from celeriac.domain.records import Firing, NewFiring, NewStudy, Schedule
from celeriac.domain.study_file import form_of_slice, parse, slice_name

#: How many names a firing tries.
MOST_NAMES = 100


def next_by_hand(schedule: Schedule, due_at: datetime, firings: Iterable[Firing]) -> int:
    """The number of the next firing by hand on that local day."""
    zone = ZoneInfo(schedule.timezone)
    day = due_at.astimezone(zone).date()
    return 1 + max((each.by_hand for each in firings if each.due_at.astimezone(zone).date() == day), default=0)


def firing_of(
    schedule: Schedule,
    plan: SlicePlan,
    slice_: Mapping[str, Any],
    due_at: datetime,
    *,
    by_hand: int = 0,
    note: str = "",
) -> Iterator[NewFiring]:
    """What may be opened for a slice, in the order in which to try, since a name may be taken. The study's spec has the
    slice's own values.

    Raises SpecInvalid when this version cannot read the schedule's spec.
    """
    form = form_of_slice(schedule.spec, slice_)
    spec = parse(form, f"schedule {schedule.name}")
    new = NewStudy(
        name=firing_name(schedule.name, plan, slice_, due_at),
        spec=form,
        goal=spec.metric.goal,
        code_root=schedule.code_root,
        fingerprint=schedule.fingerprint,
        parallel=spec.at_once,
        schedule=schedule.name,
        slice=slice_,
        due_at=due_at,
    )
    return _numbered(plan, new, due_at, by_hand, note) if by_hand else _named(new, note)


def _named(new: NewStudy, note: str) -> Iterator[NewFiring]:
    yield NewFiring(new, note=note)
    for k in range(2, MOST_NAMES + 1):
        name = f"{new.name}-{k}"
        taken = f"another study has the name {new.name}: this firing's is {name}"
        yield NewFiring(replace(new, name=name), note="; ".join(filter(None, (note, taken))))


def _numbered(plan: SlicePlan, new: NewStudy, due_at: datetime, first: int, note: str) -> Iterator[NewFiring]:
    for k in range(first, first + MOST_NAMES):
        name = firing_name(new.schedule or "", plan, new.slice, due_at, by_hand=k)
        yield NewFiring(replace(new, name=name), by_hand=k, note=note)


def firing_name(
    schedule: str, plan: SlicePlan, slice_: Mapping[str, Any], due_at: datetime, *, by_hand: int = 0
) -> str:
    """`flights/airport=JFK/2026-11-24`: the local date, with the time where the slice may fire more than once a day.

    By hand it is always the date and the firing's number: `flights/airport=JFK/2026-11-24-by-hand-1`.
    """
    parts = [schedule, slice_name(slice_)] if slice_ else [schedule]
    return "/".join([*parts, night_name(plan, due_at, by_hand=by_hand)])


def night_name(plan: SlicePlan, due_at: datetime, *, by_hand: int = 0) -> str:
    """The night that a slice's firing is part of: slices with clocks of their own meet in it by their local dates."""
    local = plan.local(due_at)
    minute, hour = plan.cron.split()[:2]
    once_a_day = minute.isdigit() and hour.isdigit()
    if by_hand:
        return f"{local:%Y-%m-%d}-by-hand-{by_hand}"
    return f"{local:%Y-%m-%d}" if once_a_day else f"{local:%Y-%m-%dT%H:%M}{_which_pass(local)}"


def _which_pass(local: datetime) -> str:
    """Of an hour that the clocks repeat, the second pass is named apart."""
    return "-again" if local.fold and local.replace(fold=0).utcoffset() != local.utcoffset() else ""
