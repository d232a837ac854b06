"""`celeriac up` as a whole: nothing beyond loopback, one a home, kill -9 leaves nothing behind, and the next one goes
on.

One stack for the module, below a directory that only its owner may enter; the tests run in order and hand it on.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from celeriac.client import Client, Study
from celeriac.domain.records import Outcome, StudyState, TrialState
from celeriac.local.server import runtime_dir
from celeriac.runtime.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.slow]

OBJECTIVE = """
import time

def objective(trial):
    for step in range(20):
        time.sleep(0.05)
        trial.report(trial.params["x"], step=step)
    return trial.params["x"]
"""


class Up:
    """The program as a user starts it, and where its home is."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.said: list[str] = []
        self.process = self.start()

    def start(self) -> "subprocess.Popen[str]":
        """Start `up` and read on until it says that it is ready."""
        command = [sys.executable, "-m", "celeriac.local", "up", "--home", str(self.home), "--slots", "2"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        self.said = said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("Ready"):
                assert f"celeriac down --home '{self.home}'" in "".join(said)  # it has a space
                return self.process
        self.process.stdout.close()
        raise AssertionError(f"up ended with {self.process.wait()}: {''.join(said)}")

    def told(self, name: str) -> str:
        """What it said of a part of itself."""
        return next(line.split(maxsplit=1)[1].strip() for line in self.said if line.startswith(f"{name} "))

    def family(self) -> list[psutil.Process]:
        """Every process of the stack."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals) -> int:
        """Send a signal to `up` and wait for its end."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    stack = Up(closed / "a home")
    yield stack
    if stack.process.poll() is None:
        stack.end(signal.SIGINT)


@pytest.mark.timeout(180)
def test_it_listens_on_loopback_only_and_its_flower_asks_for_the_login(up: Up) -> None:
    def listening() -> set[tuple[str, int]]:
        found = (each for process in up.family() for each in process.net_connections("inet"))
        return {(each.laddr.ip, each.laddr.port) for each in found if each.status == psutil.CONN_LISTEN}

    told = json.loads((up.home / "run" / "stack.json").read_text())
    board, flower = (("127.0.0.1", int(told[name].rpartition(":")[2])) for name in ("web_url", "flower_url"))
    assert board in listening(), "which it waits for"
    until(lambda: flower in listening())  # Flower takes its time, and nobody waits for it
    assert listening() == {board, flower}, "Postgres and Redis have sockets without a port"
    names = {Path(" ".join(process.cmdline()[:1])).name for process in up.family()}
    assert {"postgres", "valkey-server"} <= names


@pytest.mark.timeout(180)
def test_its_board_lets_in_once_by_the_link_that_it_prints_and_has_flower_behind_it(up: Up) -> None:
    board, link, flower = up.told("board"), up.told("link"), up.told("Flower")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", board)
    assert link.startswith(f"{board}/login/once?code=")
    assert flower == f"{board}/flower/", "no password is printed where the board stands before it"
    page = {"Accept": "text/html"}
    with httpx.Client(base_url=board, headers=page) as stranger, httpx.Client(base_url=board, headers=page) as owner:
        assert stranger.get("/healthz").text == "ok\n", "who is told that it is ready may click at once"
        assert [stranger.get(path).headers["location"][:6] for path in ("/", "/fleet", "/flower/")] == ["/login"] * 3
        let_in = owner.get(link)
        assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
        assert "No study runs" in owner.get("/").text
        again = stranger.get(link)
        assert (again.status_code, "This link was used" in again.text) == (401, True)
        assert stranger.get("/").status_code == 303
        while (shown := owner.get("/flower/workers", timeout=30)).status_code == 503:  # Flower takes its time
            select_a_moment()
        assert (shown.status_code, "Flower" in shown.text) == (200, True)
        assert 'href="/flower/static/' in shown.text
        direct = json.loads((up.home / "run" / "stack.json").read_text())["flower_url"]
        assert httpx.get(f"{direct}/flower/workers").status_code == 401


def test_a_second_one_on_the_same_home_is_told_who_holds_it(up: Up) -> None:
    command = [sys.executable, "-m", "celeriac.local", "up", "--home", str(up.home)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"already runs on {up.home} (pid {up.process.pid})" in second.stderr


@pytest.mark.timeout(180)
def test_a_killed_one_leaves_nothing_and_the_next_goes_on_to_the_exact_budget(up: Up, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(OBJECTIVE)
    with Client(Settings.from_env({}, home=up.home)) as client:
        study = client.submit(
            {
                "study": "goes-on",
                "objective": "quick:objective",
                "code": str(tmp_path),
                "metric": {"goal": "maximize"},
                "space": {"x": {"float": [0, 1]}},
                "sampler": "random",
                "budget": {"trials": 8},
            }
        )
        while study.record.counts.finished < 2:
            select_a_moment()
        family = up.family()
        up.end(signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive

    up.start()
    with Client(Settings.from_env({}, home=up.home)) as client:
        study = client.study("goes-on").wait(timeout=90)
        assert (study.state, study.record.counts.finished) == (StudyState.DONE, 8)
        attempts = [each for number in range(8) for each in client.store.attempts(study.record.id, number)]
        assert sum(each.outcome is Outcome.SCORED for each in attempts) == 8
        assert len(attempts) > 8  # what ran when it was killed ran again


def select_a_moment() -> None:
    """The store has no event for a client to wait on; look again in a moment."""
    import select

    select.select([], [], [], 0.05)


STEPS_ON = """
import time
from pathlib import Path

def objective(trial):
    step = trial.start
    while not Path(trial.context["go"]).exists():
        trial.report(step, step=step, checkpoint=lambda path: Path(path).write_text(str(step)))
        step += 1
        time.sleep(0.05)
    return float(step)
"""


@contextmanager
def another_host(home: Path, log: Path, name: str, slots: int) -> Iterator[None]:
    """A node of that name on the same service, for the block."""
    command = [sys.executable, "-P", "-m", "worker", "--slots", str(slots)]
    environment = {**os.environ, "CELERIAC_HOST": name, "CELERIAC_HOME": str(home)}
    with log.open("wb") as output:
        node = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        node.terminate()
        node.wait(30)


@pytest.mark.timeout(180)
def test_a_host_that_is_drained_hands_its_trials_to_another_and_is_given_back(up: Up, tmp_path: Path) -> None:
    (tmp_path / "steps_on.py").write_text(STEPS_ON)
    spec = {
        "objective": "steps_on:objective",
        "code": str(tmp_path),
        "metric": {"goal": "maximize"},
        "space": {"x": {"float": [0, 1]}},
        "sampler": "random",
    }

    def order(verb: str, host: str) -> None:
        command = [sys.executable, "-m", "celeriac.cli", verb, host, "--home", str(up.home)]
        subprocess.run(command, check=True, capture_output=True)

    with Client(Settings.from_env({}, home=up.home)) as client:

        def where(study: Study) -> list[tuple[int, str]]:
            """Of each trial that runs and has reported: which attempt, and on which host."""
            trials = [each for each in client.store.trials(study.id) if each.state is TrialState.RUNNING]
            return [(each.attempts, each.worker.partition("@")[2]) for each in trials if each.last_step is not None]

        (first,) = {each.host for each in client.devices() if each.slots}
        go, limits = tmp_path / "go", {"budget": {"trials": 2}, "parallel": 2}
        moved = client.submit({**spec, **limits, "study": "moves", "context": {"go": str(go)}})
        until(lambda: where(moved) == [(1, first)] * 2)
        with another_host(up.home, tmp_path / "second.log", "second", 2):
            order("drain", first)
            until(lambda: where(moved) == [(2, "second")] * 2)
            go.touch()
            assert moved.wait(timeout=60).state is StudyState.DONE
            for trial in client.store.trials(moved.id):
                before, after = client.store.attempts(moved.id, trial.number)
                assert (before.outcome, after.outcome) == (Outcome.RELEASED, Outcome.SCORED)
                assert trial.faults == {"preempted": 1}, "which costs nothing"
                assert after.resumed_step is not None, "it went on from the checkpoint that it had written"
            order("undrain", first)
            again, limits = tmp_path / "again", {"budget": {"trials": 4}, "parallel": 4}
            after_all = client.submit({**spec, **limits, "study": "comes-back", "context": {"go": str(again)}})
            until(lambda: sorted(where(after_all)) == sorted([(1, first)] * 2 + [(1, "second")] * 2))
            again.touch()
            assert after_all.wait(timeout=60).state is StudyState.DONE


def until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        select_a_moment()


@pytest.mark.timeout(180)
def test_what_dies_is_started_again_and_ctrl_c_stops_all(up: Up, tmp_path: Path) -> None:
    clock = next(process for process in up.family() if process.cmdline()[-2:] == ["coordinator", "clock"])
    clock.kill()
    assert up.process.stdout is not None
    assert any("clock was killed by SIGKILL" in line for line in iter(up.process.stdout.readline, ""))
    family = up.family()
    assert up.end(signal.SIGINT) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not (up.home / "run" / "stack.json").exists()
    assert not (Path("/tmp") / runtime_dir(up.home, base=tmp_path).name).exists()
    assert os.listdir(up.home / "run")  # its lock and its passwords stay for the next one
