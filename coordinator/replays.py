"""Past nights that somebody asked for. Rule: the row says which days; which nights begin is decided anew at each tick,
from the firings that there are, so a coordinator that dies in between forgets nothing.
"""

import logging

from celeriac.decide.firing import firing_of
from celeriac.decide.replay import replay, since
from celeriac.domain.errors import CeleriacError, TryAgain, UnknownSchedule
from celeriac.domain.records import Replay
from celeriac.runtime.broker import Tickets
from celeriac.store import Store
from celeriac.store.firing import fire
from coordinator import nights

log = logging.getLogger(__name__)


def step_all(store: Store, tickets: Tickets) -> None:
    """Begin what may begin of each. One that goes wrong is logged, and the others go on. Raises StoreUnavailable."""
    for asked in store.open_replays():
        try:
            _step(store, tickets, asked)
        except TryAgain:
            raise
        except (CeleriacError, ValueError, LookupError):
            log.exception("schedule %s: its past nights do not begin; the next tick tries again", asked.schedule)


def _step(store: Store, tickets: Tickets, asked: Replay) -> None:
    try:
        row = store.schedule(asked.schedule)
    except UnknownSchedule:
        store.end_replay(asked.id, "the schedule was removed")
        return
    decision = replay(
        row, asked, store.slice_dues(row.name), store.firings_to_mind(row.name, since(asked)), store.now()
    )
    for each in decision.begin:
        note = f"a past night, as {asked.who} asked"
        firing = fire(store, each.due_at, firing_of(row, each.plan, each.slice, each.due_at, note=note))
        if firing is not None:  # else somebody made it in this moment
            log.info("schedule %s: %s; made %s", row.name, decision.reason, firing.name)
            nights.step(store, tickets, firing.id)
    if decision.is_over:
        store.end_replay(asked.id, decision.reason)
