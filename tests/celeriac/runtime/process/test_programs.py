"""Children for real: they end with their starter, in groups, and what they leave behind is found by its tag."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from celeriac.domain.errors import StackError
from celeriac.runtime.process.programs import Backoff, Child, sweep, tagged

PYTHON = sys.executable
WITH_GRANDCHILD = """
import os, signal, subprocess, sys
{first}
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session={own_session})
print(grandchild.pid, flush=True)
sys.stdin.close()
signal.pause()
"""


def child_of(program: str, log: Path, **options: object) -> Child:
    environment = {"PATH": os.defpath, "CELERIAC_STACK": f"test-{os.getpid()}"}
    return Child("program", [PYTHON, "-c", program], environment, log=log, **options)  # type: ignore[arg-type]


def first_line(child: Child) -> str:
    """What the child says first. Its log is a file: it is looked at until it has a line, or the child has died."""
    assert child.log is not None
    while not child.log.read_text().endswith("\n"):
        assert child.poll() is None, child.log_tail()
        child.wait(0.01)
    return child.log.read_text().splitlines()[0]


def started(child: Child) -> psutil.Process:
    """Start it; the process that its first line names."""
    os.close(child.start())
    return psutil.Process(int(first_line(child)))


def test_stop_asks_first(tmp_path: Path) -> None:
    program = (
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint(1, flush=True)\nwhile True:"
        " signal.pause()"
    )
    child = child_of(program, tmp_path / "log")
    started(child)
    child.stop(grace_s=30)
    assert child.poll() == 7


def test_stop_kills_the_group_of_one_that_does_not_listen(tmp_path: Path) -> None:
    deaf = WITH_GRANDCHILD.format(first="signal.signal(signal.SIGTERM, signal.SIG_IGN)", own_session=False)
    child = child_of(deaf, tmp_path / "log")
    grandchild = started(child)
    child.stop(grace_s=0.1)
    assert child.poll() == -signal.SIGKILL
    assert psutil.wait_procs([grandchild], timeout=10)[1] == []


def test_the_descriptor_of_a_start_becomes_readable_at_its_death(tmp_path: Path) -> None:
    child = child_of("import sys; sys.exit(3)", tmp_path / "log")
    pidfd = child.start()
    assert select.select([pidfd], [], [], 30)[0] == [pidfd]
    assert child.poll() == 3
    os.close(pidfd)


def test_a_child_dies_with_its_starter(tmp_path: Path) -> None:
    starter = f"""
import os, signal
from pathlib import Path
from celeriac.runtime.process.programs import Child
child = Child("c", [{PYTHON!r}, "-c", "import time; time.sleep(600)"], {{}}, log=Path({str(tmp_path / "log")!r}))
child.start()
print(child.pid, flush=True)
signal.pause()
"""
    process = subprocess.Popen([PYTHON, "-c", starter], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        process.kill()
    assert psutil.wait_procs([child], timeout=10)[1] == []


def test_the_sweep_finds_what_escaped_into_a_session_of_its_own(tmp_path: Path) -> None:
    child = child_of(WITH_GRANDCHILD.format(first="", own_session=True), tmp_path / "log")
    grandchild = started(child)
    child.kill()
    assert grandchild.is_running(), "it is in no group of ours"
    assert sweep(tagged("CELERIAC_STACK", f"test-{os.getpid()}")) == [grandchild.pid]
    assert psutil.wait_procs([grandchild], timeout=10)[1] == []
    assert tagged("CELERIAC_STACK", f"test-{os.getpid()}") == []


def test_a_log_is_appended_to_and_turned_over_at_its_cap(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "program.log"
    for _ in range(2):
        child = child_of("print('x' * 60)", log, log_bytes=100)
        os.close(child.start())
        assert child.wait(30)
    assert len(log.read_text().splitlines()) == 2
    child = child_of("print('new')", log, log_bytes=100)
    os.close(child.start())
    assert child.wait(30)
    assert child.log_tail() == "new"
    assert sum(path.stat().st_size for path in log.parent.iterdir()) == 2 * 61 + 4


def test_a_program_that_is_not_there_is_an_error_with_its_name() -> None:
    with pytest.raises(StackError, match=r"ghost cannot be started \(/no/such/program"):
        Child("ghost", ["/no/such/program"], {}).start()


def test_backoff_grows_to_five_seconds_and_forgets_after_a_healthy_life() -> None:
    backoff, waits_s = Backoff(), []
    for _ in range(7):
        backoff = backoff.died(after_s=0.1)
        waits_s.append(backoff.wait_s)
    assert waits_s == [0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    assert backoff.died(after_s=31.0).wait_s == 0.2


def test_one_whose_starter_is_gone_ends_whatever_it_handles() -> None:
    code = (
        "import os, signal; from celeriac.runtime.process.linux import die_with_parent\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "die_with_parent(os.getppid() + 1, signal.SIGTERM)\n"
        "print('lives on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
