"""A node with GPUs that stand in a file, its workers and trials as real processes: shares on a device's queue, a drain
of one device while trials run, and a device that falls sick.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Outcome, Placed, Source, StudyRecord, Suggestion, TrialState
from celeriac.runtime.broker import device_queue
from tests.worker.conftest import Host, until
from worker.devices.mps import PIPE_DIRECTORY, is_offered, limits
from worker.devices.probe import Slot
from worker.devices.simulated import SimulatedProbe

GIB = 2**30


def written(path: Path, *devices: dict[str, object]) -> Path:
    path.write_text(json.dumps([{"memory": "80GiB", **each} for each in devices]))
    return path


def placed(host: Host, study: StudyRecord, number: int, attempt: int, device: str) -> RunTrial:
    """The trial has half of that device, and its ticket is sent to it."""
    turn = host.store.study(study.id).turn
    host.store.queue_trials(study.id, turn, [number], {number: Placed((device,), 0.5, 8 * GIB)})
    ticket = RunTrial(study.id, number, attempt)
    host.tickets.send(ticket, queue=device_queue(device), summary="test", task_id=f"{study.id}-{number}-{attempt}")
    return ticket


@pytest.mark.timeout(120)
def test_shares_run_where_they_are_placed_and_a_drain_or_a_fault_of_one_device_moves_its_trials(
    start: Callable[..., Host], tmp_path: Path
) -> None:
    gpus = written(tmp_path / "gpus.json", {"uuid": "SIM-0"}, {"uuid": "SIM-1"})
    pipe = tmp_path / "mps"
    pipe.mkdir()
    (pipe / "control").touch()
    host = start(slots=0, CELERIAC_SIMULATED_GPUS=str(gpus), CELERIAC_SLOTS_PER_GPU="2", **{PIPE_DIRECTORY: str(pipe)})
    devices = {each.uuid: each for each in host.store.devices()}
    assert sorted(devices) == ["SIM-0", "SIM-1"]
    assert devices["SIM-0"].slots == ("gpu0.s0@testhost", "gpu0.s1@testhost")
    study = host.study("attempts:goes_on_until", resources={"gpus": 0.5, "gpu_memory": "8GiB"})
    turn, given = host.store.study(study.id).turn, {"dir": str(tmp_path)}
    host.store.add_trials(study.id, turn, [Suggestion({**given, "k": k}, Source.SUGGESTED) for k in range(3)])
    tickets = [placed(host, study, k, 1, "SIM-1" if k == 2 else "SIM-0") for k in range(3)]
    until(lambda: all((host.trial(each).last_step or 0) >= 1 for each in tickets), within_s=40)
    told = [json.loads((tmp_path / f"told-{k}").read_text()) for k in range(3)]
    assert [each["device"] for each in told] == ["cpu"] * 3
    assert all(each["percentage"] == "50" and each["memory"] == "0=8192M" for each in told)
    workers = [host.trial(each).worker.partition(".")[0] for each in tickets]
    assert workers == ["gpu0", "gpu0", "gpu1"]

    host.store.drain("testhost", ["SIM-0"], "ana")
    until(lambda: all(host.trial(each).state is TrialState.PAUSED for each in tickets[:2]))
    until(lambda: {each.uuid: each.health for each in host.store.devices()}["SIM-0"] == "drained")
    assert host.trial(tickets[2]).state is TrialState.RUNNING, "the other device's trial goes on"
    (attempt,) = host.store.attempts(study.id, 0)
    assert (attempt.outcome, host.trial(tickets[0]).faults) == (Outcome.RELEASED, {"preempted": 1})
    (tmp_path / "end-2").touch()
    until(lambda: host.trial(tickets[2]).state is TrialState.SCORED)
    before = host.trial(tickets[0]).last_step or 0
    again = placed(host, study, 0, 2, "SIM-1")
    until(lambda: (host.trial(again).last_step or 0) > before)

    written(gpus, {"uuid": "SIM-0"}, {"uuid": "SIM-1", "xids": [31, 79]})
    host.store.undrain("testhost", [])
    until(lambda: host.trial(again).state is TrialState.PAUSED)
    until(lambda: "Xid 79" in {each.uuid: each.health for each in host.store.devices()}["SIM-1"])
    until(lambda: len({each.uuid: each.slots for each in host.store.devices()}["SIM-0"]) == 2)
    (tmp_path / "end-0").touch()
    last = placed(host, study, 0, 3, "SIM-0")
    until(lambda: host.trial(last).state is TrialState.SCORED, within_s=40)
    attempts = host.store.attempts(study.id, 0)
    assert [each.device for each in attempts] == ["SIM-0", "SIM-1", "SIM-0"]
    assert attempts[1].resumed_step is not None
    assert host.trial(last).faults == {"preempted": 2}, "none was charged"


def test_the_file_tells_how_each_device_is(tmp_path: Path) -> None:
    probe = SimulatedProbe(tmp_path / "gpus.json")
    assert probe.devices() == []
    written(
        tmp_path / "gpus.json",
        {"uuid": "a", "free": "2GiB", "temperature_c": 90, "limit_c": 85, "utilisation": 1},
        {"uuid": "b", "kind": "H100"},
    )
    assert [each.kind for each in probe.devices()] == ["simulated GPU", "simulated H100"]
    assert not Slot("gpu1.s0", "b", "simulated H100", "b").has_cuda
    assert [(each.uuid, each.memory_bytes) for each in probe.devices()] == [("a", 80 * GIB), ("b", 80 * GIB)]
    hot = probe.condition("a")
    assert hot is not None
    assert (hot.free_bytes, hot.temperature_c, hot.limit_c, hot.utilisation) == (2 * GIB, 90, 85, 1.0)
    assert probe.condition("gone") is None


def test_mps_is_used_where_its_control_daemon_has_a_pipe(tmp_path: Path) -> None:
    environ = {PIPE_DIRECTORY: str(tmp_path)}
    assert not is_offered(environ)
    os.mkfifo(tmp_path / "control")
    assert is_offered(environ)
    assert limits(0.25, 6 * GIB) == {
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "25",
        "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=6144M",
    }
    assert limits(0.001, 0) == {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "1"}
