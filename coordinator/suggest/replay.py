"""Any suggestion can be computed again from the rows: what the sampler knew follows from what is kept with the
trial.
"""

from dataclasses import replace
from typing import Any

from celeriac.domain.errors import UnknownTrial
from celeriac.domain.records import Source
from celeriac.domain.study_file import parse
from celeriac.store import Store
from coordinator.suggest.heirs import again
from coordinator.suggest.history import History
from coordinator.suggest.past import earlier_of
from coordinator.suggest.shapes import ask_in_shapes


def replayed(store: Store, study_id: int, number: int) -> dict[str, Any]:
    """The parameters that the sampler suggests for this trial when it is asked again, knowing what it knew then.

    Raises UnknownTrial when there is no such trial, when no sampler suggested it, and where the space is learned.
    """
    study, trial = store.study(study_id), store.trial(study_id, number)
    if trial.source is Source.PBT:
        return again(store, study, trial)
    if trial.source is not Source.SUGGESTED:
        raise UnknownTrial(f"trial {number} of {study.name} was not suggested by a sampler: it is a {trial.source}")
    if parse(study.spec, f"study {study.name}").learn_space:
        raise UnknownTrial(
            f"trial {number} of {study.name} cannot be replayed: the study learns its space, and the space as it was"
            " when this trial was suggested is not kept; write the `space` into the study's file to have suggestions"
            f" that can be computed again (`celeriac status {study.name} --json` has what it has learned)"
        )
    found = trial.provenance
    then = found.known_then(number)
    if then is None or found.sampler is None or found.seed is None:
        raise UnknownTrial(f"trial {number} of {study.name} cannot be replayed: its row does not say how it was found")
    observed, first = then
    history = History(parse(study.spec, f"study {study.name}"))
    history.read_on(store, study, until=observed)
    pending, count = history.pending(store, study, below=first), number - first + 1
    earlier = earlier_of(store, history.spec, found.earlier)
    spec = replace(history.spec, seed=found.seed)
    proposals = ask_in_shapes(found.sampler, spec, history.observations, pending, count, earlier)
    return proposals[-1].params
