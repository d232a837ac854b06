"""Which study does a free suggester work for next, and which suggester is that?

Promises: studies are served in the order in which they asked, each for one question, so none starves another; a study
stays with the process that knows it, unless that one is busy with one question for so long that knowing it anew
elsewhere is cheaper; no process is started while one that runs is free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: To know a study anew takes about a second: reading its past, fitting its model.
PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Asking:
    """A study that waits for an answer. `home`: the seat of the process that knows it; None: no process does."""

    study_id: int
    home: int | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for one process. `busy_s`: how long it has worked on its question, None when free; `knows`: how many
    studies.
    """

    number: int
    runs: bool = False
    busy_s: float | None = None
    knows: int = 0


@dataclass(frozen=True, slots=True)
class SeatDecision:
    """`study_id` is to be answered at `seat`."""

    study_id: int
    seat: int
    reason: str


def assign(asking: Sequence[Asking], seats: Sequence[Seat]) -> SeatDecision | None:
    """The next question to be worked on; None: all wait. `asking` in the order in which they asked; `seats` by
    number.
    """
    free = sorted((s for s in seats if s.busy_s is None), key=lambda s: (not s.runs, s.knows, s.number))
    if not free:
        return None
    for each in asking:
        home = None if each.home is None else seats[each.home]
        if home is None:
            return SeatDecision(each.study_id, free[0].number, "no process knows it")
        if home.busy_s is None:
            return SeatDecision(each.study_id, home.number, "its process is free")
        if home.busy_s >= PATIENCE_S:
            reason = f"its process has been busy for {home.busy_s:.1f} s"
            return SeatDecision(each.study_id, free[0].number, reason)
    return None
