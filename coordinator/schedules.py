"""A schedule's firings. Rule: (schedule, slice, due time) is unique in the store, so each firing is made exactly once,
however many clocks look and whatever crashes. What becomes of it then: `coordinator.nights`.

A slice's `next_due_at` is moved on after its firing was made, or passed over, and only from the time that was looked
at. So whoever crashes between the two leaves a slice that is due, whose firing is there already.
"""

import logging

from celeriac.decide.calendar import SlicePlan, calendar_of, plan_of
from celeriac.decide.due import DueDecision, due_slice, in_turn
from celeriac.decide.firing import firing_of
from celeriac.domain.errors import CeleriacError, IllegalTransition, StaleTurn, TryAgain
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent, StudyEvent
from celeriac.domain.records import Firing, Schedule, SliceDue
from celeriac.runtime.broker import Tickets
from celeriac.store import Store
from celeriac.store.firing import fire as fire_free
from coordinator import nights

log = logging.getLogger(__name__)

_LONGEST_NOTE = 300


def fire_due(store: Store, tickets: Tickets) -> None:
    """Make all firings that are due. One slice that goes wrong is logged, and the others fire. Raises
    StoreUnavailable.
    """
    stop_left_open(store, tickets)
    for schedule in store.due_schedules():
        try:
            _fire_slices(store, tickets, schedule)
        except TryAgain:
            raise
        except (CeleriacError, ValueError, LookupError):
            log.exception("schedule %s: its firing failed; the next tick tries again", schedule.name)


def _fire_slices(store: Store, tickets: Tickets, schedule: Schedule) -> None:
    calendar, now = calendar_of(schedule), store.now()
    dues = in_turn([each for each in store.slice_dues(schedule.name) if each.next_due_at <= now])
    minded = store.firings_to_mind(schedule.name, min((each.next_due_at for each in dues), default=now))
    wrong: Exception | None = None
    for each in dues:
        plan = plan_of(calendar, each.slice)
        try:
            fire(store, tickets, schedule, plan, each, due_slice(plan, each, now, minded))
        except TryAgain:
            raise
        except (CeleriacError, ValueError, LookupError) as error:
            wrong = error
    if wrong is not None:
        raise wrong


def fire(
    store: Store, tickets: Tickets, schedule: Schedule, plan: SlicePlan, each: SliceDue, decision: DueDecision
) -> Firing | None:
    """Carry out what was decided about a slice; returns the firing that this call made."""
    if decision.fire_at is None:
        if decision.next_at != each.next_due_at:
            store.advance_slice(each, decision.next_at, note=_joined(each.note, decision.reason))
            log.info("schedule %s, %s: %s", schedule.name, dict(each.slice), decision.reason)
        return None
    if decision.cancels is not None:
        _end(store, decision.cancels, decision.reason)
        stop_left_open(store, tickets)
    note = _joined(each.note, decision.reason if decision.skipped or decision.cancels else "")
    firing = fire_free(store, decision.fire_at, firing_of(schedule, plan, each.slice, decision.fire_at, note=note))
    store.advance_slice(each, decision.next_at)
    if firing is not None:
        log.info("schedule %s: %s; made %s", schedule.name, decision.reason, firing.name)
        nights.step(store, tickets, firing.id)
    return firing


def _end(store: Store, firing_id: int, reason: str) -> None:
    """End a firing whose successor takes its place."""
    while True:
        try:
            store.move_firing(firing_id, store.firing(firing_id).turn, FiringMove(FiringEvent.MISS, reason))
        except StaleTurn:
            continue  # it moved meanwhile; its life is short, so this ends
        except IllegalTransition:
            log.info("firing %d came to its end by itself", firing_id)
        return


def stop_left_open(store: Store, tickets: Tickets) -> None:
    """Stop the studies that firings at their end have left open: of those that were ended for a successor, also where
    the one who ended them crashed then.
    """
    for study in store.studies_left_open():
        try:
            store.move_study(study.id, StudyEvent.STOP, "its firing is over")
        except IllegalTransition:
            continue  # it ended by itself
        nights.wake_quietly(tickets, study)


def _joined(before: str, now: str) -> str:
    """What is told of firings that were passed over; of many, the newest."""
    told = "; ".join(filter(None, (before, now)))
    return told if len(told) <= _LONGEST_NOTE else f"…{told[-_LONGEST_NOTE:]}"
