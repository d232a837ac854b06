"""Xid faults by NVML's events, with a stand-in for the driver."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from worker.devices.xids import XidEvents


class Driver:
    """What of pynvml is used: two GPUs, the second of which knows no events."""

    NVML_ERROR_TIMEOUT, nvmlEventTypeXidCriticalError = 10, 8  # noqa: N815

    class NVMLError(Exception):
        def __init__(self, value: int) -> None:
            self.value = value

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int]] = []
        self.opened, self.registered, self.gone = 0, list[str](), False

    def nvmlInit(self) -> None:  # noqa: N802
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlEventSetCreate(self) -> str:  # noqa: N802
        return "events"

    def nvmlEventSetFree(self, events: str) -> None:  # noqa: N802
        assert events == "events"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return f"GPU-{index}"

    def nvmlDeviceRegisterEvents(self, handle: str, kind: int, events: str) -> None:  # noqa: N802
        assert (kind, events) == (8, "events")
        if handle == "GPU-1":
            raise self.NVMLError(3)
        self.registered.append(handle)

    def nvmlEventSetWait_v2(self, events: str, wait_ms: int) -> Any:  # noqa: N802
        assert wait_ms == 0
        if self.gone:
            raise self.NVMLError(15)
        if not self.waiting:
            raise self.NVMLError(self.NVML_ERROR_TIMEOUT)
        device, xid = self.waiting.pop(0)
        return SimpleNamespace(device=device, eventData=xid)

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:  # noqa: N802
        return handle.encode()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", found)
    return found


def test_faults_are_told_once_by_device(driver: Driver) -> None:
    events = XidEvents()
    assert events.new() == {}
    assert (driver.registered, driver.opened) == (["GPU-0"], 1)
    driver.waiting = [("GPU-0", 31), ("GPU-0", 79)]
    assert events.new() == {"GPU-0": (31, 79)}
    assert events.new() == {}
    events.close()
    assert driver.opened == 0


def test_a_driver_that_is_loaded_anew_is_listened_to_again(driver: Driver) -> None:
    events = XidEvents()
    events.new()
    driver.gone = True
    assert events.new() == {}
    assert driver.opened == 0
    driver.gone, driver.waiting = False, [("GPU-0", 48)]
    assert events.new() == {"GPU-0": (48,)}


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert XidEvents().new() == {}
