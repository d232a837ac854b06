"""The fleet as a person looks at it: each device with what its slots run, do not take, and did in the last hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.client.busy import SlotTrial, busy_slots
from celeriac.domain.records import Device, PutAside
from celeriac.report.busy import Busy
from celeriac.report.forms import device_form
from celeriac.store import Store


@dataclass(frozen=True, slots=True)
class Fleet:
    """One look. `runs` and `busy` by slot; `names`: of the studies in `aside`."""

    devices: Sequence[Device]
    runs: Mapping[str, Sequence[SlotTrial]]
    aside: Sequence[PutAside]
    busy: Mapping[str, Busy]
    names: Mapping[int, str]
    now: datetime

    def forms(self) -> list[dict[str, Any]]:
        """As JSON."""
        return [
            device_form(each, self.runs, self.aside, self.busy, alive=each.is_alive(self.now)) for each in self.devices
        ]


def fleet_of(store: Store) -> Fleet:
    """The fleet as it is now."""
    devices, aside = store.devices(), store.put_asides()
    runs = {
        slot: [SlotTrial(run.study, run.number, run.attempt) for run in store.open_attempts_of(slot)]
        for each in devices
        for slot in each.slots
    }
    for gang in store.running_gangs():  # the attempt's row names rank 0's slot alone
        shown = SlotTrial(store.study(gang.study_id).name, gang.number, gang.attempt)
        for member in store.gang_members(gang.study_id, gang.number, gang.attempt):
            if member.rank and not member.ended and member.worker in runs:
                runs[member.worker].append(shown)
    return Fleet(devices, runs, aside, busy_slots(store), names_of(store, aside), store.now())


def names_of(store: Store, aside: Sequence[PutAside]) -> dict[int, str]:
    """The names of the studies of which these slots take no trials."""
    return {each.study_id: store.study(each.study_id).name for each in aside if each.study_id}
