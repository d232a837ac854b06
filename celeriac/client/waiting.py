"""What a study waits for, from the rows as they are now."""

from celeriac.decide.share import Slots
from celeriac.decide.waiting import WaitDecision, why_it_waits
from celeriac.store import Store


def waiting_of(store: Store, study_id: int) -> WaitDecision:
    """Why it waits: an estimate, without what only the coordinator remembers."""
    aside = {each.worker for each in store.put_asides() if each.study_id in (0, study_id)}
    devices = store.devices(alive=True)
    free = {gpu: sum(s not in aside for d in devices if d.is_gpu == gpu for s in d.slots) for gpu in (True, False)}
    return why_it_waits(study_id, store.claims(), Slots(free[True], free[False]), store.now())
