"""The fork server and its children, for real: every nasty objective, what it leaves behind, and what stays warm."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from celeriac.domain.records import Fault
from worker.process import linux
from worker.process.environment import scrubbed
from worker.process.events import Ended, Event, Exit, Failed, Noted, Printed, Reported, Returned, Started, Stopped
from worker.process.frames import FrameTooLarge, Job
from worker.process.pool import ServerPool
from worker.process.server_handle import Code
from worker.process.trial_process import TrialProcess

OBJECTIVES = str(Path(__file__).parents[1] / "objectives")
PATIENCE_S = 30.0
E = TypeVar("E", bound=Event)


def made_pool(**changes: Any) -> ServerPool:
    environment = scrubbed(os.environ, {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"})
    return ServerPool(**{"environment": environment, "tag": "cpu0.s0@test", "idle_s": 60.0, **changes})


@pytest.fixture(scope="module")
def pool() -> Iterator[ServerPool]:
    with made_pool() as pool:
        yield pool


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        study="digits",
        number=7,
        attempt=1,
        params={},
        seed=11,
        device="cpu",
        checkpoint_root=str(tmp_path),
        checkpoint_dir="3/7",
        context={"pids": str(tmp_path / "pids")},
    )


def until_end(child: TrialProcess, events: list[Event] | None = None) -> list[Event]:
    """Every event to the last; an objective of these tests that does not end by itself is a failure of the test."""
    events = events or []
    deadline = time.monotonic() + PATIENCE_S
    while child.ended is None or not any(isinstance(event, Ended) for event in events):
        assert time.monotonic() < deadline, events
        events += child.wait(1.0)
    assert isinstance(events[-1], Ended)
    child.close()
    return events


def until(child: TrialProcess, kind: type[E]) -> E:
    """The first event of that kind."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for event in child.wait(1.0):
            if isinstance(event, kind):
                return event
            assert not isinstance(event, Ended), event
    raise AssertionError(f"no {kind.__name__}")


def gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            assert select.select([handle], [], [], PATIENCE_S)[0]
            os.close(handle)


def ran(pool: ServerPool, objective: str, job: Job, root: str = OBJECTIVES, fingerprint: str = "1") -> list[Event]:
    child = pool.take(Code(root, fingerprint, objective))
    child.start(job)
    return until_end(child)


def only(events: list[Event], kind: type[E]) -> E:
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


def printed(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Printed))


def exit_of(events: list[Event]) -> Exit:
    return only(events, Ended).exit


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def told_pids(job: Job) -> list[int]:
    return [int(pid) for pid in Path(job.context["pids"]).read_text().split()]


# -- the good
# ------------------------------------------------------------------------------------------------------------
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
# -------------------------------------------------------------------------------------------------------------
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
def test_other_ways_to_fail(pool: ServerPool, job: Job, objective: str, fault: Fault, says: str) -> None:
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


# -- kills and leftovers
# -------------------------------------------------------------------------------------------------
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
# ------------------------------------------------------------------------------------------------------------
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
    assert (report.step, report.checkpoint_path) == (5, "3/7/attempt1-step5.ckpt")
    assert Path(job.checkpoint_root, "3/7/attempt1-step5.ckpt").read_text() == "step 5"
    assert report.checkpoint_bytes == 6
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


