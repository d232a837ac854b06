"""The node and its workers as real processes: kill -9 of any of them during a trial, drains, revokes, and what they
weigh.
"""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from celeriac.domain.records import Fault, Outcome, TrialState
from celeriac.runtime.broker import CPU_QUEUE, GPU_QUEUE, device_queue
from celeriac.runtime.process.secrets import secrets_descriptor
from celeriac.runtime.settings import Settings
from tests.worker.conftest import SLOT as PLACE
from tests.worker.conftest import Host, runs, until
from worker.devices.probe import CPU, DeviceInfo, slots
from worker.node.node import (
    TOLD_TO_WORKERS,
    HostStatus,
    child_of,
    device_rows,
    environment_of_workers,
    found_devices,
    queues_of,
    start_delays,
)
from worker.node.writable_dirs import WritableDirs

SLOT = PLACE.name


@pytest.mark.timeout(90)
def test_a_trial_runs_and_the_host_s_devices_stand_in_the_store(host: Host) -> None:
    (device,) = host.store.devices()
    assert (device.kind, device.slots, device.host) == ("cpu", (SLOT,), "testhost")
    ticket = host.send(host.study("quick:good"))
    until(lambda: host.is_(ticket, TrialState.SCORED))
    assert host.stop() == 0
    assert host.store.devices() == []


@pytest.mark.timeout(90)
@pytest.mark.parametrize("victim", ["pool", "worker"])
def test_kill_9_during_a_trial_leaves_no_process_and_the_trial_is_scored(
    host: Host, tmp_path: Path, victim: str
) -> None:
    ticket, go = runs(host, tmp_path)
    trial_pid = int((tmp_path / "running").read_text())
    below = [each.pid for each in host.worker().children(recursive=True)]
    assert trial_pid in below
    getattr(host, victim)().kill()
    until(lambda: host.is_(ticket, TrialState.WAITING), within_s=8)
    until(lambda: not any(psutil.pid_exists(pid) for pid in below))
    trial = host.trial(ticket)
    assert (trial.fault, trial.faults) == (Fault.INFRASTRUCTURE, {"infrastructure": 1})
    go.write_text("")
    host.again(replace(ticket, attempt=2))
    until(lambda: host.is_(ticket, TrialState.SCORED))


@pytest.mark.timeout(90)
def test_kill_9_of_the_node_takes_everything_with_it_and_the_next_node_frees_the_lease(
    start: Callable[..., Host], tmp_path: Path
) -> None:
    host = start()
    ticket, _ = runs(host, tmp_path)
    below = [each.pid for each in psutil.Process(host.process.pid).children(recursive=True)]
    assert len(below) >= 4
    host.process.kill()
    host.process.wait()
    until(lambda: not any(psutil.pid_exists(pid) for pid in below))
    assert host.is_(ticket, TrialState.RUNNING)
    start()
    trial = host.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)


@pytest.mark.timeout(90)
def test_a_worker_that_has_stopped_consuming_is_started_afresh(start: Callable[..., Host]) -> None:
    host = start(CELERIAC_IDLE_WATCH_S="1", CELERIAC_FLOWER_WRITABLE="true")
    study = host.study("quick:good")
    first = host.send(study)
    until(lambda: host.is_(first, TrialState.SCORED))
    deaf = host.worker().pid
    control = host.tickets._app.control
    control.cancel_consumer(CPU_QUEUE, destination=[SLOT], reply=True, timeout=5, limit=1)
    ticket = host.send(host.store.study(study.id))
    until(lambda: host.is_(ticket, TrialState.SCORED))
    assert host.worker().pid != deaf


CHANGES: dict[str, dict[str, object]] = {
    "cancel_consumer": {"queue": CPU_QUEUE},
    "add_consumer": {"queue": "others"},
    "pool_grow": {"n": 2},
    "pool_restart": {},
    "autoscale": {"max": 3, "min": 3},
    "rate_limit": {"task_name": "celeriac.run_trial", "rate_limit": "1/h"},
    "time_limit": {"task_name": "celeriac.run_trial", "hard": 1},
    "shutdown": {},
}


