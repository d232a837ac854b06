"""Xid faults of GPUs, as the driver tells them by NVML's events: what it also writes to the kernel's log.

Listening begins with the first call and lasts as long as the object: faults before that are not heard of. A driver or a
kind of GPU that knows no events tells nothing.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def opened_nvml() -> Any:
    """NVML, initialised, for the caller to shut down; None where there is no such thing."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


class XidEvents:
    """The events of all GPUs of this host. One thread at a time."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._events: Any = None

    def new(self) -> Mapping[str, tuple[int, ...]]:
        """The faults since the last call, by the device's uuid (of a MIG instance: its GPU's). Never waits."""
        if self._events is None and not self._listen():
            return {}
        nvml, found = self._nvml, defaultdict[str, list[int]](list)
        while True:
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
                uuid = nvml.nvmlDeviceGetUUID(event.device)
            except nvml.NVMLError as error:
                if getattr(error, "value", None) != nvml.NVML_ERROR_TIMEOUT:
                    self.close()  # such as a driver that was loaded anew: the next call listens again
                return {key: tuple(each) for key, each in found.items()}
            found[uuid.decode() if isinstance(uuid, bytes) else uuid].append(int(event.eventData))

    @property
    def is_listening(self) -> bool:
        """Whether the driver tells its faults here."""
        return self._events is not None

    def close(self) -> None:
        """Listen no more."""
        if self._nvml is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlEventSetFree(self._events)
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._nvml = self._events = None

    def _listen(self) -> bool:
        pynvml, heard = opened_nvml(), False
        if pynvml is None:
            return False
        self._nvml = pynvml
        try:
            self._events = pynvml.nvmlEventSetCreate()
            for index in range(pynvml.nvmlDeviceGetCount()):
                with suppress(pynvml.NVMLError):  # one that is lost, or knows no events
                    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                    pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._events)
                    heard = True
        except pynvml.NVMLError:
            heard = False
        if not heard:
            self.close()
        return heard
