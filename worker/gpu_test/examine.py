"""The tests of a host's GPUs, in the order in which one rests on the other; each says what it found, and none raises.

What NVML says is read here. What computes runs in a process of its own on one GPU (`worker.gpu_test.on_card`), in the
environment of a trial there: one that hangs or crashes costs its own test.
"""

import json
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from celeriac.decide.health import Condition
from worker.devices import mps
from worker.devices.probe import SIMULATED, DeviceInfo, Probe, slots
from worker.devices.simulated import probe_of
from worker.devices.xids import XidEvents
from worker.process.environment import scrubbed

Verdict = Literal["ok", "warn", "fail"]
GIB = 2**30
#: A test may import torch from a cold disk, and two processes may have to meet.
WITHIN_S = 180.0
#: What a process held that has ended is free again after so long.
FREED_S = 30.0
HELD_BYTES = GIB


@dataclass(frozen=True, slots=True)
class Found:
    """One test: `told` says what was found and, where that is not well, what to do."""

    name: str
    verdict: Verdict
    told: str


def examine(simulated: str, environ: Mapping[str, str], probe: Probe | None = None) -> Iterator[Found]:
    """All tests. `simulated`: a file that stands for GPUs, or ""; `environ`: of a worker on this host."""
    yield _versions()
    probe = probe or probe_of(simulated, environ.get("CUDA_VISIBLE_DEVICES"))
    devices = probe.devices()
    if not devices:
        yield Found("driver", "fail", f"{_why_none(simulated)}: nothing of a GPU was tested")
        return
    yield Found("driver", "ok", f"{_driver()}{len(devices)} found")
    for each in devices:
        yield _condition(each, probe.condition(each.uuid))
    if all(each.kind.startswith(SIMULATED) for each in devices):
        told = (
            "these GPUs stand in a file: memory, packs, MPS, MIG, Xid events and NCCL can be tested on real ones alone"
        )
        yield Found("simulated", "warn", told)
        return
    yield from _of_the_driver(devices, environ)
    for each in devices:
        yield from _on(each, probe, environ)
    yield _together(devices, environ)


