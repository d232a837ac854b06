"""The course of a trial's training, where it is an heir: with which parameters each part of it was trained, and by
which trial.
"""

from dataclasses import dataclass

from celeriac.domain.records import Params, Source, TrialRecord
from celeriac.store import Store


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a training: `trial` trained it with these parameters, from step `first` to step `last` (None: no
    step is known).
    """

    trial: int
    first: int
    last: int | None
    params: Params


def lineage(store: Store, trial: TrialRecord) -> list[Part]:
    """The parts of its training, first to last; one part where it inherited nothing."""
    found: list[Part] = []
    last = trial.step if trial.step is not None else trial.last_step
    while (parent := _parent(store, trial)) is not None:
        number, step = parent
        found.append(Part(trial.number, step + 1, last, trial.params))
        trial, last = store.trial(trial.study_id, number), step
    found.append(Part(trial.number, 0, last, trial.params))
    return found[::-1]


def _parent(store: Store, trial: TrialRecord) -> tuple[int, int] | None:
    """Whose checkpoint it went on from, and of which step; None where none of its attempts did."""
    parent, step = (trial.why.get(key) for key in ("parent", "parent_step"))
    if trial.source is not Source.PBT or parent is None or step is None:
        return None
    begun = {each.resumed_step for each in store.attempts(trial.study_id, trial.number)}
    return (parent, step) if step in begun else None
