"""Which tickets are lost, so that they are sent again? Those of rows that nobody claimed while the queue is too short
for them.

A queue that holds as many tickets as there are QUEUED rows is only waiting for slots. One that holds fewer has lost
some, and it cannot be known which: the oldest rows get new tickets. A ticket sent twice is a no-op, and a wrong guess
mends itself, because the row that was passed over is then the oldest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LostDecision:
    """How many of the queue's oldest rows get new tickets."""

    again: int
    reason: str


def lost(queued: int, tickets: int) -> LostDecision:
    """Decide for one queue: how many rows of its demand class are QUEUED, and how many `tickets` wait in it."""
    missing = queued - tickets
    if missing <= 0:
        return LostDecision(0, f"{tickets} tickets wait for {queued} queued trials")
    return LostDecision(missing, f"{missing} of {queued} queued trials have no ticket")
