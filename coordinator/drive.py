"""One study, one turn: look, decide, do, until there is nothing left to do. This page is the turn's table of contents.

Rules: what to do is decided in `celeriac.decide.next`; every write names the turn it was decided on, and a stale one is dropped with
the whole turn (another coordinator is at it); rows come before tickets; what is wrong with one study pauses that study, and never
stops another.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from celeriac.broker import Tickets
from celeriac.decide.next import Limits, NextDecision, what_next
from celeriac.decide.stop_study import newest_needed
from celeriac.errors import (
    BrokerUnavailable,
    CallerError,
    CeleriacError,
    IllegalTransition,
    SamplerFailed,
    StaleTurn,
    StudyPaused,
    TryAgain,
)
from celeriac.lifecycle import StudyEvent
from celeriac.records import (
    CLOSED,
    Device,
    Snapshot,
    Source,
    StudyRecord,
    StudyState,
    Suggestion,
    TrialRecord,
)
from celeriac.stop_rules import StopStudy
from celeriac.store import Store
from coordinator import nightly
from coordinator.history import Histories, History
from coordinator.samplers import sampler_for
from coordinator.samplers.seam import in_scores
from coordinator.tickets import send_trials

log = logging.getLogger(__name__)

ALIVE_WITHIN_S = 20.0


@dataclass(slots=True)
class Coordinator:
    """What a turn works with: the rows, the way to send tickets, and what is remembered between turns."""

    store: Store
    tickets: Tickets
    histories: Histories = field(default_factory=Histories)


def drive(coordinator: Coordinator, study_id: int) -> str:
    """Drive one study as far as it goes now; returns why it stops there. Raises StoreUnavailable, UnknownStudy."""
    with coordinator.store.driving(study_id) as mine:
        if not mine:
            return "another coordinator drives this study"
        try:
            return _turn(coordinator, study_id)
        except StaleTurn:
            return "another coordinator moved this study on"
        except IllegalTransition as error:
            return f"the study was moved meanwhile: {error}"
        except (StudyPaused, CallerError) as error:
            coordinator.histories.forget(study_id)
            return _paused(coordinator.store, study_id, error)


def drive_all(coordinator: Coordinator) -> None:
    """Drive every study that is open or running. One that goes wrong is logged, and the others are driven. Raises StoreUnavailable."""
    for study_id in coordinator.store.studies_to_drive():
        try:
            drive(coordinator, study_id)
        except TryAgain:
            raise
        except CeleriacError:
            log.exception("study %d: its turn failed; the next tick tries again", study_id)


def _turn(coordinator: Coordinator, study_id: int) -> str:
    """Step after step, each decided on a new snapshot, until the decision is to wait."""
    devices, exhausted = coordinator.store.devices(alive_within_s=ALIVE_WITHIN_S), ""
    while True:
        snapshot = coordinator.store.snapshot(study_id)
        study = snapshot.study
        if study.state in CLOSED:
            return _closed(coordinator, snapshot)
        history = coordinator.histories.of(study)
        spec = history.spec
        limits = Limits(spec.budget.trials, spec.budget.wall_s, spec.stop_study)
        slots, newest = live_slots(devices, spec.gpus), _newest(coordinator.store, study, spec.stop_study)
        decision = what_next(snapshot, limits, slots, exhausted=exhausted, newest=newest)
        if decision.event is not None:
            _move(coordinator, snapshot, decision.event, decision.reason)
        elif decision.queue:
            _queue(coordinator, snapshot, decision, spec.gpus)
        elif decision.add:
            exhausted = _add(coordinator.store, snapshot, history, decision.add)
        else:
            return decision.reason


def _newest(store: Store, study: StudyRecord, stop: StopStudy | None) -> list[TrialRecord]:
    """The trials that were suggested last, as many as the decision to end the study looks at."""
    count = newest_needed(stop)
    return store.trials(study.id, after=study.next_number - 1 - count, limit=count) if count else []


def live_slots(devices: Sequence[Device], gpus: int) -> int:
    """Slots that take this demand class's tickets: a GPU's slots take both kinds."""
    return sum(len(device.slots) for device in devices if device.is_gpu or not gpus)


def _move(coordinator: Coordinator, snapshot: Snapshot, event: StudyEvent, reason: str) -> None:
    """Start, pause or finish the study; before it closes, the verdict on it, so that a crash between the two heals."""
    study = snapshot.study
    if event is StudyEvent.FINISH:
        nightly.judge_study(coordinator.store, study)
    coordinator.store.move_study(study.id, event, reason, turn=study.turn)
    log.info("study %s: %s (%s)", study.name, event, reason)


def _closed(coordinator: Coordinator, snapshot: Snapshot) -> str:
    """A study that somebody else closed: its slice still gets its verdict."""
    nightly.judge_study(coordinator.store, snapshot.study)
    coordinator.histories.forget(snapshot.study.id)
    return f"{snapshot.study.name} is {snapshot.study.state}: {snapshot.study.reason}"


def _queue(coordinator: Coordinator, snapshot: Snapshot, decision: NextDecision, gpus: int) -> None:
    study = snapshot.study
    queued = coordinator.store.queue_trials(study.id, study.turn, decision.queue)
    try:
        send_trials(coordinator.tickets, study.name, gpus, queued)
    except BrokerUnavailable as error:
        log.warning("study %s: tickets wait for the reaper: %s", study.name, error)


def _add(store: Store, snapshot: Snapshot, history: History, count: int) -> str:
    """Add up to `count` trials; returns why there are none left to add, or ""."""
    study, spec = snapshot.study, history.spec
    if study.next_number == 0 and spec.default is not None:
        store.add_trials(
            study.id, study.turn, [Suggestion(spec.default, Source.DEFAULT, {"by": "the study file"})]
        )
        return ""
    suggestions = suggested(store, snapshot, history, count)
    if not suggestions:
        return f"the {spec.sampler} sampler has tried every point of the space"
    store.add_trials(study.id, study.turn, suggestions)
    return ""


def suggested(store: Store, snapshot: Snapshot, history: History, count: int) -> list[Suggestion]:
    """What the study's sampler proposes now, with all it needs to propose the same again. Raises SamplerFailed."""
    study, spec = snapshot.study, history.spec
    history.read_on(store, study)
    pending = history.pending(snapshot)
    sampler = sampler_for(spec.sampler)
    try:
        proposals = sampler(spec.space, history.observations, pending, count, spec.seed)
    except Exception as error:
        raise SamplerFailed(f"the {spec.sampler} sampler failed on {study.name}: {error!r}") from error
    why = {
        "sampler": spec.sampler,
        "seed": spec.seed,
        "observed": history.ended_no,
        "pending": [point.number for point in pending],
    }
    return [
        Suggestion(
            proposal.params, Source.SUGGESTED, {**why, "index": place, **in_scores(proposal.how, study.goal)}
        )
        for place, proposal in enumerate(proposals)
    ]


def _paused(store: Store, study_id: int, error: CeleriacError) -> str:
    """Pause a study that cannot go on as it is; its reason is the error's."""
    study = store.study(study_id)
    if study.state not in (StudyState.OPEN, StudyState.RUNNING):
        return f"{study.name} is {study.state}: {study.reason}"
    reason = f"{error} (then: celeriac resume {study.name})"
    store.move_study(study_id, StudyEvent.PAUSE, reason, turn=study.turn)
    log.error("study %s paused: %s", study.name, error, exc_info=error)
    return reason
