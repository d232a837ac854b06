"""What a trial does to its channel, its descriptors, its folders and its server costs that trial, and no other."""

import os
import select
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.records import Crossing, Fault, Report, TrialState
from celeriac.store.api import ReportAck
from tests.worker.conftest import Bench
from tests.worker.process.trials import (
    OBJECTIVES,
    alive,
    exit_of,
    made_pool,
    module,
    only,
    printed,
    ran,
    until,
    until_end,
)
from worker.process.events import Failed, Reported, Returned, Started, event_of
from worker.process.frames import Job
from worker.process.limits import Limits
from worker.process.pool import ServerPool
from worker.process.scratch import slot_scratch
from worker.process.server_handle import Code
from worker.process.trial_process import MARGIN_S

GOOD = Code(OBJECTIVES, "1", "quick:good")


@pytest.fixture(scope="module")
def pool() -> Iterator[ServerPool]:
    with made_pool() as pool:
        yield pool


@pytest.fixture
def job(tmp_path: Path) -> Job:
    context = {"pids": str(tmp_path / "pids"), "own": str(tmp_path / "3" / "7"), "below": str(tmp_path)}
    return Job("digits", 7, 1, {"x": 21}, 11, "cpu", str(tmp_path), "3/7", context)


def is_whole(pool: ServerPool, job: Job, *codes: Code) -> None:
    """The slot runs a trial of each of these, and of another objective."""
    for code in (*codes, GOOD):
        assert only(ran(pool, code.objective, replace(job, params={"x": 21})), Returned).score == 42.0


# -- the channel
# ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("then", ["sleep", "return"])
def test_garbage_in_every_descriptor_ends_that_trial_alone(pool: ServerPool, job: Job, then: str) -> None:
    code = Code(OBJECTIVES, "1", "hostile:spoils")
    child = pool.take(code)
    child.start(replace(job, params={"then": then}))
    server = pool._servers[code].process
    events = until_end(child)
    failed = only(events, Failed)
    assert failed.fault is Fault.USER_BUG
    assert "spoiled the channel" in failed.detail
    assert not alive(only(events, Started).pid)
    assert server.poll() is None, "its server is not hurt"
    again = only(ran(pool, "hostile:spoils", replace(job, params={"then": then})), Failed)
    assert again.signature == failed.signature
    is_whole(pool, job)


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        '{"kind":"started","pid":1}',
        '{"kind":"result","score":NaN,"metrics":{},"step":null}',
        '{"kind":"stopped","word":"preempt","step":null}',
        '{"kind":["report"]}',
        "[" * 20_000,
    ],
)
def test_a_forged_frame_ends_that_trial_alone(pool: ServerPool, job: Job, body: str) -> None:
    events = ran(pool, "hostile:sends", replace(job, params={"body": body}))
    assert "spoiled the channel" in only(events, Failed).detail
    assert only(events, Failed).fault is Fault.USER_BUG
    is_whole(pool, job)