# -- what cannot be loaded
# -----------------------------------------------------------------------------------------------
def module(root: Path, name: str, text: str) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("objective", "file", "text", "says"),
    [
        ("train:go", "train.py", "import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("train:go", "train.py", "def go(:\n", "SyntaxError"),
        ("train:go", "train.py", "raise SystemExit(2)", "exited with code 2"),
        ("train:go", "train.py", "import os; os._exit(9)", "the process ended with code 9"),
        ("train:go", "train.py", "import os; os.abort()", "the process ended with SIGABRT"),
        ("train:go", "train.py", "def walk(): pass\ndef run(): pass", "its functions are: walk, run"),
        ("train:go", "train.py", "go = 3", "train:go is a int, not a function"),
        ("train:go", "other.py", "", "no module train in the code root"),
        ("train", "train.py", "", "write it as module:function"),
        ("json:loads", "train.py", "", "outside the code root"),
        ("os:system", "train.py", "", "outside the code root"),
        ("builtins:exec", "train.py", "", "outside the code root"),
        ("site:main", "train.py", "", "outside the code root"),
        ("train:os.system", "train.py", "import os", "outside the code root"),
        ("random:random", "random.py", "def random(trial): pass", "rename it if a package has its name"),
        ("worker.process.child:live", "train.py", "", "one of Celeriac's own modules"),
        ("train:go", "celeriac/__init__.py", "", "has the name of one of Celeriac's packages"),
        ("train:go", "worker.py", "", "has the name of one of Celeriac's packages"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    job: Job, tmp_path: Path, objective: str, file: str, text: str, says: str
) -> None:
    root = module(tmp_path / "code", file, text)
    with made_pool() as pool:
        failed = only(ran(pool, objective, job, root), Failed)
        assert failed.fault is Fault.USER_BUG
        assert says in failed.detail
        assert failed.signature == only(ran(pool, objective, job, root), Failed).signature


def test_an_import_errors_traceback_is_the_users(job: Job, tmp_path: Path) -> None:
    root = module(tmp_path / "code", "train.py", "import deeper\n")
    module(tmp_path / "code", "deeper.py", "1 / 0\n")
    with made_pool() as pool:
        failed = only(ran(pool, "train:go", job, root), Failed)
    assert failed.detail == "objective cannot be imported (train): ZeroDivisionError: division by zero"
    assert f'File "{root}/train.py", line 1' in failed.traceback
    assert "preload.py" not in failed.traceback


def test_a_link_out_of_the_code_root_is_refused(job: Job, tmp_path: Path) -> None:
    module(tmp_path / "elsewhere", "train.py", "def go(trial): return 1.0")
    root = tmp_path / "code"
    root.mkdir()
    (root / "train.py").symlink_to(tmp_path / "elsewhere" / "train.py")
    with made_pool() as pool:
        assert "outside the code root" in only(ran(pool, "train:go", job, str(root)), Failed).detail


def test_an_import_that_sleeps_for_ever_can_be_killed(job: Job, tmp_path: Path) -> None:
    root = module(tmp_path / "code", "train.py", "import time\ntime.sleep(3600)\n")
    with made_pool() as pool:
        child = pool.take(Code(root, "1", "train:go"))
        child.start(job)
        assert child.wait(0.3) == []
        since = time.monotonic()
        assert child.kill(5.0).killed
        assert time.monotonic() - since < 2.0
        child.close()


# -- isolation
# -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", "starts threads"),
        ("import subprocess; child = subprocess.Popen(['sleep', '3600'])", "starts processes"),
    ],
)
def test_a_module_that_cannot_be_forked_runs_in_fresh_processes(
    job: Job, tmp_path: Path, top: str, reason: str
) -> None:
    text = f"{top}\nimport threading\ndef go(trial): return threading.active_count()\n"
    root = module(tmp_path / "code", "train.py", text)
    with made_pool() as pool:
        for _ in range(2):
            events = ran(pool, "train:go", job, root)
            assert reason in only(events, Noted).text
            assert "isolation: fresh" in only(events, Noted).text
            # The module's own thread lives in this very process, which a fork would not have given it.
            assert only(events, Returned).score == (2.0 if "threads" in reason else 1.0)


def test_exit_functions_run_in_the_process_that_registered_them(job: Job, tmp_path: Path) -> None:
    root = module(
        tmp_path / "code",
        "train.py",
        "import atexit, tempfile, os\n"
        "kept = tempfile.TemporaryDirectory()\n"
        "def go(trial):\n"
        "    atexit.register(print, 'farewell', flush=True)\n"
        "    go.own = tempfile.TemporaryDirectory(dir=trial.context['dir'])\n"
        "    return float(os.path.isdir(kept.name))\n",
    )
    (tmp_path / "own").mkdir()
    with made_pool() as pool:
        for _ in range(2):
            events = ran(pool, "train:go", replace(job, context={"dir": str(tmp_path / "own")}), root)
            assert only(events, Returned).score == 1.0, "the first trial's end removed what the second needs"
            assert b"farewell\n" in printed(events)
    assert list((tmp_path / "own").iterdir()) == []


# -- what stays warm
# -----------------------------------------------------------------------------------------------------
COUNTING = "import os\nprint('imported')\nborn = os.getpid()\ndef go(trial): return float(born)\n"


def server_of(pool: ServerPool, job: Job, root: str, fingerprint: str) -> int:
    return int(only(ran(pool, "train:go", job, root, fingerprint), Returned).score)


def test_one_import_serves_many_trials_until_the_code_changes(job: Job, tmp_path: Path) -> None:
    root = module(tmp_path / "code", "train.py", COUNTING)
    with made_pool() as pool:
        first = server_of(pool, job, root, "1")
        assert server_of(pool, job, root, "1") == first
        module(tmp_path / "code", "train.py", COUNTING + "# changed\n")
        assert server_of(pool, job, root, "2") != first
        assert server_of(pool, job, root, "1") == first, "the last two are kept"


def test_the_third_oldest_server_is_closed(job: Job, tmp_path: Path) -> None:
    root = module(tmp_path / "code", "train.py", COUNTING)
    with made_pool() as pool:
        first = server_of(pool, job, root, "1")
        handle = os.pidfd_open(first)
        server_of(pool, job, root, "2")
        server_of(pool, job, root, "3")
        assert select.select([handle], [], [], 10.0)[0]
        os.close(handle)
        assert server_of(pool, job, root, "1") != first


def test_an_idle_server_ends_and_the_next_trial_starts_another(job: Job, tmp_path: Path) -> None:
    root = module(tmp_path / "code", "train.py", COUNTING)
    with made_pool(idle_s=0.2) as pool:
        first = server_of(pool, job, root, "1")
        handle = os.pidfd_open(first)
        assert select.select([handle], [], [], 10.0)[0]
        os.close(handle)
        assert server_of(pool, job, root, "1") != first


def test_a_server_that_goes_while_it_is_taken_is_replaced(job: Job, tmp_path: Path) -> None:
    root = module(tmp_path / "code", "train.py", COUNTING)
    with made_pool() as pool:
        first = server_of(pool, job, root, "1")
        os.kill(first, signal.SIGSTOP)
        code = Code(root, "1", "train:go")
        child = pool.take(code)
        standby = pool._servers[code].standby
        os.kill(first, signal.SIGKILL)
        gone(first, *([standby.pid] if standby else []))
        child.start(job)
        result = only(until_end(child), Returned)
        assert int(result.score) != first


def test_a_running_trial_is_not_idleness(job: Job) -> None:
    with made_pool(idle_s=0.05) as pool:
        child = pool.take(Code(OBJECTIVES, "1", "nasty:steps"))
        child.start(job)
        since = time.monotonic()
        while time.monotonic() - since < 0.4:
            child.wait(0.4)
        child.send("stop")
        assert only(until_end(child), Stopped).word == "stop"


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


# -- torch
# ---------------------------------------------------------------------------------------------------------------
TorchRun = Callable[..., list[Event]]


@pytest.fixture(scope="module")
def torch_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchRun]:
    pytest.importorskip("torch")
    root = str(tmp_path_factory.mktemp("checkpoints"))
    with made_pool() as pool:

        def run(function: str, seed: int = 0, **params: str) -> list[Event]:
            return ran(pool, f"torchy:{function}", Job("digits", 0, 1, params, seed, "cpu", root, "1/0"))

        yield run


