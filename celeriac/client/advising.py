"""Which share of a GPU fits a study, from the rows as they are."""

from celeriac.decide.advise import AdviceDecision, advise
from celeriac.store import Store


def advice_for(store: Store, study_id: int) -> AdviceDecision:
    """The share that its trials should have, by what they took and the smallest GPU that is alive."""
    memory = [each.memory_bytes for each in store.devices(alive=True) if each.is_gpu]
    return advise(store.share_figures(study_id), min(memory, default=0))
