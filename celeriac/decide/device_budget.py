"""Has a study used up the device time that it, its firing or its schedule's night may take?

Device time counts from attempts: what ended ones took, and what open ones have taken so far, whatever came of them. A
night is all firings of a schedule whose due times lie on one day of its time zone. Budgets end searches: a look is one
run, and a confirmation that has begun is worth its end.
"""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from celeriac.domain.records import GIVEN, DeviceSpent, StudyRecord
from celeriac.domain.study_file import StudySpec

HOUR_S = 3600.0


def has_device_budget(study: StudyRecord, spec: StudySpec) -> bool:
    """Whether there is anything to count."""
    if study.stage in GIVEN:
        return False
    return spec.budget.device_hours is not None or (study.firing_id is not None and _of_night(spec))


def _of_night(spec: StudySpec) -> bool:
    plan = spec.schedule
    return plan is not None and (plan.device_hours is not None or plan.device_hours_per_slice is not None)


def night_of_due(spec: StudySpec, due_at: datetime | None) -> tuple[datetime, datetime] | None:
    """The day that a due time lies on, from its midnight to the next, by the schedule's clocks."""
    if spec.schedule is None or due_at is None:
        return None
    zone = ZoneInfo(spec.schedule.timezone)
    day = due_at.astimezone(zone).date()
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)


def used_up(study: StudyRecord, spec: StudySpec, spent: DeviceSpent) -> str:
    """Why the search ends, or "" while every budget has something left."""
    if not has_device_budget(study, spec):
        return ""
    plan = spec.schedule if study.firing_id is not None else None
    budgets = [("device budget", spec.budget.device_hours, spent.study_s)]
    if plan is not None:
        budgets.append(("firing's device budget", plan.device_hours_per_slice, spent.firing_s))
        budgets.append((f"device budget of schedule {plan.name} for this night", plan.device_hours, spent.night_s))
    for name, hours, spent_s in budgets:
        if hours is not None and spent_s >= hours * HOUR_S:
            return f"{name} of {hours:g} device-hours is used up ({spent_s / HOUR_S:.3g} h)"
    return ""
