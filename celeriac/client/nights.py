"""Following nights: firings, until each is at its end."""

import time
from collections.abc import Callable, Iterator, Sequence
from math import inf

from celeriac.domain.records import WORKING, Firing, StudyRecord, StudyState
from celeriac.store import Store


def follow(
    read: Callable[[Sequence[int]], Sequence[Firing]],
    firing_ids: Sequence[int],
    *,
    every_s: float = 0.5,
    until: float = inf,
    wait: Callable[[Sequence[int]], bool] = lambda _: False,
) -> Iterator[Firing]:
    """Each firing as it is, and again whenever it has moved, until all are at their ends, until then (monotonic), or
    until those that are left all wait for a person, as `wait` says. `read` gives those that are asked for as they are
    now. Raises UnknownSchedule.
    """
    seen: dict[int, int] = {}
    open_ones = list(firing_ids)
    while open_ones:
        for firing in read(list(open_ones)):
            if seen.get(firing.id) != firing.turn:
                seen[firing.id] = firing.turn
                yield firing
            if firing.state not in WORKING:
                open_ones.remove(firing.id)
        if open_ones and (time.monotonic() > until or wait(open_ones)):
            return
        if open_ones:
            time.sleep(every_s)


def waiting(store: Store, firing_ids: Sequence[int]) -> list[StudyRecord]:
    """The studies of these firings that wait for a person."""
    return [study for study in store.stage_studies(firing_ids) if study.state is StudyState.PAUSED]


def newest_night(store: Store, schedule: str) -> list[Firing]:
    """The firings of the schedule's latest due time that was fired, by slice; none before its first."""
    found: list[Firing] = []
    for limit in (50, 1000):  # a night of few slices is in the first
        found = store.firings(schedule, limit=limit)
        if len(found) < limit or found[-1].due_at != found[0].due_at:
            break
    same = [each for each in found if each.due_at == found[0].due_at and each.by_hand == found[0].by_hand]
    return sorted(same, key=lambda each: each.name)
