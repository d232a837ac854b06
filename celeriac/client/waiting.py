"""What a study waits for, and what its time is limited by, from the rows as they are now."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.decide.device_budget import DeviceBudget, budgets_of, has_device_budget, night_of_budget
from celeriac.decide.share import Slots
from celeriac.decide.waiting import WaitDecision, why_it_waits
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import StudyRecord
from celeriac.domain.study_file import deadline_of, parse
from celeriac.store import Store


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """What ends a study, or its night, before its trials do: its budgets of device time, and its firing's deadline.
    `announced`: why that will be missed, as it was announced; "" where it was not.
    """

    budgets: tuple[DeviceBudget, ...] = ()
    deadline_at: datetime | None = None
    announced: str = ""


def waiting_of(store: Store, study_id: int) -> WaitDecision:
    """Why it waits: an estimate, without what only the coordinator remembers."""
    aside = {each.worker for each in store.put_asides() if each.study_id in (0, study_id)}
    devices = store.devices(alive=True)
    free = {gpu: sum(s not in aside for d in devices if d.is_gpu == gpu for s in d.slots) for gpu in (True, False)}
    return why_it_waits(study_id, store.claims(), Slots(free[True], free[False]), store.now())


def time_limits_of(store: Store, study: StudyRecord) -> TimeLimits:
    """The limits of its time, with what is taken of them."""
    plan = study.spec.get("schedule") or {}
    firing = None if study.firing_id is None else store.firing(study.firing_id)
    late = "" if firing is None else next((each["reason"] for each in firing.steps if each.get("late")), "")
    return TimeLimits(
        tuple(device_budgets_of(store, study)),
        None if firing is None else deadline_of(plan.get("deadline"), plan.get("timezone"), study.due_at),
        late,
    )


def device_budgets_of(store: Store, study: StudyRecord) -> list[DeviceBudget]:
    """Its budgets of device time, with what is taken of them; none where this version cannot read its spec."""
    try:
        spec = parse(study.spec, f"study {study.name}")
    except SpecInvalid:
        return []
    if not has_device_budget(study, spec):
        return []
    return budgets_of(study, spec, store.device_spent(study.id, night_of_budget(spec, study.due_at)))
