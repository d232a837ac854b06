"""Which tickets are lost, so that they are sent again? Those of rows that nobody claimed while the queue is too short for them.

A queue that holds as many tickets as there are QUEUED rows is only waiting for slots. One that holds fewer has lost some,
and it cannot be known which: the oldest rows get new tickets. A ticket sent twice is a no-op, and a wrong guess mends itself,
because the row that was passed over is then the oldest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.records import TrialRecord


@dataclass(frozen=True, slots=True)
class LostDecision:
    """The trials, oldest first, whose tickets are sent again."""

    again: tuple[TrialRecord, ...]
    reason: str


def lost(queued: Sequence[TrialRecord], tickets: int, now: datetime, *, patience_s: float) -> LostDecision:
    """Decide for one queue: all its QUEUED rows, and how many `tickets` wait in it.

    A row younger than `patience_s` is left alone: its ticket may be on the way, or in a worker's hands right now.
    """
    missing = len(queued) - tickets
    if missing <= 0:
        return LostDecision((), f"{tickets} tickets wait for {len(queued)} queued trials")
    long_ago = now - timedelta(seconds=patience_s)
    old = sorted(
        (t for t in queued if t.queued_at is not None and t.queued_at <= long_ago),
        key=lambda t: (t.queued_at, t.study_id, t.number),
    )
    return LostDecision(tuple(old[:missing]), f"{missing} of {len(queued)} queued trials have no ticket")
