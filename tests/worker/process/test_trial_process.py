"""A trial's process, for real: every nasty objective and what comes of it."""

import os
import signal
from dataclasses import replace

import pytest

from celeriac.domain.records import Fault
from tests.worker.process.trials import OBJECTIVES, exit_of, made_pool, only, printed, ran, until, until_end
from worker.process.environment import scrubbed
from worker.process.events import Ended, Failed, Reported, Returned, Started, Stopped
from worker.process.frames import Job
from worker.process.pool import ServerPool
from worker.process.server_handle import Code


def test_a_score_comes_back_and_the_process_ends(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "quick:good", replace(job, params={"x": 21}))
    assert only(events, Returned).score == 42.0
    ended = exit_of(events)
    assert (ended.code, ended.signal, ended.killed, ended.leftovers, ended.lost) == (0, None, False, 0, "")
    assert ended.peak_memory_bytes > 1 << 20
    assert [type(event) for event in events] == [Started, Returned, Ended]


def test_reports_come_in_order(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "quick:rich", job)
    first, second = (event for event in events if isinstance(event, Reported))
    assert first == Reported(0, 0.5, {"loss": 0.25, "phase": "warm"})
    assert second.step == 3
    assert second.value != second.value
    result = only(events, Returned)
    assert (result.metrics, result.step) == ({"holdout": 0.7}, 3)


def test_equal_seeds_draw_equal_numbers_and_others_do_not(pool: ServerPool, job: Job) -> None:
    drawn = [only(ran(pool, "quick:random_numbers", replace(job, seed=seed)), Returned).score for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_output_of_python_and_c_comes_whole(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "quick:prints", job)
    text = printed(events)
    assert len(text) > 1_900_000
    assert text.startswith(b"line 000000 x")
    assert b"line 019999 x" in text
    assert b"raw stderr\n" in text
    assert b"from C\n" in text
    assert only(events, Returned).score == 1.0


def test_the_environment_is_scrubbed(job: Job) -> None:
    environ = {**os.environ, "CELERIAC_DATABASE_URL": "postgresql://secret", "AWS_SECRET_ACCESS_KEY": "x"}
    environment = scrubbed(environ, {"CUDA_VISIBLE_DEVICES": "GPU-1"})
    with made_pool(environment=environment) as pool:
        seen = only(ran(pool, "quick:environment", job), Returned).metrics
    assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert not [name for name in seen if name.startswith("CELERIAC_")]
    assert "AWS_SECRET_ACCESS_KEY" not in seen


# -- the bad
def test_an_exception_is_a_user_bug_with_the_users_frames(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "quick:raises", job)
    failed = only(events, Failed)
    assert (failed.fault, failed.detail) == (Fault.USER_BUG, "KeyError: 'missing'")
    lines = [line.strip() for line in failed.traceback.splitlines() if line.strip().startswith("File")]
    assert [line.rpartition(" in ")[2] for line in lines] == ["raises", "_deeper"]
    assert failed.traceback.encode() in printed(events)
    assert only(ran(pool, "quick:raises", replace(job, number=8)), Failed).signature == failed.signature


@pytest.mark.parametrize(
    ("what", "fault", "says"),
    [
        ("string", Fault.USER_BUG, "got str 'abc'"),
        ("nothing", Fault.USER_BUG, "got nothing (None)"),
        ("nan", Fault.NOT_FINITE, "returned nan"),
        ("infinite", Fault.NOT_FINITE, "returned -inf"),
        ("bool", Fault.USER_BUG, "got bool True"),
        ("megabytes", Fault.USER_BUG, "over the limit of 1,048,576"),
    ],
)
def test_what_is_no_score_is_a_fault(pool: ServerPool, job: Job, what: str, fault: Fault, says: str) -> None:
    failed = only(ran(pool, "quick:returns", replace(job, params={"what": what})), Failed)
    assert failed.fault is fault
    assert says in failed.detail


@pytest.mark.parametrize(
    ("objective", "fault", "says"),
    [
        ("quick:exits", Fault.USER_BUG, "exited with code 3"),
        ("quick:interrupts", Fault.USER_BUG, "KeyboardInterrupt"),
        ("quick:out_of_memory", Fault.OUT_OF_MEMORY, "no more"),
        ("nasty:raises_to_stop", Fault.USER_BUG, "nobody asked it to stop"),
    ],
)
def test_each_other_way_to_fail_has_its_fault_and_its_words(
    pool: ServerPool, job: Job, objective: str, fault: Fault, says: str
) -> None:
    failed = only(ran(pool, objective, job), Failed)
    assert failed.fault is fault
    assert says in failed.detail


def test_an_abrupt_exit_is_seen_by_its_code(pool: ServerPool, job: Job) -> None:
    events = ran(pool, "quick:leaves", job)
    assert exit_of(events).code == 4
    assert [type(event) for event in events] == [Started, Ended]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL"])
def test_a_deadly_signal_is_seen(pool: ServerPool, job: Job, name: str) -> None:
    ended = exit_of(ran(pool, "quick:dies", replace(job, params={"signal": name})))
    assert (ended.code, ended.signal, ended.killed) == (None, signal.Signals[name], False)


def test_a_kill_from_outside_is_seen_and_not_taken_for_ours(pool: ServerPool, job: Job) -> None:
    child = pool.take(Code(OBJECTIVES, "1", "nasty:sleeps"))
    child.start(job)
    os.kill(until(child, Started).pid, signal.SIGKILL)
    ended = exit_of(until_end(child))
    assert (ended.signal, ended.killed) == (signal.SIGKILL, False)


def test_a_lost_server_ends_the_trial_and_the_next_gets_another(pool: ServerPool, job: Job) -> None:
    ended = exit_of(ran(pool, "quick:loses_its_server", job))
    assert ended.lost == "its server ended by signal 9"
    assert only(ran(pool, "quick:good", replace(job, params={"x": 1})), Returned).score == 2.0


def test_a_thread_left_behind_does_not_hold_the_trial_up(pool: ServerPool, job: Job) -> None:
    assert only(ran(pool, "quick:leaves_a_thread", job), Returned).score == 1.0


@pytest.mark.parametrize("how", ["return", "raise", "exit", "stop"])
def test_only_the_objectives_own_process_scores(pool: ServerPool, job: Job, how: str) -> None:
    events = ran(pool, "nasty:comes_back_from_a_fork", replace(job, params={"how": how}))
    assert only(events, Returned).score == {"return": 0.0, "raise": 1.0, "exit": 7.0, "stop": 1.0}[how]
    assert not [event for event in events if isinstance(event, Failed | Stopped)]


def test_only_the_objectives_own_process_reports(pool: ServerPool, job: Job) -> None:
    assert only(ran(pool, "nasty:reports_from_a_fork", job), Returned).score == 7.0