@pytest.mark.timeout(90)
def test_remote_control_changes_no_worker(host: Host) -> None:
    study = host.study("quick:good")
    first = host.send(study)
    until(lambda: host.is_(first, TrialState.SCORED))
    control, before = host.tickets._app.control, (host.worker().pid, host.pool().pid)
    for command, arguments in CHANGES.items():
        control.broadcast(command, arguments=arguments, destination=[SLOT])
    assert control.ping(destination=[SLOT], timeout=5), "what only tells is answered, after the others"
    ticket = host.send(host.store.study(study.id))
    until(lambda: host.is_(ticket, TrialState.SCORED))
    assert (host.worker().pid, host.pool().pid) == before


@pytest.mark.timeout(90)
def test_no_password_is_in_the_environment_of_a_worker_or_a_trial(host: Host, tmp_path: Path) -> None:
    runs(host, tmp_path)
    for process in host.worker(), *host.worker().children(recursive=True):
        held = " ".join(process.environ().values())
        assert host.settings.database_url not in held
        assert host.settings.broker_url not in held


@pytest.mark.timeout(90)
def test_sigterm_hands_the_running_trial_back(host: Host, tmp_path: Path) -> None:
    sign = tmp_path / "first-report"
    ticket = host.send(host.study("attempts:trains_on"), {"file": str(sign), "saves": True})
    until(sign.exists)
    began = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - began < 8
    trial = host.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.PAUSED, Fault.PREEMPTED)
    assert host.store.attempts(ticket.study, ticket.trial)[0].outcome is Outcome.RELEASED


@pytest.mark.timeout(90)
def test_flower_s_terminate_button_cancels_and_the_slot_goes_on(host: Host, tmp_path: Path) -> None:
    ticket, go = runs(host, tmp_path)
    host.tickets._app.control.revoke(f"{ticket.study}-{ticket.trial}-1", terminate=True)
    until(lambda: host.is_(ticket, TrialState.CANCELLED))
    after = host.send(host.store.study(ticket.study), {"running": str(tmp_path / "b"), "file": str(go)})
    go.write_text("")
    until(lambda: host.is_(after, TrialState.SCORED))
    assert host.trial(ticket).state is TrialState.CANCELLED


@pytest.mark.timeout(90)
def test_a_revoked_ticket_that_has_not_begun_cancels_its_trial(host: Host, tmp_path: Path) -> None:
    first, go = runs(host, tmp_path)
    second = host.send(host.store.study(first.study))
    host.tickets._app.control.revoke(f"{second.study}-{second.trial}-1")
    time.sleep(0.5)
    go.write_text("")
    until(lambda: host.is_(second, TrialState.CANCELLED))
    assert host.is_(first, TrialState.SCORED)


# -- pure
# ----------------------------------------------------------------------------------------------------------------
def _gpus(count: int) -> list[DeviceInfo]:
    return [DeviceInfo(index, f"GPU-{index}", "NVIDIA H100", 80 << 30) for index in range(count)]


def test_eight_gpus_are_eight_devices_with_a_slot_each() -> None:
    devices = _gpus(8)
    places = slots(devices, 0, "box")
    status = HostStatus("box", "abc", frozenset({"gpu3.s0@box"}), datetime.now(UTC))
    rows = device_rows(places, devices, status)
    assert [row.slots for row in rows] == [(f"gpu{index}.s0@box",) for index in range(8)]
    assert {row.health for row in rows if row.uuid != "GPU-3"} == {"ok"}
    assert rows[3].health == "starting gpu3.s0@box"
    assert all(row.is_gpu and row.fingerprint == "abc" for row in rows)


