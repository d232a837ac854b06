"""Devices that take no trials: taken out by hand, or sick, on a stand-in for a box of GPUs."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from celeriac.decide.health import Condition
from celeriac.runtime.settings import Settings
from tests.memory_store import MemoryStore
from worker.devices.probe import DeviceInfo, slots
from worker.node.device_watch import HANGS, STALE_S, DeviceWatch
from worker.node.node import HostStatus, device_rows


class SickBox:
    """What a driver would say of each GPU."""

    def __init__(self) -> None:
        self.conditions: dict[str, Condition | None] = {}
        self.told: dict[str, tuple[int, ...]] = {}

    def devices(self) -> list[DeviceInfo]:
        return [DeviceInfo(k, f"GPU-{k}", "H100", 80 << 30) for k in range(3)]

    def condition(self, uuid: str) -> Condition | None:
        return self.conditions.get(uuid, Condition(80 << 30))

    def xids(self) -> dict[str, tuple[int, ...]]:
        told, self.told = self.told, {}
        return told


def watched(tmp_path: Path) -> tuple[DeviceWatch, SickBox, MemoryStore]:
    box, store = SickBox(), MemoryStore()
    settings = replace(Settings(home=tmp_path), host="box", heartbeat_s=1000.0)
    return DeviceWatch(store, settings, box.devices(), box), box, store


def test_a_sick_device_is_out_until_it_is_well(tmp_path: Path) -> None:
    watch, box, _ = watched(tmp_path)
    watch.look()
    assert watch.out(time.monotonic()) == {}
    box.conditions["GPU-1"] = None
    watch.look()
    assert watch.out(time.monotonic()) == {"GPU-1": "lost: its driver does not answer for it"}
    del box.conditions["GPU-1"]
    watch.look()
    assert watch.out(time.monotonic()) == {}
    watch.close()


def test_an_xid_of_the_device_s_own_keeps_it_out_and_one_of_a_program_does_not(tmp_path: Path) -> None:
    watch, box, _ = watched(tmp_path)
    box.told = {"GPU-0": (31, 43), "GPU-2": (13, 79), "GPU-elsewhere": (79,)}
    watch.look()
    assert watch.out(time.monotonic()) == {
        "GPU-2": "sick: Xid 79, it has fallen off the bus; reset it, and start its node again"
    }
    watch.look()
    assert set(watch.out(time.monotonic())) == {"GPU-2"}, "nothing tells that it was reset"
    watch.close()


def test_devices_are_taken_out_by_index_or_uuid_or_all_together(tmp_path: Path) -> None:
    watch, _, store = watched(tmp_path)
    for devices, out in ((["1"], {"GPU-1"}), (["GPU-2"], {"GPU-1", "GPU-2"}), ([], {"GPU-0", "GPU-1", "GPU-2"})):
        store.drain("box", devices, "ana")
        watch.look()
        assert set(watch.out(time.monotonic())) == out
    assert store.undrain("box", []) == 3
    watch.look()
    assert watch.out(time.monotonic()) == {}
    watch.close()


def test_a_driver_that_hangs_has_lost_all_its_devices(tmp_path: Path) -> None:
    watch, _, _ = watched(tmp_path)
    watch.look()
    found = watch.out(time.monotonic() + STALE_S + 1)
    assert found == {f"GPU-{k}": HANGS for k in range(3)}
    watch.close()


def test_what_devices_say_of_themselves_is_told_until_their_driver_hangs(tmp_path: Path) -> None:
    watch, box, _ = watched(tmp_path)
    box.conditions = {"GPU-0": Condition(20 << 30, 61, utilisation=0.93), "GPU-2": None}
    watch.look()
    found = watch.conditions(time.monotonic())
    assert set(found) == {"GPU-0", "GPU-1"}, "of one that does not answer nothing is known"
    assert watch.conditions(time.monotonic() + STALE_S + 1) == {}
    status = HostStatus("box", "", frozenset(), datetime.now(UTC), conditions=found)
    rows = device_rows(slots(box.devices(), 0, "box"), box.devices(), status)
    assert [(each.used_bytes, each.utilisation, each.temperature_c) for each in rows] == [
        (60 << 30, 0.93, 61),
        (0, None, None),
        (None, None, None),
    ]
    watch.close()
