"""Which share of a GPU fits a study, from the rows as they are."""

from celeriac.decide.advise import AdviceDecision, advise
from celeriac.store import Store


def advice_for(store: Store, study_id: int) -> AdviceDecision:
    """The share that its trials should have, by what they took, and the GPUs that are alive."""
    gpus = [each for each in store.devices(alive=True) if each.is_gpu]
    memory = min((each.memory_bytes for each in gpus), default=0)
    return advise(store.share_figures(study_id), memory, max((len(each.slots) for each in gpus), default=0))
