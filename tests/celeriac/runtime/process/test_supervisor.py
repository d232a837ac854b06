"""The supervisor: what dies is started again, what keeps dying is given up with its log, and programs stop before
servers.
"""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from celeriac.domain.errors import StackError
from celeriac.runtime.process.programs import Backoff, Child, announce_ready
from celeriac.runtime.process.supervisor import EARLY_DEATHS, Supervisor


def _child(tmp_path: Path, code: str, name: str = "sleeper", **more: object) -> Child:
    return Child(name, [sys.executable, "-c", code], dict(os.environ), log=tmp_path / f"{name}.log", **more)  # type: ignore[arg-type]


FOREVER = "import signal; signal.pause()"


def test_backoff_grows_and_forgets_after_a_long_life() -> None:
    backoff, waits = Backoff(), []
    for _ in range(6):
        backoff = backoff.died(after_s=0.1)
        waits.append(backoff.wait_s)
    assert waits == [0.2, 0.5, 1.0, 2.0, 5.0, 5.0]
    assert backoff.died(after_s=31).wait_s == 0.2


def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.keep(_child(tmp_path, FOREVER))
    first = supervisor.pids()["sleeper"]
    assert first is not None
    os.kill(first, signal.SIGKILL)
    supervisor.run(until=lambda: supervisor.pids()["sleeper"] not in (None, first), every_s=0.05)
    second = supervisor.pids()["sleeper"]
    assert second is not None
    assert psutil.pid_exists(second)
    assert "sleeper was killed by SIGKILL" in said[0]
    supervisor.stop(lambda name: 5.0)
    assert not psutil.pid_exists(second)


def test_what_keeps_dying_is_given_up_with_its_log(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda text: None)
    supervisor.keep(_child(tmp_path, "raise SystemExit('no such setting')", "broken"))
    with pytest.raises(StackError, match=r"(?s)broken keeps dying.*no such setting"):
        supervisor.run(until=lambda: False, every_s=60)
    supervisor.stop(lambda name: 1.0)
    assert EARLY_DEATHS == 5


def test_who_hears_of_each_death_hears_of_it_before_the_restart_and_nobody_is_given_up(tmp_path: Path) -> None:
    deaths: list[tuple[str, int, list[bool]]] = []
    supervisor = Supervisor(
        lambda text: None, lambda name, status: deaths.append((name, status, [each.runs for each in supervisor.kept]))
    )
    supervisor.keep(_child(tmp_path, "raise SystemExit(3)", "broken"))
    supervisor.run(until=lambda: len(deaths) > EARLY_DEATHS, every_s=0.05)
    supervisor.stop(lambda name: 1.0)
    assert set(map(str, deaths)) == {str(("broken", 3, [False]))}


def test_a_child_may_start_later(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda text: None)
    supervisor.keep(_child(tmp_path, FOREVER), delay_s=0.2)
    (kept,) = supervisor.kept
    assert not kept.runs
    supervisor.run(until=lambda: kept.runs, every_s=0.05)
    supervisor.stop(lambda name: 5.0)


def test_readiness_is_announced_through_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    code = f"from celeriac.runtime.process.programs import announce_ready; announce_ready({writing}); {FOREVER}"
    supervisor = Supervisor(lambda text: None)
    supervisor.keep(_child(tmp_path, code, "ready", pass_fds=(writing,)))
    supervisor.wait_for({reading: "ready"}, 30)
    assert os.read(reading, 8) == b"\n"
    supervisor.stop(lambda name: 5.0)
    announce_ready(-1)  # nobody waits: nothing happens


def test_what_is_not_ready_in_time_is_named(tmp_path: Path) -> None:
    reading, _ = os.pipe()
    supervisor = Supervisor(lambda text: None)
    supervisor.keep(_child(tmp_path, f"print('still thinking', flush=True); {FOREVER}", "slow"))
    with pytest.raises(StackError, match=r"(?s)not ready after 1 s: slow.*slow:"):
        supervisor.wait_for({reading: "slow"}, 1.0)
    supervisor.stop(lambda name: 5.0)


def test_a_child_dies_with_its_starter(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from celeriac.runtime.process.programs import Child\n"
        f"child = Child('c', [sys.executable, '-c', {FOREVER!r}], dict(os.environ))\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    starter = psutil.Popen([sys.executable, "-c", code], stdout=-1, text=True)
    child = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    starter.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive


def test_a_child_that_will_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    ready, writing = os.pipe()
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"from celeriac.runtime.process.programs import announce_ready; announce_ready({writing})\n"
        "while True: signal.pause()"
    )
    supervisor.keep(_child(tmp_path, code, "deaf", pass_fds=(writing,)))
    supervisor.wait_for({ready: "deaf"}, 30)
    supervisor.stop(lambda name: 0.3)
    assert said == ["deaf did not end within its grace and is killed"]


def test_programs_stop_together_and_before_their_servers(tmp_path: Path) -> None:
    """Each program waits, when told to stop, for the other to be told, and then notes whether the server is there
    still.
    """
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.keep(_child(tmp_path, FOREVER, "server"), is_server=True)
    server = supervisor.pids()["server"]
    descriptors = {}
    for name, other in (("one", "two"), ("two", "one")):
        ready, writing = os.pipe()
        code = (
            "import os, pathlib, signal, time\n"
            "from celeriac.runtime.process.programs import announce_ready\n"
            f"here = pathlib.Path({str(tmp_path)!r})\n"
            "def told(*_):\n"
            f"    (here / '{name}').touch()\n"
            f"    while not (here / '{other}').exists(): time.sleep(0.01)\n"
            f"    (here / '{name}').write_text(str(os.path.exists('/proc/{server}')))\n"
            "    raise SystemExit\n"
            "signal.signal(signal.SIGTERM, told)\n"
            f"announce_ready({writing})\n"
            "while True: signal.pause()"
        )
        supervisor.keep(_child(tmp_path, code, name, pass_fds=(writing,)))
        descriptors[ready] = name
    supervisor.wait_for(descriptors, 30)
    supervisor.stop(lambda name: 30.0)
    assert said == []
    assert [(tmp_path / name).read_text() for name in ("one", "two")] == ["True", "True"]
    assert server is not None
    assert not psutil.pid_exists(server)


def test_the_log_is_kept_and_turned_over(tmp_path: Path) -> None:
    child = _child(tmp_path, "print('x' * 100)", "talker", log_bytes=50)
    for _ in range(2):
        os.close(child.start())
        assert child.wait(30)
    assert (tmp_path / "talker.old.log").read_text() == "x" * 100 + "\n"
    assert child.log_tail() == "x" * 100


def test_a_child_that_rests_is_stopped_and_started_again_when_it_is_wanted(tmp_path: Path) -> None:
    deaths: list[str] = []
    supervisor = Supervisor(lambda text: None, lambda name, status: deaths.append(name))
    for name in ("tired", "fresh"):
        supervisor.keep(_child(tmp_path, FOREVER, name))
    before = dict(supervisor.pids())
    supervisor.rest({"tired"})
    supervisor.run(until=lambda: supervisor.pids()["tired"] is None, every_s=0.05)
    looks = iter(range(10))
    supervisor.run(until=lambda: next(looks) == 9, every_s=0.05)
    assert supervisor.pids() == {"tired": None, "fresh": before["fresh"]}
    assert deaths == ["tired"]
    supervisor.rest(set())
    supervisor.run(until=lambda: supervisor.pids()["tired"] is not None, every_s=0.05)
    assert supervisor.pids()["tired"] != before["tired"]
    supervisor.stop(lambda name: 5.0)
