"""Any suggestion can be computed again from the rows: what the sampler knew follows from what is kept with the
trial.
"""

from typing import Any

from celeriac.domain.errors import UnknownTrial
from celeriac.domain.records import Source
from celeriac.domain.study_file import parse
from celeriac.store import Store
from coordinator.samplers import sampler_for
from coordinator.suggest.history import History


def replayed(store: Store, study_id: int, number: int) -> dict[str, Any]:
    """The parameters that the sampler suggests for this trial when it is asked again, knowing what it knew then.

    Raises UnknownTrial when there is no such trial, or no sampler suggested it.
    """
    study, trial = store.study(study_id), store.trial(study_id, number)
    if trial.source is not Source.SUGGESTED:
        raise UnknownTrial(f"trial {number} of {study.name} was not suggested by a sampler: it is a {trial.source}")
    why = trial.why
    history = History(parse(study.spec, f"study {study.name}"))
    history.read_on(store, study, until=int(why["observed"]))
    place = int(why["index"])
    pending = history.pending(store, study, below=number - place)
    proposals = sampler_for(why["sampler"])(
        history.spec.space, history.observations, pending, place + 1, int(why["seed"])
    )
    return proposals[place].params
