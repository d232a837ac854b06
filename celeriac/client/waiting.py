"""What a study waits for, and what its time is limited by, from the rows as they are now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf

from celeriac.decide.device_budget import DeviceBudget, budgets_of, has_device_budget, night_of_budget, runs_to_confirm
from celeriac.decide.learned_memory import needed_bytes
from celeriac.decide.placement import Demand, barred_trials, marked, place, spots_left, spots_of
from celeriac.decide.share import Slots
from celeriac.decide.waiting import WaitDecision, why_it_waits
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import Claim, Device, PutAside, StudyRecord, TrialRecord
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


def waiting_of(store: Store, study_id: int, no_place: str = "") -> WaitDecision:
    """Why it waits: an estimate, without what only the coordinator remembers. `no_place`: why no device has room for
    its next trial, if none has: slots may be idle that are of no use to it.
    """
    found = waiting_of_each(store, [study_id])[study_id]
    return replace(found, starts_s=None) if no_place and found.starts_s == 0 else found


def waiting_of_each(store: Store, study_ids: Iterable[int] | None = None) -> dict[int, WaitDecision]:
    """The same of each of these studies, or of all that are open, by one look at the fleet."""
    asides, devices, claims, now = store.put_asides(), store.devices(alive=True), store.claims(), store.now()
    suiting = {each.study_id: _suiting(each, devices, asides) for each in marked(claims, devices)}
    found = {}
    for study_id in [each.study_id for each in claims] if study_ids is None else study_ids:
        aside = {each.worker for each in asides if each.study_id in (0, study_id)}
        free = {gpu: sum(s not in aside for d in devices if d.is_gpu == gpu for s in d.slots) for gpu in (True, False)}
        cards = sum(d.is_gpu and any(s not in aside for s in d.slots) for d in devices)
        found[study_id] = why_it_waits(
            study_id, claims, Slots(free[True], free[False], cards), now, suiting=suiting.get(study_id)
        )
    return found


def _suiting(claim: Claim, devices: Sequence[Device], asides: Sequence[PutAside]) -> int | None:
    """How many GPUs, or CPU slots, suit a study whose devices are chosen; None: any of its class does."""
    if not claim.is_placed:
        return None
    demand, spots = (
        Demand(claim.study_id, claim.resources, 1, claim.resources.gpu_memory_bytes),
        spots_of(devices, asides),
    )
    return sum(1 if each.is_gpu else len(each.slots) for each in devices if spots[each.uuid].suits(demand))


def pending_then(store: Store, trial: TrialRecord) -> list[int]:
    """The numbers of the trials that were pending when this one was suggested."""
    then = trial.provenance.known_then(trial.number)
    if then is None:
        return []
    observed, below = then
    return [each.number for each in store.pending(trial.study_id, observed=observed, below=below)]


@dataclass(frozen=True, slots=True)
class PlaceWait:
    """Why the next trial of a study that is placed has no place now, and what each device lacks for it ("": nothing),
    those that suit it first. `reason` is "" where it has one. `barred`: trials that wait for another kind of GPU since
    they ran out of memory, by number, and why they still do. Where the study is not placed, there is nothing else.
    """

    reason: str
    devices: tuple[tuple[str, str, str], ...]
    barred: tuple[tuple[int, str], ...] = ()

    @property
    def why(self) -> str:
        """Why nothing of the study begins, on one line."""
        return next((f"trial {number}: {reason}" for number, reason in self.barred), self.reason)


def place_of(store: Store, study_id: int) -> PlaceWait | None:
    """What the study's next trial needs for a place, from the rows as they are; None where it is not placed, and no
    trial of it waits for a kind of GPU. Who waits longer, and has devices kept for it, is known to the coordinator
    alone.
    """
    devices, claims = store.devices(alive=True), store.claims()
    short = store.short_trials([each.study_id for each in claims if each.gpus and each.held + each.ready])
    barred = barred_trials(claims, short, devices)
    mine = next((each for each in marked(claims, devices, barred) if each.study_id == study_id), None)
    own = [each for each in barred if each.study_id == study_id and each.is_ready and each.kinds.reason]
    if mine is None or not (mine.is_placed or own):
        return None
    need = needed_bytes(mine.resources, store.peak_memory([study_id]).get(study_id))
    demand = Demand(study_id, mine.resources, 1, need or 0, is_unknown=need is None)
    spots = spots_left(spots_of(devices, store.put_asides()), store.holdings()).values()
    told = []
    for each in own:
        lacks = place([replace(demand, barred=each.kinds.barred)], spots, patience_s=inf).waits.get(study_id, "")
        then = lacks or "there is one now" if each.kinds.is_left else "the next slot that takes it ends it"
        told.append((each.number, f"{each.kinds.reason}: {then}"))
    if not mine.is_placed:
        return PlaceWait("", (), tuple(told))
    if own and mine.ready + mine.left <= len(own):  # no other is to come
        demand = replace(demand, number=own[0].number, barred=own[0].kinds.barred)
    found = place([demand], spots, patience_s=inf)
    ours = [each for each in spots if each.is_gpu is mine.resources.on_gpu]
    ours.sort(key=lambda each: (not each.suits(demand), each.host, each.uuid))
    health = {each.uuid: f": {each.health}" for each in devices if each.health not in ("", "ok")}
    lacking = tuple(
        (each.host, each.uuid, each.why_not(demand) + ("" if each.usable else health.get(each.uuid, "")))
        for each in ours
    )
    return PlaceWait(found.waits.get(study_id, ""), lacking, tuple(told))


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
    night, runs = night_of_budget(spec, study.due_at), runs_to_confirm(study, spec)
    return budgets_of(study, spec, store.device_spent(study.id, night, runs=runs))
