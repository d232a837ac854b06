"""Slots for studies that have waited too long, from those that matter clearly less: at each tick, running trials are
asked to hand themselves back. Rule: what is remembered here, since when a study waits, may be forgotten at any time.
"""

import logging

from celeriac.decide.preempt import Shortage, short_since, shortages, whom_to_ask_back
from celeriac.domain.errors import StoreUnavailable
from celeriac.store import Store
from coordinator.fleet import Fleet

log = logging.getLogger(__name__)


def make_room(store: Store, fleet: Fleet, since: dict[int, float], now_s: float, after_s: float) -> None:
    """Ask trials back for whom has waited for `after_s` (0: never), and note in `since` who waits. What goes wrong with
    one is logged. Raises StoreUnavailable.
    """
    if not after_s:
        return
    waiting = short_since(since, fleet.claims, fleet.slots, now_s)
    since.clear()
    since.update(waiting)
    for shortage in shortages(since, fleet.claims, fleet.slots, now_s, after_s):
        try:
            _ask_back(store, shortage)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("study %d: no room was made for it; the next tick tries again", shortage.study_id)


def _ask_back(store: Store, shortage: Shortage) -> None:
    running = store.running_attempts(list(shortage.of))
    decision = whom_to_ask_back(shortage, store.study(shortage.study_id).name, running, store.now())
    if decision.tokens and (asked := store.preempt(decision.tokens, decision.reason)):
        log.warning("%d running trials are asked back: %s", asked, decision.reason)
