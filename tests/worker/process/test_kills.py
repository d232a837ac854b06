"""What ends a trial's process and all that it left behind, and what it hears while it runs."""

import os
import select
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.worker.process.trials import (
    OBJECTIVES,
    PATIENCE_S,
    alive,
    exit_of,
    made_pool,
    only,
    printed,
    ran,
    told_pids,
    until,
    until_end,
)
from worker.process import linux
from worker.process.events import Printed, Reported, Returned, Started, Stopped
from worker.process.frames import FrameTooLarge, Job
from worker.process.pool import ServerPool
from worker.process.server_handle import Code


def test_a_sleeper_is_killed_and_its_output_kept(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:sleeps"))
    child.start(job)
    until(child, Printed)
    ended = child.kill(5.0)
    assert (ended.signal, ended.killed) == (signal.SIGTERM, True)
    assert child.kill(5.0) == ended
    assert exit_of(until_end(child)) == ended


def test_one_that_ignores_term_gets_kill_after_the_grace(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:ignores_term"))
    child.start(job)
    until(child, Printed)
    since = time.monotonic()
    ended = child.kill(0.3)
    assert (ended.signal, ended.killed) == (signal.SIGKILL, True)
    assert 0.3 <= time.monotonic() - since < 3.0
    child.close()


def test_a_farewell_without_end_is_cut_though_no_other_trial_comes(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:lingers"))
    child.start(job)
    pid = int(until(child, Returned).score)
    gone = os.pidfd_open(pid)
    child.farewell(0.3)
    # Nobody listens to the process or its server any more.
    assert select.select([gone], [], [], PATIENCE_S)[0] == [gone]
    os.close(gone)
    pool.finish()
    assert child.ended is not None
    assert child.ended.killed


def test_processes_that_outlive_the_trial_are_ended(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "nasty:escapes", job)
    assert only(events, Returned).score == 1.0
    assert exit_of(events).leftovers == 2
    pids = told_pids(job)
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


def test_a_kill_reaches_those_that_called_setsid(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:escapes_and_sleeps"))
    child.start(job)
    until(child, Printed)
    assert child.kill(0.2).killed
    assert not any(alive(pid) for pid in told_pids(job))
    child.close()


def test_the_standby_survives_a_kill(pool: ServerPool, job: Job) -> None:
    code = Code(OBJECTIVES, "1", "nasty:escapes_and_sleeps")
    child = pool.take(code)
    child.start(job)
    until(child, Printed)
    child.kill(0.0)
    child.close()
    # A child that is there at once was forked before the kill, by the same server.
    server = pool._servers[code]
    following = pool.take(code)
    following.start(job)
    assert until(following, Started).pid not in (None, child.pid)
    assert pool._servers[code] is server
    following.kill(0.0)
    following.close()


def test_escapees_of_a_lost_server_are_found_by_its_mark(pool: ServerPool, job: Job) -> None:
    code = Code(OBJECTIVES, "1", "nasty:escapes_and_sleeps")
    child = pool.take(code)
    child.start(job)
    until(child, Printed)
    pool._servers[code].process.kill()
    ended = exit_of(until_end(child))
    assert "its server ended" in ended.lost
    assert not any(alive(pid) for pid in told_pids(job))


def test_a_frozen_server_does_not_hold_a_kill_up(pool: ServerPool, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.process.trial_process.MARGIN_S", 0.3)
    code = Code(OBJECTIVES, "1", "nasty:sleeps")
    child = pool.take(code)
    child.start(job)
    pid = until(child, Started).pid
    os.kill(pool._servers[code].process.pid, signal.SIGSTOP)
    ended = child.kill(0.0)
    assert ended.lost == "its server did not end it in time"
    assert not alive(pid)
    child.close()


def test_a_dead_starter_leaves_no_process(job: Job, tmp_path: Path) -> None:
    """The pool's process dies by SIGKILL in the middle of a trial with escapees: the server sweeps, then goes."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child = made_pool().take(Code(OBJECTIVES, "1", "nasty:escapes_and_sleeps"))
            child.start(job)
            started = until(child, Started)
            until(child, Printed)
            os.write(writer, f"{started.pid} {child._server.process.pid}".encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    family = [int(each) for each in os.read(reader, 100).split()] + told_pids(job)
    os.close(reader)
    assert len(family) == 4
    watched = [os.pidfd_open(each) for each in family]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for handle in watched:
        assert select.select([handle], [], [], 10.0)[0]
        os.close(handle)


# -- requests
def test_a_stop_is_heard_at_the_next_report(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:steps"))
    child.start(job)
    until(child, Reported)
    child.send("stop")
    assert only(until_end(child), Stopped).word == "stop"


def test_a_hand_back_writes_its_checkpoint_first(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:steps"))
    child.start(replace(job, params={"saves": True}, start=5))
    child.send("preempt")
    events = until_end(child)
    report, stopped = only(events, Reported), only(events, Stopped)
    assert report.checkpoint is not None
    assert (report.step, report.checkpoint.path) == (5, "3/7/attempt1-step5.ckpt")
    assert Path(job.checkpoint_root, "3/7/attempt1-step5.ckpt").read_text() == "step 5"
    assert report.checkpoint.size_bytes == 6
    assert stopped == Stopped("preempt", 5)


def test_a_hand_back_cannot_be_swallowed(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:swallows"))
    child.start(job)
    child.send("preempt")
    events = until_end(child)
    assert only(events, Stopped).word == "preempt"
    assert b"swallowed" not in printed(events)


def test_a_score_returned_because_of_should_stop_is_partial(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:asks"))
    child.start(job)
    until(child, Started)
    child.send("preempt")
    assert only(until_end(child), Stopped) == Stopped("preempt", None, 0.123)


def test_a_full_disk_costs_the_checkpoint_only(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "nasty:fills_the_disk", job)
    assert "No space left" in only(events, Reported).checkpoint_error
    assert b"not written, going on" in printed(events)
    assert only(events, Returned).score == 0.5


def test_a_job_that_is_too_large_is_refused_at_once(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "quick:good"))
    with pytest.raises(FrameTooLarge, match="a job of"):
        child.start(replace(job, params={"x": "y" * 100_000}))
    child.kill(0.0)
    child.close()


def test_a_slot_runs_one_trial_at_a_time(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:sleeps"))
    with pytest.raises(RuntimeError, match="has not ended"):
        pool.take(Code(OBJECTIVES, "1", "nasty:sleeps"))
    child.kill(0.0)
    child.close()


def test_the_descriptor_wakes_a_select_beside_others(pool: ServerPool, job: Job) -> None:
    reader, writer = os.pipe()
    child = pool.take(Code(OBJECTIVES, "1", "nasty:sleeps"))
    child.start(job)
    seen: set[type] = set()
    while not seen >= {Started, Printed}:  # socket and pipe keep no order between them
        seen |= {type(event) for event in child.wait(PATIENCE_S)}
    threading.Timer(0.1, os.write, (writer, b"drain")).start()
    descriptors = [child.fileno(), reader]
    while (woken := select.select(descriptors, [], [], PATIENCE_S)[0]) == [child.fileno()]:
        child.receive()  # a last line, or that the next trial's process is there
    assert woken == [reader]
    child.send("preempt")
    child.kill(0.0)
    child.close()
    os.close(reader)
    os.close(writer)


def test_nothing_is_left_open_or_running(job: Job) -> None:
    def descriptors() -> set[str]:
        return set(os.listdir("/proc/self/fd"))

    before = descriptors()
    with made_pool() as pool:
        for objective in ("quick:good", "quick:raises", "quick:leaves", "nasty:escapes"):
            ran(pool, objective, replace(job, params={"x": 1}))
        marks = [server.mark for server in pool._servers.values()]
    assert descriptors() == before
    assert [linux.marked(linux.server_mark(mark)) for mark in marks] == [set(), set()]
