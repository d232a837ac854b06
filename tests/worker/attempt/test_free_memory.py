"""Memory that is really free, as a stand-in for the driver says it."""

from types import SimpleNamespace
from typing import Any, cast

from celeriac.decide.health import Condition
from celeriac.domain.records import Lease, Placed, Resources
from worker.attempt.control import Control
from worker.attempt.free_memory import not_free
from worker.devices.probe import DeviceInfo

GIB = 2**30


class Driver:
    """Says these amounts of free memory, one after the other; the last for ever."""

    def __init__(self, *free: int | None) -> None:
        self._free, self.asked = list(free), 0

    def devices(self) -> list[DeviceInfo]:
        return []

    def condition(self, uuid: str) -> Condition | None:
        self.asked += 1
        found = self._free.pop(0) if len(self._free) > 1 else self._free[0]
        return None if found is None else Condition(found * GIB)

    def xids(self) -> dict[str, tuple[int, ...]]:
        return {}


def lease(share: float, gib: int) -> Lease:
    placed = Placed(("GPU-1",), share, gib * GIB)
    plan = SimpleNamespace(resources=Resources(gpus=share))
    return cast(Lease, SimpleNamespace(placed=placed, plan=plan))


def asked(driver: Driver, given: Any, within_s: float = 5.0) -> str:
    return not_free(given, "GPU-1", driver, Control(), within_s=within_s)


def test_a_trial_waits_until_its_part_is_free() -> None:
    driver = Driver(2, 3, 8)
    assert asked(driver, lease(0.25, 6)) == ""
    assert driver.asked == 3


def test_what_somebody_else_holds_is_told() -> None:
    assert "2.0 GiB of GPU-1 are free, and the trial is to have 6.0 GiB" in asked(Driver(2), lease(0.25, 6), 0.0)
    assert asked(Driver(None), lease(0.25, 6)) == "the driver does not answer for GPU-1"


def test_who_has_a_device_to_itself_or_none_asks_nobody() -> None:
    driver = Driver(0)
    assert asked(driver, lease(1.0, 80)) == ""
    assert asked(driver, SimpleNamespace(placed=None, plan=SimpleNamespace(resources=Resources()))) == ""
    assert driver.asked == 0