def test_a_frame_that_never_ends_is_no_score(pool: ServerPool, job: Job) -> None:
    params = {"body": "garbage", "length": 1_000_000, "then": "leave"}
    assert "no frame" in only(ran(pool, "hostile:sends", replace(job, params=params)), Failed).detail
    is_whole(pool, job)


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "report", "step": 2**63, "value": 0.5, "metrics": {}},
        {"kind": "report", "step": True, "value": 0.5, "metrics": {}},
        {"kind": "report", "step": 0, "value": "0.5", "metrics": {}},
        {"kind": "report", "step": 0, "value": 0.5, "metrics": {"a": 2**70}},
        {"kind": "report", "step": 0, "value": 0.5, "metrics": {"a": [1]}},
        {"kind": "report", "step": 0, "value": 0.5, "metrics": {}, "checkpoint": {"path": "3/8/a.ckpt"}},
        {"kind": "report", "step": 0, "value": 0.5, "metrics": {}, "checkpoint": {"path": "3/7/../8/a.ckpt"}},
        {"kind": "result", "score": float("inf"), "metrics": {}, "step": None},
        {"kind": "result", "score": 0.5, "metrics": {"a": float("nan")}, "step": None},
        {"kind": "result", "score": 0.5, "metrics": {}, "step": -1},
        {"kind": "stopped", "word": "stop", "step": None},
        {"kind": "fault", "fault": "no such", "detail": "", "traceback": "", "signature": "a"},
        {"kind": "fault", "fault": "user_bug", "detail": "", "traceback": "", "signature": "a\0"},
        {"kind": "other"},
    ],
)
def test_what_our_own_child_never_sends_is_no_event(message: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        event_of(message, words=set(), directory="3/7")


def test_a_module_that_spoils_its_server_fails_alone(pool: ServerPool, job: Job, tmp_path: Path) -> None:
    text = (
        "import os\n"
        "for number in range(3, 1024):\n"
        "    try: os.write(number, b'garbage')\n"
        "    except OSError: pass\n"
        "def go(trial): return 1.0\n"
    )
    root = module(tmp_path / "code", "train.py", text)
    failed = only(ran(pool, "train:go", job, root), Failed)
    assert failed.fault is Fault.USER_BUG
    assert "when imported" in failed.detail
    is_whole(pool, job)


def test_a_server_passes_over_what_is_no_packet(pool: ServerPool, job: Job) -> None:
    is_whole(pool, job)
    server = pool._servers[GOOD]
    for garbage in (b"garbage\n", b"[]", b"{}", b'{"kind": "take"}', b'{"kind": "other"}'):
        server.control.send(garbage)
    is_whole(pool, job)
    assert pool._servers[GOOD] is server


def test_a_trial_holds_its_own_channel_and_nothing_of_its_server(pool: ServerPool, job: Job) -> None:
    seen = only(ran(pool, "hostile:looks_around", job), Returned).metrics
    assert seen == {"sockets": 1, "of_its_server": 0, "adjusted": 500}


# -- descriptors, folders, code
# ------------------------------------------------------------------------------------------
def test_one_that_closes_every_descriptor_has_no_score(pool: ServerPool, job: Job) -> None:
    failed = only(ran(pool, "hostile:closes_everything", job), Failed)
    assert failed.fault is Fault.USER_BUG
    assert "spoiled the channel on which its process reports (it is closed)" in failed.detail
    is_whole(pool, job)


def test_one_that_deletes_its_folders_hurts_nobody(pool: ServerPool, job: Job) -> None:
    Path(job.context["own"]).mkdir(parents=True)
    for _ in range(2):
        events = ran(pool, "hostile:deletes_its_folders", job)
        assert only(events, Reported).checkpoint_error == ""
        assert only(events, Returned).score == 1.0, printed(events)
    is_whole(pool, job)


def test_one_that_deletes_its_code_hurts_no_other_study(pool: ServerPool, job: Job, tmp_path: Path) -> None:
    root = module(tmp_path / "code", "hostile.py", (Path(OBJECTIVES) / "hostile.py").read_text())
    assert only(ran(pool, "hostile:deletes_its_code", job, root), Returned).score == 1.0
    assert not Path(root).exists()
    is_whole(pool, job)


# -- daemons
# -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("then", ["return", "kill"])
def test_a_daemon_without_an_environment_does_not_outlive_its_trial(pool: ServerPool, job: Job, then: str) -> None:
    """Also when its server is killed, whose child it has become."""
    events = ran(pool, "hostile:leaves_a_scrubbed_daemon", replace(job, params={"then": then}))
    assert exit_of(events).lost == ("" if then == "return" else "its server ended by signal 9")
    assert not alive(int(Path(job.context["pids"]).read_text()))
    is_whole(pool, job)


# -- too much of everything
# ----------------------------------------------------------------------------------------------
def test_reports_without_end_hold_nobody_up(pool: ServerPool, job: Job) -> None:
    flood = pool.take(Code(OBJECTIVES, "1", "hostile:reports_without_end"))
    flood.start(job)
    until(flood, Started)
    with made_pool() as other:
        child = other.take(GOOD)
        child.start(job)
        events, reports, longest_s = [], 0, 0.0
        while child.ended is None:
            select.select([child, flood], [], [], 10.0)
            since = time.thread_time()
            reports += sum(isinstance(event, Reported) for event in flood.receive())
            longest_s = max(longest_s, time.thread_time() - since)
            events += child.receive()
        assert only(events, Returned).score == 42.0
        child.close()
    assert reports > 1_000
    assert longest_s < 2.0, "one look at the flood is bounded"
    since = time.monotonic()
    flood.send("stop")
    flood.kill(0.5)
    assert time.monotonic() - since < 0.5 + MARGIN_S
    flood.close()
    is_whole(pool, job)


@pytest.mark.parametrize(
    ("limits", "params", "fault", "says"),
    [
        (Limits(tasks=20), {"processes": 60}, Fault.USER_BUG, "over CELERIAC_TRIAL_TASKS=20"),
        (Limits(memory_bytes=100 << 20), {"bytes": 150 << 20}, Fault.OUT_OF_MEMORY, "over CELERIAC_TRIAL_MEMORY"),
    ],
)
def test_a_trial_that_takes_too_much_is_ended(
    job: Job, limits: Limits, params: dict[str, int], fault: Fault, says: str
) -> None:
    with made_pool(limits=limits) as pool:
        events = ran(pool, "hostile:takes_too_much", replace(job, params=params))
        failed = only(events, Failed)
        assert (failed.fault, exit_of(events).killed) == (fault, True)
        assert says in failed.detail
        is_whole(pool, job)


def test_memory_that_processes_share_is_counted_once(job: Job) -> None:
    with made_pool(limits=Limits(tasks=20, memory_bytes=200 << 20)) as pool:
        child = pool.take(Code(OBJECTIVES, "1", "hostile:takes_too_much"))
        child.start(replace(job, params={"bytes": 150 << 20, "processes": 10}))
        until(child, Started)
        since = time.monotonic()
        while (left_s := since + 3.0 - time.monotonic()) > 0:
            assert child.wait(left_s) == []
        child.kill(0.0)
        child.close()


# -- a home of its own
# ---------------------------------------------------------------------------------------------------
def test_each_trial_has_a_home_of_its_own(pool: ServerPool, job: Job) -> None:
    homes = set()
    for _ in range(2):
        result = only(ran(pool, "hostile:at_home", job), Returned)
        assert result.score == 0.0, "nothing of another trial is there"
        homes.add(result.metrics["home"])
        assert Path(result.metrics["home"]).parent == Path(result.metrics["temporary"]).parent
        is_gone(Path(result.metrics["home"]).parent)
    assert len(homes) == 2
    assert str(Path.home()) not in homes
    assert Path(job.context["below"]).exists(), "what a link points to stays"


def test_a_home_goes_with_a_trial_that_is_killed(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "hostile:at_home", replace(job, params={"then": "die"}))
    is_gone(Path(printed(events).decode().strip()))


def test_nothing_is_left_of_a_slots_directory(job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root = slot_scratch("cpu0.s0@test")
    (root / "left").write_text("by a process that was killed")
    assert slot_scratch("cpu0.s0@test") == root
    assert list(root.iterdir()) == []
    with made_pool(scratch=root) as pool:
        child = pool.take(Code(OBJECTIVES, "1", "nasty:sleeps"))
        child.start(job)
        until(child, Started)
        assert len(list(root.iterdir())) == 1
        os.kill(pool._servers[Code(OBJECTIVES, "1", "nasty:sleeps")].process.pid, signal.SIGKILL)
        until_end(child)
        assert list(root.iterdir()) == []
    assert not root.exists()


def test_a_slot_whose_directory_is_blocked_goes_on(job: Job, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("")
    with made_pool(scratch=tmp_path / "blocked") as pool:
        place = Path(only(ran(pool, "hostile:at_home", job), Returned).metrics["home"]).parent
        is_gone(place)


def is_gone(place: Path) -> None:
    """Soon: a directory with something in it is removed beside the next trial."""
    deadline = time.monotonic() + 10
    while place.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- through the runner
# --------------------------------------------------------------------------------------------------
@pytest.mark.services
def test_a_poisoned_channel_costs_one_trial_of_one_study(bench: Bench) -> None:
    spoiled = bench.run("hostile:spoils", {"then": "sleep"}, name="poison")
    assert (spoiled.state, spoiled.attempts) == (TrialState.FAILED, 1)
    assert bench.attempts(spoiled)[-1].fault is Fault.USER_BUG
    assert bench.run("quick:good", {"x": 4}, name="other").score == 8.0


@pytest.mark.services
def test_reports_that_nobody_writes_are_held_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the store away the trial waits in `report`; with the store back it goes on, and its timeout is its end."""
    monkeypatch.setattr("worker.attempt.follow.MOST_UNWRITTEN", 500)
    written, kept, write = 0, [0], bench.store.report
    back_at = time.monotonic() + 5.0

    def report(token: str, reports: Sequence[Report], crossings: Sequence[Crossing]) -> ReportAck:
        nonlocal written
        if time.monotonic() < back_at:
            kept.append(len(reports))
            raise StoreUnavailable("away")
        written += len(reports)
        return write(token, reports, crossings)

    monkeypatch.setattr(bench.store, "report", report)
    trial = bench.run("hostile:reports_without_end", {}, name="flood", timeout=8.0)
    assert bench.attempts(trial)[-1].fault is Fault.TIMEOUT
    one_look = 16 * 65_536 // 60  # what is read at once, in the smallest reports
    assert 500 <= max(kept) <= 500 + one_look
    assert written > max(kept), "it went on"


def test_a_killed_pool_leaves_no_scrubbed_daemon(job: Job) -> None:
    """The server sweeps when its starter dies."""
    pid = os.fork()
    if pid == 0:
        try:
            child = made_pool().take(Code(OBJECTIVES, "1", "hostile:leaves_a_scrubbed_daemon"))
            child.start(replace(job, params={"then": "return"}))
            until(child, Returned)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.waitpid(pid, 0)
    daemon = int(Path(job.context["pids"]).read_text())
    deadline = time.monotonic() + 10
    while alive(daemon):
        assert time.monotonic() < deadline
        time.sleep(0.02)
