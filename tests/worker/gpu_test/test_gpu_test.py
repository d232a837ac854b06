"""The self-test of GPUs, without any: what it says of each outcome, and its programs on a processor."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from celeriac.decide.health import Condition
from worker.devices.probe import DeviceInfo
from worker.gpu_test import examine as subject
from worker.gpu_test.examine import GIB, Found, examine
from worker.gpu_test.on_card import pack

CARD = DeviceInfo(0, "GPU-1", "NVIDIA H200", 141 * GIB)


class Card:
    """A probe with one GPU that has so much free at each look, one after the other; the last goes on."""

    def __init__(self, *free_gib: float, devices: Sequence[DeviceInfo] = (CARD,)) -> None:
        self._free, self._devices = list(free_gib), list(devices)

    def devices(self) -> list[DeviceInfo]:
        return self._devices

    def condition(self, uuid: str) -> Condition | None:
        free = self._free.pop(0) if len(self._free) > 1 else self._free[0]
        return Condition(round(free * GIB), temperature_c=40, limit_c=90, ecc_errors=0)

    def xids(self) -> dict[str, tuple[int, ...]]:
        return {}


def by_name(found: Sequence[Found]) -> dict[str, tuple[str, str]]:
    return {each.name: (each.verdict, each.told) for each in found}


def programs(monkeypatch: pytest.MonkeyPatch, **told: str) -> list[str]:
    """Have each test's program be this Python; without one, it says that all is well. Which were started."""
    started: list[str] = []
    well = f"print({json.dumps({'verdict': 'ok', 'told': 'well'})!r})"

    def start(test: str, environ: Mapping[str, str]) -> "subprocess.Popen[str]":
        started.append(test)
        assert environ["CUDA_VISIBLE_DEVICES"] == "GPU-1", "a test sees its GPU alone"
        command = [sys.executable, "-c", told.get(test.replace(" ", "_"), well)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    monkeypatch.setattr(subject, "_start", start)
    return started


def test_without_a_gpu_it_says_that_nothing_was_tested() -> None:
    found = list(examine("", {}, Card(1, devices=())))
    assert [(each.name, each.verdict) for each in found] == [("versions", "ok"), ("driver", "fail")]
    assert found[-1].told.endswith("nothing of a GPU was tested")


def test_of_gpus_that_stand_in_a_file_it_says_what_was_not_tested(tmp_path: Path) -> None:
    file = tmp_path / "gpus.json"
    file.write_text('[{"uuid": "SIM-0", "memory": "80GiB"}, {"uuid": "SIM-1", "memory": "80GiB", "ecc_errors": 1}]')
    found = by_name(list(examine(str(file), {})))
    assert found["NVML: SIM-0"][0] == "ok"
    assert found["NVML: SIM-1"] == (
        "fail",
        "simulated GPU, 80.0 of 80.0 GiB free, uncorrected ECC errors 1, not told by this kind: temperature and slows"
        " down at, a node drains it until its driver is reset",
    )
    assert found["simulated"][0] == "warn"
    assert not any(name.startswith(("computes", "NCCL")) for name in found)


def test_all_tests_of_a_gpu_are_made_and_its_memory_is_seen_held_and_free(monkeypatch: pytest.MonkeyPatch) -> None:
    started = programs(monkeypatch, hold="print('held', flush=True); input()")
    found = by_name(list(examine("", {}, Card(140, 140, 138.9, 138.9, 140))))
    assert started == ["computes", "memory cap", "hold", "pack"]
    assert {name for name, (verdict, _) in found.items() if verdict == "fail"} == set()
    assert found["free memory: GPU-1"][1].startswith("NVML saw 1.10 GiB held, and free ")
    assert found["NCCL"] == ("warn", "not tested: it takes two GPUs, and one is here")
    assert "40" in found["NVML: GPU-1"][1]


def test_memory_that_nvml_does_not_see_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    programs(monkeypatch, hold="print('held', flush=True); input()")
    assert by_name(list(examine("", {}, Card(140))))["free memory: GPU-1"][0] == "warn"


def test_a_test_that_crashes_or_hangs_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = {"memory_cap": "raise SystemExit('no such thing')", "hold": "print('held', flush=True); input()"}
    programs(monkeypatch, **cut)
    found = by_name(list(examine("", {}, Card(140, 140, 138.9, 140))))
    assert found["memory cap: GPU-1"] == ("fail", "its process ended with 1: no such thing")
    assert (found["computes: GPU-1"], found["pack: GPU-1"]) == (("ok", "well"), ("ok", "well"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    hangs = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], **pipes)  # type: ignore[call-overload]
    assert subject._outcome("pack", hangs, 0.2).told.startswith("no answer within 0.2 s")
    assert hangs.returncode is not None


def test_where_torch_sees_no_gpu_nothing_else_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.dumps({"verdict": "fail", "told": "torch sees no GPU"})
    started = programs(monkeypatch, computes=f"print({told!r})")
    assert by_name(list(examine("", {}, Card(140))))["computes: GPU-1"] == ("fail", "torch sees no GPU")
    assert started == ["computes"]


def test_networks_trained_as_one_stack_come_to_the_same_losses() -> None:
    verdict, told = pack("cpu")
    assert (verdict, "to the same losses" in told) == ("ok", True), told


def test_two_processes_meet_and_add_up() -> None:
    """By gloo: CUDA is hidden by names that are no device's."""
    found = subject._together([CARD, DeviceInfo(1, "GPU-2", "NVIDIA H200", 141 * GIB)], os.environ)
    assert (found.verdict, found.told) == ("ok", "two processes met and added up 4 MiB by gloo")
