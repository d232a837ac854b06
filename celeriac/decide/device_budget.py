"""Has a study used up the device time that it, its firing or its schedule's night may take, and when will it have?

Device time counts from attempts: what ended ones took, and what open ones have taken so far, whatever came of them. A
night is all firings of a schedule whose due times lie on one day of its time zone. Budgets end searches: a look is one
run, and a confirmation that has begun is worth its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from celeriac.domain.records import GIVEN, DeviceSpent, StudyRecord
from celeriac.domain.study_file import StudySpec

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class DeviceBudget:
    """One budget: `hours` of device time are allowed, `spent_s` seconds are taken, and `runs` attempts take more."""

    name: str
    hours: float
    spent_s: float
    runs: int

    @property
    def left_s(self) -> float:
        """Device-seconds that are left; less than 0: it was passed by so many."""
        return self.hours * HOUR_S - self.spent_s

    @property
    def told_spent(self) -> str:
        """What was taken, in hours."""
        return f"{self.spent_s / HOUR_S:.3g} h"


def has_device_budget(study: StudyRecord, spec: StudySpec) -> bool:
    """Whether there is anything to count."""
    if study.stage in GIVEN:
        return False
    return spec.budget.device_hours is not None or (study.firing_id is not None and _of_night(spec))


def _of_night(spec: StudySpec) -> bool:
    plan = spec.schedule
    return plan is not None and (plan.device_hours is not None or plan.device_hours_per_slice is not None)


def night_of_budget(spec: StudySpec, due_at: datetime | None) -> tuple[datetime, datetime] | None:
    """The day that a due time lies on, from its midnight to the next, by the schedule's clocks; None where nights have
    no budget.
    """
    if spec.schedule is None or spec.schedule.device_hours is None or due_at is None:
        return None
    zone = ZoneInfo(spec.schedule.timezone)
    day = due_at.astimezone(zone).date()
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)


def budgets_of(study: StudyRecord, spec: StudySpec, spent: DeviceSpent) -> list[DeviceBudget]:
    """The budgets that may end the study, each with what was taken of it."""
    if not has_device_budget(study, spec):
        return []
    plan = spec.schedule if study.firing_id is not None else None
    found = [("device budget", spec.budget.device_hours, spent.study_s, spent.study_runs)]
    if plan is not None:
        found += [
            ("firing's device budget", plan.device_hours_per_slice, spent.firing_s, spent.firing_runs),
            (
                f"device budget of schedule {plan.name} for this night",
                plan.device_hours,
                spent.night_s,
                spent.night_runs,
            ),
        ]
    return [DeviceBudget(name, hours, spent_s, runs) for name, hours, spent_s, runs in found if hours is not None]


def used_up(budgets: Sequence[DeviceBudget]) -> str:
    """Why the search ends, or "" while every budget has something left."""
    return next(
        (
            f"{each.name} of {each.hours:g} device-hours is used up ({each.told_spent})"
            for each in budgets
            if each.left_s <= 0
        ),
        "",
    )


def used_up_in_s(budgets: Sequence[DeviceBudget], queued: int = 0) -> float | None:
    """The seconds after which the first of them may be used up: if what runs goes on and the study's `queued` trials
    begin at once. None: none will.
    """
    return min((each.left_s / (each.runs + queued) for each in budgets if each.runs + queued), default=None)
