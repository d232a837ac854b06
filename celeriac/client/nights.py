"""Following nights: firings, until each is at its end."""

import time
from collections.abc import Iterator, Sequence
from math import inf

from celeriac.domain.records import WORKING, Firing
from celeriac.store import Store


def follow(store: Store, firing_ids: Sequence[int], *, every_s: float = 0.5, until: float = inf) -> Iterator[Firing]:
    """Each firing as it is, and again whenever it has moved, until all are at their ends, or until then
    (monotonic). Raises UnknownSchedule.
    """
    seen: dict[int, int] = {}
    open_ones = list(firing_ids)
    while open_ones:
        for firing in map(store.firing, list(open_ones)):
            if seen.get(firing.id) != firing.turn:
                seen[firing.id] = firing.turn
                yield firing
            if firing.state not in WORKING:
                open_ones.remove(firing.id)
        if open_ones and time.monotonic() > until:
            return
        if open_ones:
            time.sleep(every_s)


def newest_night(store: Store, schedule: str) -> list[Firing]:
    """The firings of the schedule's latest due time that was fired, by slice; none before its first."""
    newest = store.firings(schedule, limit=1)
    if not newest:
        return []
    [last] = newest
    same = [each for each in store.firings(schedule, limit=1000) if each.due_at == last.due_at]
    return sorted((each for each in same if each.by_hand == last.by_hand), key=lambda each: each.name)