def test_torch_is_forked_and_seeded(torch_run: TorchRun) -> None:
    events, again, other = (torch_run("seeded", seed) for seed in (5, 5, 6))
    assert not [event for event in events if isinstance(event, Noted)], "torch and numpy alone can be forked"
    assert only(events, Returned).score == only(again, Returned).score != only(other, Returned).score
    assert only(events, Returned).metrics == only(again, Returned).metrics


@pytest.mark.parametrize(
    ("what", "fault", "says"),
    [
        ("vector", Fault.USER_BUG, "got Tensor"),
        ("large", Fault.OUT_OF_MEMORY, "allocate"),
        ("cuda", Fault.OUT_OF_MEMORY, "CUDA out of memory"),
    ],
)
def test_torchs_own_failures(torch_run: TorchRun, what: str, fault: Fault, says: str) -> None:
    failed = only(torch_run("returned", what=what), Failed)
    assert failed.fault is fault
    assert says in failed.detail


def test_a_tensor_of_no_dimensions_is_a_number(torch_run: TorchRun) -> None:
    assert only(torch_run("returned", what="tensor"), Returned).score == 0.25


def test_a_loaders_processes_do_not_outlive_the_trial(torch_run: TorchRun) -> None:
    events = torch_run("returned", what="loader")
    assert only(events, Returned).score == 1.5
    assert exit_of(events).lost == ""
