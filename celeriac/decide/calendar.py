"""When does a slice run? Its schedule's times with those that are the slice's own, and what is coming."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from heapq import merge
from itertools import groupby, islice
from typing import Any
from zoneinfo import ZoneInfo

from celeriac.decide.cron import dues_after, next_due
from celeriac.domain.records import Schedule, SliceDue
from celeriac.domain.study_file import Blackout, ScheduleSpec, covering, deadline_at, offset_s, parse, slice_name


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """When one slice is due, how long after that it begins (`offset_s`), and what happens when it cannot."""

    cron: str
    timezone: str
    catch_up: str = "one"
    overlap: str = "allow"
    blackout: tuple[Blackout, ...] = ()
    offset_s: float = 0.0
    deadline: str | float | None = None

    def next_after(self, after: datetime) -> datetime:
        """The first due time strictly after. Raises ValueError when there is none."""
        return next_due(self.cron, self.timezone, after)

    def local(self, at: datetime) -> datetime:
        """A moment as the slice's clocks show it."""
        return at.astimezone(ZoneInfo(self.timezone))

    def begins_at(self, due_at: datetime) -> datetime:
        """When the firing for a due time may begin."""
        return due_at + timedelta(seconds=self.offset_s)

    def deadline_at(self, due_at: datetime) -> datetime | None:
        """When the firing for a due time should be done."""
        return deadline_at(self.deadline, due_at, ZoneInfo(self.timezone))

    def blackout_at(self, at: datetime) -> Blackout | None:
        """The window that a moment lies in, if one."""
        return covering(self.blackout, self.local(at)) if self.blackout else None

    def first_on(self, day: datetime) -> datetime:
        """When the slice is first due on that day of its zone; its midnight, where it is not due on that day."""
        midnight = day.replace(tzinfo=ZoneInfo(self.timezone))
        due_at = self.next_after(midnight - timedelta(seconds=1))
        return due_at if due_at < midnight + timedelta(days=1) else midnight

    def nights(self, first: date, last: date, before: datetime) -> list[datetime]:
        """The due times on these days of its zone, both included, that came before a moment and in no blackout."""
        midnight = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(self.timezone))
        found = []
        for at in dues_after(self.cron, self.timezone, midnight - timedelta(seconds=1)):
            if at >= before or self.local(at).date() > last:
                break
            if self.blackout_at(at) is None:
                found.append(at)
        return found

    def is_past_due_time(self, at: datetime, now: datetime, next_due_at: datetime) -> bool:
        """Whether the clock's own firing for `at` is one that the clock will not make any more: asked for, it is made
        in its place.
        """
        return at <= now and at < next_due_at and self.next_after(at - timedelta(seconds=1)) == at


def calendar_of(schedule: Schedule) -> ScheduleSpec:
    """What a schedule's row says of when it runs. Raises SpecInvalid when this version cannot read its spec."""
    plan = parse(schedule.spec, f"schedule {schedule.name}").schedule if schedule.spec.get("schedule") else None
    if plan is None:
        return ScheduleSpec(schedule.name, schedule.cron, schedule.timezone)
    return replace(plan, name=schedule.name, cron=schedule.cron, timezone=schedule.timezone)


def plan_of(calendar: ScheduleSpec, slice_: Mapping[str, Any]) -> SlicePlan:
    """The plan of one slice."""
    cron, timezone = calendar.times_of(slice_)
    return SlicePlan(
        cron=cron,
        timezone=timezone,
        catch_up=calendar.catch_up,
        overlap=calendar.overlap,
        blackout=calendar.blackout,
        offset_s=offset_s(calendar.name, slice_name(slice_), calendar.jitter_s),
        deadline=calendar.deadline,
    )


def dues_of(
    schedule: Schedule, now: datetime, old: Schedule | None = None, before: Sequence[SliceDue] = ()
) -> list[SliceDue]:
    """When the slices of a schedule are due that is put into force at `now`, in the place of an old one or of none.

    A slice whose times stay is due when it was; what is due already, and not paused, is still made. Raises SpecInvalid.
    """
    calendar, had = calendar_of(schedule), calendar_of(old) if old else None
    dues = []
    for slice_ in schedule.slices or ({},):
        known = next((each for each in before if each.slice == slice_), None)
        stays = had is not None and had.times_of(slice_) == calendar.times_of(slice_)
        if known and (stays or (known.next_due_at <= now and not schedule.paused)):
            dues.append(known)
        else:
            dues.append(SliceDue(schedule.name, slice_, plan_of(calendar, slice_).next_after(now)))
    return dues


@dataclass(frozen=True, slots=True)
class Coming:
    """One slice's firing that is to come: when it is due, begins and should be done; `why_not`: it will be skipped."""

    slice: Mapping[str, Any]
    timezone: str
    due_at: datetime
    begins_at: datetime
    deadline_at: datetime | None
    why_not: str = ""


def coming(schedule: Schedule, dues: Sequence[SliceDue], count: int) -> list[list[Coming]]:
    """What runs at the next `count` due times of a schedule, the slices of each together; from the times that the
    slices are due next, so what waits now comes first. Raises SpecInvalid.
    """
    calendar = calendar_of(schedule)
    of_all = merge(*(_of_slice(plan_of(calendar, each.slice), each) for each in dues), key=lambda each: each.due_at)
    together = groupby(of_all, key=lambda each: each.due_at)
    return [list(group) for _, group in islice(together, count)]


def _of_slice(plan: SlicePlan, due: SliceDue) -> Iterator[Coming]:
    yield _coming(plan, due.slice, due.next_due_at)
    for at in dues_after(plan.cron, plan.timezone, due.next_due_at):
        yield _coming(plan, due.slice, at)


def _coming(plan: SlicePlan, slice_: Mapping[str, Any], at: datetime) -> Coming:
    window = plan.blackout_at(at)
    why_not = f"blackout {window.told()}" if window else ""
    return Coming(slice_, plan.timezone, at, plan.begins_at(at), plan.deadline_at(at), why_not)
