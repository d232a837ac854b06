"""Which tickets are lost and must be sent again? Those of QUEUED rows, when their queue holds fewer tickets than there
are rows.

A queue with as many tickets as QUEUED rows only waits for slots. A queue with fewer has lost some. Nobody can know
which, so the oldest rows get new tickets. A ticket that is sent twice does nothing. A wrong guess is corrected
later, because the row without a ticket is then the oldest.
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
