"""The fork servers: what cannot be loaded, what cannot be forked, and what stays warm between trials."""

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.records import Fault
from tests.worker.process.trials import OBJECTIVES, gone, made_pool, module, only, printed, ran, until_end
from worker.process.events import Failed, Noted, Returned, Stopped
from worker.process.frames import Job
from worker.process.pool import ServerPool
from worker.process.server_handle import Code


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


def test_a_server_imports_no_more_than_it_needs() -> None:
    """A slot's first trial waits for it, and records and study files were two thirds of that."""
    code = "import sys, worker.process.server; print(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "worker.process.child" in found
    unneeded = ("celeriac.domain.records", "celeriac.domain.space", "celeriac.domain.study_file", "celeriac.decide")
    assert [name for name in unneeded if name in found] == []
