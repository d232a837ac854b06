"""How busy the slots that are alive have been, in the last hour, from the rows."""

from collections import defaultdict
from datetime import timedelta

from celeriac.domain.records import SlotRun
from celeriac.report.busy import Busy, busy_of
from celeriac.store import Store

WINDOW_S = 3600.0


def busy_slots(store: Store, window_s: float = WINDOW_S) -> dict[str, Busy]:
    """Each slot's time from the first lease within the window until now; none where nothing ran."""
    now = store.now()
    since = now - timedelta(seconds=window_s)
    runs: defaultdict[str, list[SlotRun]] = defaultdict(list)
    for run in store.slot_runs(since):
        runs[run.worker].append(run)
    if not runs:
        return {}
    since = max(since, min(each[0].leased_at for each in runs.values()))
    asides = [each for each in store.put_asides() if not each.study_id]
    return {
        slot: busy_of(runs[slot], [each for each in asides if each.worker == slot], since, now)
        for device in store.devices(alive=True)
        for slot in device.slots
    }
