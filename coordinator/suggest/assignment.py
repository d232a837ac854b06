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
    """A study that waits for an answer. `home`: the suggester that knows it; None: none does."""

    study_id: int
    home: int | None = None


@dataclass(frozen=True, slots=True)
class SuggesterState:
    """A suggester now. `runs`: whether its process does; `busy_s`: time on its question, None when free; `knows`: how
    many studies.
    """

    number: int
    runs: bool = False
    busy_s: float | None = None
    knows: int = 0


@dataclass(frozen=True, slots=True)
class AssignDecision:
    """`study_id` is to be answered by `suggester`."""

    study_id: int
    suggester: int
    reason: str


def assign(asking: Sequence[Asking], suggesters: Sequence[SuggesterState]) -> AssignDecision | None:
    """The next question to be worked on; None: all wait. `asking` in the order in which they asked; `suggesters` by
    number.
    """
    free = sorted((s for s in suggesters if s.busy_s is None), key=lambda s: (not s.runs, s.knows, s.number))
    if not free:
        return None
    for each in asking:
        home = None if each.home is None else suggesters[each.home]
        if home is None:
            return AssignDecision(each.study_id, free[0].number, "no process knows it")
        if home.busy_s is None:
            return AssignDecision(each.study_id, home.number, "its process is free")
        if home.busy_s >= PATIENCE_S:
            reason = f"its process has been busy for {home.busy_s:.1f} s"
            return AssignDecision(each.study_id, free[0].number, reason)
    return None
