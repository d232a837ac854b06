"""When the slices of a schedule are due, and who changed the schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class SliceDue:
    """When a slice of a schedule is due next: its firings for all earlier due times were made, or passed over.

    `note`: what was passed over since its newest firing, and why; the next firing takes it along.
    """

    schedule: str
    slice: Mapping[str, Any]
    next_due_at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class ScheduleEdit:
    """What somebody did to a schedule: `what` is added, replaced, paused, resumed or removed; `changes` one line a
    key, such as `budget.trials: 60 -> 80`.
    """

    schedule: str
    who: str
    what: str
    changes: tuple[str, ...] = ()
    reason: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Past nights of a schedule that somebody wants run: those due on these days, both included. `ended_at` None: some
    of them have not ended; `reason`: how it came to its end.
    """

    id: int
    schedule: str
    first_day: date
    last_day: date
    who: str
    asked_at: datetime
    ended_at: datetime | None = None
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nights of it may still begin."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class FiringOpen:
    """A firing of the clock's own as the calendar sees it: for which slice and due time, and when it came to its end;
    None while it is open.
    """

    firing_id: int
    name: str
    slice: Mapping[str, Any]
    due_at: datetime
    ended_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it has more to do."""
        return self.ended_at is None
