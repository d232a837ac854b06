"""Which past nights begin now? Of those that somebody wants, each slice's next one when the one before has ended.

Of a reproducible study (`in_step`) it begins when that has ended for all slices, so that each night learns from the
same earlier ones. A night that had its firing is not wanted again: so nothing has to be remembered but the days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from celeriac.decide.calendar import SlicePlan, calendar_of, plan_of
from celeriac.decide.firing import night_name
from celeriac.domain.records import FiringOpen, Replay, Schedule, SliceDue

#: So many days may be asked for at once: a year of nights.
MOST_DAYS = 366
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Beginning:
    """A slice's night that begins now."""

    slice: Mapping[str, Any]
    plan: SlicePlan
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ReplayDecision:
    """The nights that begin, those that are at work, and how many of all wanted ones have `ended` and have not begun
    (`left`, with those that begin now).
    """

    begin: tuple[Beginning, ...]
    working: tuple[FiringOpen, ...]
    ended: int
    left: int
    reason: str

    @property
    def nights(self) -> int:
        """How many are wanted."""
        return self.ended + len(self.working) + self.left

    @property
    def is_over(self) -> bool:
        """Whether all have ended."""
        return self.ended == self.nights


@dataclass(frozen=True, slots=True)
class _Chain:
    """A slice's wanted nights: how many have ended, which run and which have not begun; `at`: the first of these, by
    name, "" at the end.
    """

    slice: Mapping[str, Any]
    plan: SlicePlan
    ended: int
    working: tuple[FiringOpen, ...]
    left: tuple[datetime, ...]

    @property
    def is_free(self) -> bool:
        return bool(self.left) and all(each.due_at > self.left[0] for each in self.working)

    @property
    def at(self) -> str:
        found = min((*(each.due_at for each in self.working), *self.left), default=None)
        return "" if found is None else night_name(self.plan, found)


def since(asked: Replay) -> datetime:
    """From when on its decision must know the schedule's firings, whatever the zone."""
    return datetime.combine(asked.first_day, time(), UTC) - _A_DAY


def replay(
    schedule: Schedule, asked: Replay, dues: Sequence[SliceDue], minded: Sequence[FiringOpen], now: datetime
) -> ReplayDecision:
    """Decide on the nights that were asked for and are past. `dues`: when its slices are due next; `minded`: the
    clock's own firings that were due `since` then, or are open.

    Raises SpecInvalid when this version cannot read the schedule's spec.
    """
    calendar, in_step = calendar_of(schedule), bool(schedule.spec.get("reproducible"))
    chains = [_chain(each, plan_of(calendar, each.slice), asked, minded, now) for each in dues]
    earliest = min((each.at for each in chains if each.at), default="")
    begin = tuple(
        Beginning(each.slice, each.plan, each.left[0])
        for each in chains
        if each.is_free and (not in_step or each.at == earliest)
    )
    working = tuple(firing for each in chains for firing in each.working)
    ended, left = sum(each.ended for each in chains), sum(len(each.left) for each in chains)
    nights = ended + len(working) + left
    said = f"{ended} of {nights} nights have ended" if nights else "no night of these days is past"
    return ReplayDecision(begin, working, ended, left, said)


def _chain(due: SliceDue, plan: SlicePlan, asked: Replay, minded: Sequence[FiringOpen], now: datetime) -> _Chain:
    made = {each.due_at: each for each in minded if each.slice == due.slice}
    nights = plan.nights(asked.first_day, asked.last_day, min(now, due.next_due_at))
    working = tuple(made[each] for each in nights if each in made and made[each].is_open)
    left = tuple(each for each in nights if each not in made)
    return _Chain(due.slice, plan, len(nights) - len(working) - len(left), working, left)