def test_a_host_that_cannot_write_checkpoints_says_so_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "mount"
    root.write_text("a file in its place")
    places = WritableDirs((("checkpoints", root), ("logs", tmp_path / "logs")))
    flaw = f"cannot write checkpoints below {root}: File exists"
    assert [places.flaw(now) for now in (100.0, 101.0)] == [flaw, flaw]
    status = HostStatus("box", "abc", frozenset({"gpu1.s0@box"}), datetime.now(UTC), flaw)
    rows = device_rows(slots(_gpus(2), 0, "box"), _gpus(2), status)
    assert [row.health for row in rows] == [flaw, "starting gpu1.s0@box"]
    root.unlink()
    assert places.flaw(129.0) == flaw
    assert places.flaw(130.0) == ""
    assert list(root.iterdir()) == []
    root.rmdir()
    assert places.flaw(1000.0) == ""  # a mount that fails later is not looked at: it might hang
    assert not root.exists()
    assert caplog.messages == [flaw, "checkpoints and logs can be written again"]


def test_a_gpu_s_worker_prefers_gpu_trials_and_sees_its_gpu_only() -> None:
    slot = slots(_gpus(8), 0, "box")[5]
    assert queues_of(slot) == (device_queue("GPU-5"), GPU_QUEUE, CPU_QUEUE)
    child = child_of(slot, {}, 7)
    assert list(child.argv[4:]) == ["gpu5.s0@box", "GPU-5", "NVIDIA H100", "GPU-5", *queues_of(slot)]
    (processors,) = slots([DeviceInfo(0, "cpu-box", CPU, 1 << 30)], 1, "box")
    assert queues_of(processors) == (device_queue("cpu-box"), CPU_QUEUE)
    shared = slots(_gpus(1), 0, "box", per_gpu=4)
    assert [queues_of(each) for each in shared] == [(device_queue("GPU-0"),)] * 4


def test_a_host_s_labels_stand_in_its_devices() -> None:
    status = HostStatus("box", "", frozenset(), datetime.now(UTC), labels={"region": "eu"})
    assert [row.labels for row in device_rows(slots(_gpus(2), 0, "box"), _gpus(2), status)] == [{"region": "eu"}] * 2


def test_the_workers_environment_has_no_secrets_and_a_share_of_the_processors() -> None:
    environ = {"PATH": "/bin", "CELERIAC_DATABASE_URL": "secret", "CELERIAC_READY_FD": "9", "CELERIAC_HOME": "/h"}
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert environment_of_workers(environ, 7, slots=2) == {
        "PATH": "/bin",
        "CELERIAC_HOME": "/h",
        "CELERIAC_SECRETS_FD": "7",
        "OMP_NUM_THREADS": share,
    }
    assert environment_of_workers({"OMP_NUM_THREADS": "3"}, 7, slots=2)["OMP_NUM_THREADS"] == "3"


def test_secrets_are_read_back_by_settings(settings: Settings) -> None:
    descriptor = secrets_descriptor(settings, *TOLD_TO_WORKERS)
    try:
        read = Settings.from_env({"CELERIAC_SECRETS_FD": str(descriptor), "CELERIAC_HOME": str(settings.home)})
    finally:
        os.close(descriptor)
    assert (read.database_url, read.broker_url) == (settings.database_url, settings.broker_url)


def test_without_gpus_each_processor_is_a_slot_and_a_number_is_taken_at_its_word() -> None:
    assert found_devices(3, None, "box")[1] == 3
    devices, count = found_devices(0, "", "box")
    assert [device.kind for device in devices] == [CPU]
    assert count == min(8, len(os.sched_getaffinity(0)))


def test_workers_start_two_a_core_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert start_delays(4) == [0, 0, 0, 0]
    assert start_delays(10)[4:] == [2, 2, 2, 2, 4, 4]
    assert max(start_delays(64)) == 30


def test_what_lies_in_the_nodes_directory_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text("open('planted', 'w')")
    argv = list(child_of(PLACE, {}, 0).argv)
    done = subprocess.run(
        argv[: argv.index("worker.slot.celery_worker") + 1], cwd=tmp_path, capture_output=True, text=True
    )
    assert "not enough values to unpack" in done.stderr, "our own program has started, and wants its arguments"
    assert not (tmp_path / "planted").exists()
