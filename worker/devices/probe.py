"""The devices of this host and their slots. Rule: read through NVML only, so that no process of ours ever opens CUDA.

What `CUDA_VISIBLE_DEVICES` hides from this program stays hidden: other users of the host may own it. Slots name their
GPU by uuid, which means the same to NVML, to CUDA and across restarts; indexes do not.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from celeriac.decide.health import Condition
from worker.devices.xids import XidEvents, opened_nvml

CPU = "cpu"
#: How the kinds of GPUs begin that stand in a file (`worker.devices.simulated`): trials there run on the processor.
SIMULATED = "simulated "


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device. `index` counts as NVML does (by PCI address); `kind` is "cpu" or the GPU's name."""

    index: int
    uuid: str
    kind: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A share of a device that runs one trial at a time. `name` is also its worker's, as gpu0.s0@host. `is_shared`: its
    device has other slots.
    """

    name: str
    device_uuid: str
    kind: str
    cuda_visible: str
    is_shared: bool = False

    @property
    def is_gpu(self) -> bool:
        """Whether trials that ask for a GPU may run here."""
        return self.kind != CPU

    @property
    def has_cuda(self) -> bool:
        """Whether a trial's process computes on its device."""
        return self.is_gpu and not self.kind.startswith(SIMULATED)

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this slot must see of CUDA: its one device, or none."""
        return {"CUDA_VISIBLE_DEVICES": self.cuda_visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


class Probe(Protocol):
    """A way to find devices, and to ask how they are."""

    def devices(self) -> list[DeviceInfo]:
        """The devices there are now, by index. None at all is an empty list, never an error."""

    def condition(self, uuid: str) -> Condition | None:
        """How a device is; None: it does not answer, or is gone."""

    def xids(self) -> Mapping[str, tuple[int, ...]]:
        """The Xid faults that the driver told since the last call, by the device's uuid; the first call begins."""


class NvmlProbe:
    """The GPUs that the NVIDIA driver names and `visible` (a CUDA_VISIBLE_DEVICES, None: all) leaves to us.

    A GPU in MIG mode is not a device, its instances are.
    """

    def __init__(self, visible: str | None) -> None:
        self._visible = visible
        self._xids = XidEvents()

    def devices(self) -> list[DeviceInfo]:
        """As `Probe.devices`; no driver, no library or no permission are no devices."""
        with _nvml() as nvml:
            return [] if nvml is None else allowed(_all_gpus(nvml), self._visible)

    def condition(self, uuid: str) -> Condition | None:
        """As `Probe.condition`; what a kind of GPU does not tell counts as well."""
        with _nvml() as nvml:
            if nvml is None:
                return None
            try:
                handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
                free = int(nvml.nvmlDeviceGetMemoryInfo(handle).free)
            except nvml.NVMLError:
                return None
            return Condition(
                free,
                temperature_c=_told(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
                limit_c=_told(
                    nvml,
                    lambda: nvml.nvmlDeviceGetTemperatureThreshold(handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
                ),
                ecc_errors=_told(
                    nvml,
                    lambda: nvml.nvmlDeviceGetTotalEccErrors(
                        handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
                    ),
                ),
                utilisation=_share(_told(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            )

    def xids(self) -> Mapping[str, tuple[int, ...]]:
        """As `Probe.xids`."""
        return self._xids.new()


class CpuProbe:
    """The host's processors as one device, when it is to have `slots` of them."""

    def __init__(self, slots: int, host: str) -> None:
        self._slots, self._host = slots, host

    def devices(self) -> list[DeviceInfo]:
        """As `Probe.devices`."""
        if self._slots <= 0:
            return []
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return [DeviceInfo(0, f"cpu-{self._host}", CPU, memory_bytes)]

    def condition(self, uuid: str) -> Condition | None:
        """As `Probe.condition`: a processor that runs this is well."""
        return Condition(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))

    def xids(self) -> Mapping[str, tuple[int, ...]]:
        """As `Probe.xids`: there is no such thing."""
        return {}


def allowed(devices: Sequence[DeviceInfo], visible: str | None) -> list[DeviceInfo]:
    """Those of `devices` that a CUDA_VISIBLE_DEVICES leaves, in its order: indexes, or uuids cut short anywhere.

    As in CUDA, the first entry that names nothing hides itself and all after it.
    """
    if visible is None:
        return list(devices)
    chosen: list[DeviceInfo] = []
    for entry in visible.split(","):
        found = _named(devices, entry.strip())
        if found is None:
            break
        if found not in chosen:
            chosen.append(found)
    return chosen


def slots(devices: Sequence[DeviceInfo], cpu_slots: int, host: str, *, per_gpu: int = 1) -> list[Slot]:
    """The slots of a host: `per_gpu` for each GPU, then `cpu_slots` for its processors if those are among the
    devices.
    """
    found = []
    for device in devices:
        is_cpu = device.kind == CPU
        prefix = f"{'cpu' if is_cpu else 'gpu'}{device.index}"
        count = cpu_slots if is_cpu else per_gpu
        for share in range(count):
            visible = "" if is_cpu else device.uuid
            found.append(Slot(f"{prefix}.s{share}@{host}", device.uuid, device.kind, visible, count > 1))
    return found


def _told(nvml: Any, ask: Callable[[], int]) -> int | None:
    """What a device says; None where its kind has no such thing."""
    try:
        return int(ask())
    except nvml.NVMLError:
        return None


def _share(percent: int | None) -> float | None:
    return None if percent is None else percent / 100


def _named(devices: Sequence[DeviceInfo], entry: str) -> DeviceInfo | None:
    if entry.isdigit():
        return next((each for each in devices if each.index == int(entry)), None)
    return next((each for each in devices if entry and each.uuid.startswith(entry)), None)


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML, initialised, or None where there is no such thing."""
    nvml = opened_nvml()
    try:
        yield nvml
    finally:
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()


def _all_gpus(nvml: Any) -> list[DeviceInfo]:
    """Every GPU, or its MIG instances. One that has fallen off the bus is passed over; its neighbours still count."""
    found: list[DeviceInfo] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        with suppress(nvml.NVMLError):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            instances = _mig_instances(nvml, handle)
            found += [_info(nvml, index, each) for each in ([handle] if instances is None else instances)]
    if len({each.index for each in found}) == len(found):
        return found
    return [DeviceInfo(place, each.uuid, each.kind, each.memory_bytes) for place, each in enumerate(found)]


def _mig_instances(nvml: Any, handle: Any) -> list[Any] | None:
    """The instances of a GPU in MIG mode; None for one that is whole."""
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return None  # this kind of GPU has no MIG
    if not current:
        return None
    instances = []
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(nvml.NVMLError):
            instances.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
    return instances


def _info(nvml: Any, index: int, handle: Any) -> DeviceInfo:
    return DeviceInfo(
        index,
        _text(nvml.nvmlDeviceGetUUID(handle)),
        _text(nvml.nvmlDeviceGetName(handle)),
        int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _text(value: str | bytes) -> str:
    """Older releases of the binding answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value
