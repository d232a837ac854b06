"""How busy the slots that are alive have been, in the last hour, from the rows."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

from celeriac.domain.records import SlotRun
from celeriac.report.busy import Busy, busy_of, full_spans
from celeriac.store import Store

_WINDOW_S = 3600.0


@dataclass(frozen=True, slots=True)
class SlotTrial:
    """What a slot runs: trial `number` of a study, in which attempt."""

    study: str
    number: int
    attempt: int


def busy_slots(store: Store) -> dict[str, Busy]:
    """Each slot's time from the first lease within the last hour until now; none where nothing ran."""
    now = store.now()
    since = now - timedelta(seconds=_WINDOW_S)
    runs: defaultdict[str, list[SlotRun]] = defaultdict(list)
    for run in store.slot_runs(since):
        runs[run.worker].append(run)
    if not runs:
        return {}
    since = max(since, min(each[0].leased_at for each in runs.values()))
    asides = [each for each in store.put_asides() if not each.study_id]
    found = {}
    for device in store.devices(alive=True):
        of_device = [run for each in runs.values() for run in each if run.device == device.uuid]
        full = full_spans(of_device, device.memory_bytes) if device.is_gpu and len(device.slots) > 1 else []
        for slot in device.slots:
            ours = [each for each in asides if each.worker == slot]
            found[slot] = busy_of(runs[slot], ours, since, now, full)
    return found
