"""A schedule's firings. Rule: (schedule, slice, due time) is unique in the store, so each firing is made exactly once,
however many clocks look and whatever crashes. What becomes of it then: `coordinator.nights`.
"""

import logging

from celeriac.decide.due import DueDecision, due
from celeriac.decide.firing import firings_of
from celeriac.domain.errors import CeleriacError, TryAgain
from celeriac.domain.records import Firing, Schedule
from celeriac.runtime.broker import Tickets
from celeriac.store import Store
from celeriac.store.firing import fire as fire_free
from coordinator import nights

log = logging.getLogger(__name__)


def fire_due(store: Store, tickets: Tickets) -> None:
    """Make all firings that are due. One schedule that goes wrong is logged, and the others fire. Raises
    StoreUnavailable.
    """
    for schedule in store.due_schedules():
        try:
            fire(store, tickets, schedule, due(schedule, store.now(), begun=_is_begun(store, schedule)))
        except TryAgain:
            raise
        except (CeleriacError, ValueError, LookupError):
            log.exception("schedule %s: its firing failed; the next tick tries again", schedule.name)


def _is_begun(store: Store, schedule: Schedule) -> bool:
    """Whether somebody began the firing that is due, and came not as far as to make the schedule due next time."""
    newest = store.firings(schedule.name, limit=2 * max(len(schedule.slices), 1) + 50)
    return any(each.due_at == schedule.next_due_at and not each.by_hand for each in newest)


def fire(store: Store, tickets: Tickets, schedule: Schedule, decision: DueDecision) -> list[Firing]:
    """Make the firing of each slice, then be due next time; returns those that this call made."""
    if decision.fire_at is None:
        return []
    note = decision.reason if decision.skipped else ""
    made = [
        firing
        for candidates in firings_of(schedule, decision.fire_at, note=note)
        if (firing := fire_free(store, decision.fire_at, candidates))
    ]
    for each in store.slice_dues(schedule.name):
        if each.next_due_at < decision.next_at:
            store.advance_slice(each, decision.next_at)
    log.info("schedule %s: %s; made %s", schedule.name, decision.reason, ", ".join(each.name for each in made))
    for firing in made:
        nights.step(store, tickets, firing.id)
    return made
