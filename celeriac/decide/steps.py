"""What does a snapshot look like after the turn's own step? With that a turn of many steps reads the study once.

Promise: while nobody else writes, this is the snapshot that the store would give. The next turn sees what others
wrote meanwhile; the store refuses a step that has become wrong.
"""

from collections.abc import Collection
from dataclasses import replace

from celeriac.domain.records import MOST_READY, Counts, Snapshot


def after_queueing(snapshot: Snapshot, numbers: Collection[int]) -> Snapshot:
    """These trials have become QUEUED."""
    paused = tuple(number for number in snapshot.paused if number not in numbers)
    waiting = tuple(number for number in snapshot.waiting if number not in numbers)
    were_paused, were_waiting = len(snapshot.paused) - len(paused), len(snapshot.waiting) - len(waiting)
    counts = snapshot.study.counts
    counts = replace(
        counts,
        paused=counts.paused - were_paused,
        waiting=counts.waiting - were_waiting,
        queued=counts.queued + were_paused + were_waiting,
    )
    return replace(_next_turn(snapshot, counts), paused=paused, waiting=waiting)


def after_adding(snapshot: Snapshot, count: int) -> Snapshot:
    """That many trials were added."""
    first, counts = snapshot.study.next_number, snapshot.study.counts
    after = _next_turn(snapshot, replace(counts, waiting=counts.waiting + count), added=count)
    if len(snapshot.waiting) >= MOST_READY:  # there may be more than it lists, and these come after them
        return after
    return replace(after, waiting=(*snapshot.waiting, *range(first, first + count)))


def after_replacing(snapshot: Snapshot) -> Snapshot:
    """Waiting trials were given other parameters."""
    return _next_turn(snapshot, snapshot.study.counts)


def _next_turn(snapshot: Snapshot, counts: Counts, added: int = 0) -> Snapshot:
    study = snapshot.study
    study = replace(study, turn=study.turn + 1, counts=counts, next_number=study.next_number + added)
    return replace(snapshot, study=study, tail=())
