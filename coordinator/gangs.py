"""Running gangs: where slots are free that nobody waits for, a round makes room for more at its next checkpoint."""

import logging

from celeriac.decide.gang import may_grow
from celeriac.store import Store
from coordinator.fleet import Fleet

log = logging.getLogger(__name__)


def grow(store: Store, fleet: Fleet) -> None:
    """Ask the rounds that may grow to end at their next checkpoint. Raises StoreUnavailable."""
    claims = [each for each in fleet.claims if each.may_run and each.running and each.resources.is_gang]
    if not claims:
        return
    gangs = store.running_gangs()
    # Who is placed looks at devices that suit it, each study for itself; the others share the slots of their class.
    classes = [[each] for each in claims if each.is_placed]
    classes += [
        [each for each in claims if not each.is_placed and each.resources.on_gpu == gpu] for gpu in (True, False)
    ]
    for ours in filter(None, classes):
        most = {each.study_id: each.resources.members for each in ours}
        free = fleet.spare(ours[0])
        for decision in may_grow([each for each in gangs if each.study_id in most], most, free):
            gang = decision.gang
            store.ask_to_grow(gang.study_id, gang.number, gang.attempt, decision.reason)
            log.info("study %d trial %d makes room: %s", gang.study_id, gang.number, decision.reason)
