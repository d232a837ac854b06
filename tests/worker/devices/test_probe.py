"""Devices and slots, on this host and on a box of eight GPUs."""

import os
import sys
from pathlib import Path

import pytest

from celeriac.decide.health import Condition
from worker.devices.probe import CpuProbe, DeviceInfo, NvmlProbe, Probe, Slot, allowed, slots
from worker.node.node import kept_key


class BoxOfEight:
    """What NVML would say on a host with eight GPUs."""

    def devices(self) -> list[DeviceInfo]:
        return [DeviceInfo(index, f"GPU-{index}abc", "NVIDIA H200", 141 << 30) for index in range(8)]

    def condition(self, uuid: str) -> Condition | None:
        return Condition(141 << 30)

    def xids(self) -> dict[str, tuple[int, ...]]:
        return {}


def test_eight_gpus_make_eight_slots() -> None:
    probe: Probe = BoxOfEight()
    made = slots(probe.devices(), 0, "node7")
    assert [slot.name for slot in made] == [f"gpu{index}.s0@node7" for index in range(8)]
    assert made[5] == Slot("gpu5.s0@node7", "GPU-5abc", "NVIDIA H200", "GPU-5abc")
    assert made[5].environment == {"CUDA_VISIBLE_DEVICES": "GPU-5abc", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert all(slot.is_gpu for slot in made)


def test_a_gpu_may_have_several_slots() -> None:
    made = slots(BoxOfEight().devices()[:1], 0, "node7", per_gpu=2)
    assert [slot.name for slot in made] == ["gpu0.s0@node7", "gpu0.s1@node7"]
    assert {slot.device_uuid for slot in made} == {"GPU-0abc"}


@pytest.mark.parametrize(
    ("visible", "indexes"),
    [
        (None, [0, 1, 2, 3, 4, 5, 6, 7]),
        ("", []),
        ("-1", []),
        ("2", [2]),
        ("5,1", [5, 1]),
        ("1, 1", [1]),
        ("GPU-3", [3]),
        ("GPU-3abc,6", [3, 6]),
        ("0,9,1", [0]),
        ("0,-1,1", [0]),
        ("NoDevFiles", []),
    ],
)
def test_what_cuda_visible_devices_hides_stays_hidden(visible: str | None, indexes: list[int]) -> None:
    assert [device.index for device in allowed(BoxOfEight().devices(), visible)] == indexes


def test_cpu_slots_share_one_device() -> None:
    devices = CpuProbe(3, "laptop").devices()
    made = slots(devices, 3, "laptop")
    assert [slot.name for slot in made] == ["cpu0.s0@laptop", "cpu0.s1@laptop", "cpu0.s2@laptop"]
    assert made[0].environment["CUDA_VISIBLE_DEVICES"] == ""
    assert not made[0].is_gpu
    assert devices[0].uuid == "cpu-laptop"
    assert devices[0].memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert CpuProbe(0, "laptop").devices() == []


def test_this_host_answers_without_an_error() -> None:
    if os.path.exists("/dev/nvidiactl"):
        assert all(device.memory_bytes > 0 for device in NvmlProbe(None).devices())
    else:
        assert NvmlProbe(None).devices() == []


def test_no_binding_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert NvmlProbe(None).devices() == []


def test_two_nodes_of_one_host_have_keys_of_their_own_and_keep_them(tmp_path: Path) -> None:
    gpu, cpu = [DeviceInfo(0, "GPU-1", "H200", 1)], [DeviceInfo(0, "cpu-here", "cpu", 1)]
    keys = {kept_key(tmp_path, gpu), kept_key(tmp_path, cpu), kept_key(tmp_path, [*gpu, *cpu])}
    assert len(keys) == 3
    assert kept_key(tmp_path, gpu) in keys
    assert kept_key(tmp_path, cpu) in keys