# -- what NVML says -------------------------------------------------------------------------------------------------
def _versions() -> Found:
    found = []
    for package in ("torch", "nvidia-ml-py"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return Found(
                "versions",
                "fail",
                f"{package} is not installed here: `pip install 'celeriac[worker]'`, then run this again",
            )
    about = [f"Python {platform.python_version()}", *found, platform.platform()]
    return Found("versions", "ok", ", ".join(about))


def _why_none(simulated: str) -> str:
    if simulated:
        return f"CELERIAC_SIMULATED_GPUS={simulated} names no device, or cannot be read"
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return "NVML cannot be asked without nvidia-ml-py"
    except Exception as error:
        return f"the NVIDIA driver does not answer ({error}); in a container give it the GPUs (`--gpus all`)"
    return "the driver names no GPU that this program may see (CUDA_VISIBLE_DEVICES?)"


def _driver() -> str:
    with suppress(Exception):
        import pynvml

        pynvml.nvmlInit()
        said = pynvml.nvmlSystemGetDriverVersion()
        return f"driver {said.decode() if isinstance(said, bytes) else said}, "
    return ""


def _condition(device: DeviceInfo, now: Condition | None) -> Found:
    name = f"NVML: {device.uuid}"
    if now is None:
        return Found(name, "fail", f"{device.kind} does not answer: a node would drain it")
    told = {"temperature": now.temperature_c, "slows down at": now.limit_c, "uncorrected ECC errors": now.ecc_errors}
    known = [f"{word} {value}" for word, value in told.items() if value is not None]
    silent = [word for word, value in told.items() if value is None]
    said = [f"{device.kind}, {now.free_bytes / GIB:.1f} of {device.memory_bytes / GIB:.1f} GiB free", *known]
    if silent:
        said.append(f"not told by this kind: {' and '.join(silent)}")
    if now.ecc_errors:
        said.append("a node drains it until its driver is reset")
    return Found(name, "fail" if now.ecc_errors else "ok", ", ".join(said))


def _of_the_driver(devices: Sequence[DeviceInfo], environ: Mapping[str, str]) -> Iterator[Found]:
    events = XidEvents()
    events.new()
    heard = events.is_listening
    events.close()
    if heard:
        yield Found("Xid events", "ok", "the driver takes us as a listener; that a fault is heard of was not tested")
    else:
        yield Found(
            "Xid events", "warn", "the driver tells no events: a fault is noticed by ECC, heat and silence alone"
        )
    instances = [each for each in devices if each.uuid.startswith("MIG")]
    told = f"{len(instances)} instances, each a device of its own" if instances else "no GPU is in MIG mode"
    yield Found("MIG", "ok", told)
    if mps.is_offered(environ):
        yield Found("MPS", "ok", "its daemon runs: trials that share a GPU use it, with limits of their own")
    else:
        told = "no daemon runs: trials that share a GPU take turns (`nvidia-cuda-mps-control -d` starts one)"
        yield Found("MPS", "ok", told)


# -- what computes --------------------------------------------------------------------------------------------------
def _on(device: DeviceInfo, probe: Probe, environ: Mapping[str, str]) -> Iterator[Found]:
    """One GPU's tests; without the first, none of the others."""
    (slot,) = slots([device], 0, "test")
    given = scrubbed(environ, slot.environment)
    first = _run("computes", device, given)
    yield first
    if first.verdict == "fail":
        return
    yield _run("memory cap", device, given)
    yield _seen_by_nvml(device, probe, given)
    yield _run("pack", device, given)


def _run(test: str, device: DeviceInfo, environ: Mapping[str, str]) -> Found:
    return _outcome(f"{test}: {device.uuid}", _start(test, environ), WITHIN_S)


def _start(test: str, environ: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "worker.gpu_test.on_card", test],
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _outcome(name: str, process: "subprocess.Popen[str]", within_s: float) -> Found:
    try:
        out, err = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Found(name, "fail", f"no answer within {within_s:g} s: look at `nvidia-smi`, and at the kernel's log")
    last = (out.strip().splitlines() or [""])[-1]
    try:
        told: dict[str, Any] = json.loads(last)
        return Found(name, told["verdict"], told["told"])
    except (ValueError, KeyError, TypeError):
        words = (err.strip().splitlines() or ["it said nothing"])[-1]
        return Found(name, "fail", f"its process ended with {process.returncode}: {words[:300]}")


def _seen_by_nvml(device: DeviceInfo, probe: Probe, environ: Mapping[str, str]) -> Found:
    """Whether NVML sees what a process holds, and that it is free again: by that a worker begins the next trial."""
    name, before = f"free memory: {device.uuid}", probe.condition(device.uuid)
    process = _start("hold", environ)
    try:
        assert process.stdout is not None  # noqa: S101 (a pipe)
        is_held = process.stdout.readline().strip() == "held"
        during = probe.condition(device.uuid)
    finally:
        process.kill()
        process.communicate()
    if not is_held or before is None or during is None:
        return Found(name, "fail", "memory could not be held, or NVML did not answer meanwhile")
    held = before.free_bytes - during.free_bytes
    if held < HELD_BYTES * 0.9:
        told = f"NVML saw {held / GIB:.2f} GiB of {HELD_BYTES / GIB:g} GiB that a process held"
        return Found(name, "warn", f"{told}: another one gave some back meanwhile, or NVML cannot see into here")
    began = time.monotonic()
    while time.monotonic() - began < FREED_S:
        after = probe.condition(device.uuid)
        if after is not None and after.free_bytes >= before.free_bytes - HELD_BYTES // 10:
            took_s = time.monotonic() - began
            return Found(name, "ok", f"NVML saw {held / GIB:.2f} GiB held, and free {took_s:.1f} s after a kill")
        time.sleep(0.05)
    return Found(name, "warn", f"what a killed process held was not free after {FREED_S:g} s: does another one use it?")


def _together(devices: Sequence[DeviceInfo], environ: Mapping[str, str]) -> Found:
    """Two processes, as the members of a gang are, on two GPUs."""
    if len(devices) < 2:
        return Found("NCCL", "warn", "not tested: it takes two GPUs, and one is here")
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    visible = {"CUDA_VISIBLE_DEVICES": f"{devices[0].uuid},{devices[1].uuid}", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    meet = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    members = [
        _start("all-reduce", {**scrubbed(environ, visible), **meet, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    found = [_outcome("NCCL", each, WITHIN_S) for each in members]
    return next((each for each in found if each.verdict != "ok"), found[0])
