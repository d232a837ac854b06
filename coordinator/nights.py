"""The nights: each firing goes from stage to stage until its slice keeps its champion or gets another.

Rule: read, decide (`celeriac.decide.night`), write in one verb. It is asked for when a firing is made, when the study
of a stage closes, and by each tick for all that have not moved; so a move is made, once, whatever crashes and however
many coordinators are at it.
"""

import logging
from dataclasses import replace

from celeriac.decide.calendar import plan_of
from celeriac.decide.device_budget import budgets_of, has_device_budget, night_of_budget, used_up
from celeriac.decide.night import NightDecision, tonight
from celeriac.decide.without_code import waited_in_vain
from celeriac.domain.errors import BrokerUnavailable, IllegalTransition, SpecInvalid, StaleTurn, StoreUnavailable
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import Night, Stage, StudyRecord
from celeriac.domain.study_file import parse
from celeriac.runtime.broker import Tickets
from celeriac.store import Store
from celeriac.store.firing import move, night_of
from coordinator.tickets import wake

log = logging.getLogger(__name__)


def step(store: Store, tickets: Tickets, firing_id: int) -> str:
    """Move one firing as far as it goes now; returns why it stops there. Raises StoreUnavailable, UnknownSchedule."""
    while True:
        night = night_of(store, firing_id)
        decision = _decided(night, _used_up(store, night))
        if decision.move is None:
            return decision.reason
        try:
            after = move(store, night.firing, decision.move)
        except (StaleTurn, IllegalTransition) as error:
            return f"somebody moved it meanwhile: {error}"
        log.info("firing %s is %s: %s", after.name, after.state, after.reason)
        if decision.move.opening is not None:
            _wake(store, tickets, night, decision.move.opening.stage)


def _decided(night: Night, used_up: str) -> NightDecision:
    """The next move. Where it cannot be decided the firing fails: at each tick the same rows would raise the same,
    and nobody would be told.
    """
    try:
        return tonight(night, used_up)
    except Exception as error:
        log.exception("firing %s: its next move cannot be decided", night.firing.name)
        reason = (
            f"its next move cannot be decided ({type(error).__name__}: {error}), a bug of Celeriac; the champion stays"
        )
        return NightDecision(reason, FiringMove(FiringEvent.FAIL, reason))


def _used_up(store: Store, night: Night) -> str:
    """Why no stage of the firing may run anything more: its device time, or its night's, is used up; "" while there is
    some, or no limit.
    """
    study = next(iter(night.studies.values()), None)
    if study is None:
        return ""
    try:
        spec = parse(night.plan.spec, f"firing {night.firing.name}")
    except SpecInvalid:
        return ""
    given = replace(study, stage=Stage.CONFIRM)  # which has to leave nothing to others
    if not has_device_budget(given, spec):
        return ""
    spent = store.device_spent(study.id, night_of_budget(spec, study.due_at))
    return used_up(budgets_of(given, spec, spent))


def step_all(store: Store, tickets: Tickets) -> None:
    """Move every firing whose stage is over, or whose move was lost. One that goes wrong is logged, and the others
    move. Raises StoreUnavailable.
    """
    for firing_id in store.firings_to_move():
        try:
            step(store, tickets, firing_id)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("firing %d: its move failed; the next tick tries again", firing_id)


def fail_held(store: Store) -> None:
    """Fail the firings that have waited for a study's code until their time was over. Their studies are stopped by the
    clock. Raises StoreUnavailable.
    """
    for study in store.studies_held():
        firing, plan = store.firing(study.firing_id or 0), store.firing_plan(study.firing_id or 0)
        try:
            calendar = parse(plan.spec, f"firing {firing.name}").schedule
            reason = (
                "" if calendar is None else waited_in_vain(study, firing, plan_of(calendar, firing.slice), store.now())
            )
            if reason:
                store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.FAIL, reason))
                log.warning("firing %s: %s", firing.name, reason)
        except (StaleTurn, IllegalTransition, SpecInvalid, ValueError) as error:
            log.info("firing %s waits for %s: %s", firing.name, study.name, error)


def study_closed(store: Store, tickets: Tickets, study: StudyRecord) -> str:
    """Move the firing whose stage's study is closed; "" for a study that no schedule opened."""
    return "" if study.firing_id is None else step(store, tickets, study.firing_id)


def _wake(store: Store, tickets: Tickets, night: Night, stage: Stage) -> None:
    """Have the study of the stage driven now; without Redis the next tick does."""
    for study in store.stage_studies([night.firing.id]):
        if study.stage == stage:
            wake_quietly(tickets, study)


def wake_quietly(tickets: Tickets, study: StudyRecord) -> None:
    """Have a study driven now; without Redis the next tick does."""
    try:
        wake(tickets, study.id, study.name)
    except BrokerUnavailable as error:
        log.warning("study %s waits for the next tick: %s", study.name, error)
