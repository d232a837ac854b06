"""Deadlines that cannot be met are announced before they pass, in their firings' lives. Rule: once a firing, and only
while its deadline lies ahead; an announcement changes nothing else.
"""

import logging

from celeriac.decide.deadlines import will_it_be_done
from celeriac.decide.share import share
from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.records import Claim
from celeriac.store import Store
from coordinator.fleet import Fleet

log = logging.getLogger(__name__)


def announce(store: Store, fleet: Fleet) -> None:
    """Announce what will be late as the fleet stands. What goes wrong with one is logged. Raises StoreUnavailable."""
    for claim in fleet.claims:
        if claim.deadline_s is None or claim.study_id in fleet.announced:
            continue
        try:
            _announce(store, fleet, claim)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("study %d: its deadline was not looked at; the next tick tries again", claim.study_id)


def _announce(store: Store, fleet: Fleet, claim: Claim) -> None:
    part = share(claim.study_id, fleet.claims, fleet.slots, fleet.passed, fleet.behind)
    decision = will_it_be_done(claim, part.slots, fleet.slots_of(claim.study_id, claim.resources), store.now())
    if not decision.is_late:
        return
    firing_id = store.study(claim.study_id).firing_id
    if firing_id is not None and store.announce(firing_id, decision.reason):
        log.warning("firing %d: %s", firing_id, decision.reason)
    fleet.announced.add(claim.study_id)
