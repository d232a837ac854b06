"""Has a study used up the device time that it, its firing or its schedule's night may take, and when will it have?

Device time counts from attempts: what ended ones took, and what open ones have taken so far, whatever came of them,
each for all devices that it holds. A night is all firings of a schedule whose due times lie on one day of its time
zone.

A study's own budget is its search's. A firing's and a night's are for looks and confirmations too, and are passed by
none of them. So that a search leaves something for its test, it ends while what is left is as much as the first runs of
the confirmations to come will take, but has half of the budget at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from celeriac.decide.gate import first_pairs
from celeriac.domain.records import GIVEN, DeviceSpent, Stage, StudyRecord
from celeriac.domain.study_file import StudySpec

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class DeviceBudget:
    """One budget: `hours` of device time are allowed, `spent_s` seconds are taken, and `holds` devices take more.

    `kept_s`: what a search has to leave to confirmations.
    """

    name: str
    hours: float
    spent_s: float
    holds: float
    kept_s: float = 0.0

    @property
    def left_s(self) -> float:
        """Device-seconds that are left; less than 0: it was passed by so many."""
        return self.hours * HOUR_S - self.spent_s - self.kept_s

    @property
    def told_spent(self) -> str:
        """What was taken, in hours."""
        return f"{self.spent_s / HOUR_S:.3g} h"

    @property
    def told_kept(self) -> str:
        """What is kept, if anything is."""
        return f", and {self.kept_s / HOUR_S:.3g} h are kept for confirmations" if self.kept_s else ""


def has_device_budget(study: StudyRecord, spec: StudySpec) -> bool:
    """Whether there is anything to count."""
    is_given = study.stage in GIVEN
    return (spec.budget.device_hours is not None and not is_given) or (study.firing_id is not None and _of_night(spec))


def runs_to_confirm(study: StudyRecord, spec: StudySpec) -> int:
    """The runs with which the confirmation after this search will begin."""
    if study.stage is not Stage.SEARCH or spec.schedule is None:
        return 0
    return 2 * first_pairs(spec.schedule.gate.pairs)


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
    found = []
    if spec.budget.device_hours is not None and study.stage not in GIVEN:
        found.append(DeviceBudget("device budget", spec.budget.device_hours, spent.study_s, spent.study_holds))
    if plan is not None and plan.device_hours_per_slice is not None:
        hours = plan.device_hours_per_slice
        kept_s = _kept_s(study, hours, spent.firing_kept_s)
        found.append(DeviceBudget("firing's device budget", hours, spent.firing_s, spent.firing_holds, kept_s))
    if plan is not None and plan.device_hours is not None:
        kept_s = _kept_s(study, plan.device_hours, spent.night_kept_s)
        name = f"device budget of schedule {plan.name} for this night"
        found.append(DeviceBudget(name, plan.device_hours, spent.night_s, spent.night_holds, kept_s))
    return found


def _kept_s(study: StudyRecord, hours: float, wanted_s: float) -> float:
    """What a search leaves: half of the budget at most."""
    return min(wanted_s, hours * HOUR_S / 2) if study.stage is Stage.SEARCH else 0.0


def used_up(budgets: Sequence[DeviceBudget]) -> str:
    """Why the study ends, or "" while every budget has something left."""
    return next(
        (
            f"{each.name} of {each.hours:g} device-hours is used up ({each.told_spent}{each.told_kept})"
            for each in budgets
            if each.left_s <= 0
        ),
        "",
    )


def used_up_in_s(budgets: Sequence[DeviceBudget], queued: float = 0) -> float | None:
    """The seconds after which the first of them may be used up: if what runs goes on and the study's queued trials,
    which hold `queued` devices, begin at once. None: none will.
    """
    return min((each.left_s / (each.holds + queued) for each in budgets if each.holds + queued), default=None)
