"""The command as a program on a terminal: Ctrl-C, the live picture, and what its start costs."""

import io
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from celeriac.cli.screen import Grid, boxed, fitted
from celeriac.client import Client
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Lease, Report, StudyState
from celeriac.store.api import AttemptEnd
from tests.celeriac.cli.played import CODE, SPEC, STUDY_FILE, leased, played, started
from tests.celeriac.store.scenes import suggestion

CTRL_C = b"\x03"
PATIENCE_S = 30.0


class Terminal:
    """A program on a terminal of its own: wait for words, press keys, read its exit code."""

    def __init__(self, environment: dict[str, str], *words: str, columns: int = 120, lines: int = 40) -> None:
        self._pid, self._screen = pty.fork()
        if self._pid == 0:
            size = {"COLUMNS": str(columns), "LINES": str(lines)}
            given = {**os.environ, **environment, "TERM": "xterm-256color", **size}
            os.execve(sys.executable, [sys.executable, "-m", "celeriac.cli", *words], given)
        self.said = ""

    def until(self, words: str) -> None:
        """Read until the program has said this."""
        end = time.monotonic() + PATIENCE_S
        while words not in self.said:
            assert time.monotonic() < end, f"never said {words!r}, but {self.said[-2000:]!r}"
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"ended before it said {words!r}: {self.said[-2000:]!r}")

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        while self._read(PATIENCE_S):
            pass
        _, status = os.waitpid(self._pid, 0)
        os.close(self._screen)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        if self._pid:
            os.kill(self._pid, 9)
            self.ended()

    def _read(self, patience_s: float) -> bool:
        if not select.select([self._screen], [], [], max(patience_s, 0))[0]:
            return False
        try:
            data = os.read(self._screen, 65_536)
        except OSError:  # Linux says EIO when the program has closed its terminal
            return False
        self.said += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def watched(
    environment: dict[str, str], client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    """A running study, and `celeriac watch` on a terminal, showing it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    study = client.open(SPEC).study
    played(client, study, 0.5)
    client.store.report(leased(client, study).token, [Report(3, 0.25)])
    terminal = Terminal(environment, "watch", "digits")
    terminal.until("Ctrl-C leaves it running")
    yield terminal
    terminal.kill()


def test_the_picture_shows_progress_best_and_running_trials(watched: Terminal) -> None:
    for words in ("digits", "RUNNING", "maximize accuracy", "1/3", "trial 0", "lr=0.01", "0.25 at step 3"):
        assert words in watched.said


def test_ctrl_c_once_leaves_the_study_running_and_says_how_to_stop_it(watched: Terminal, client: Client) -> None:
    watched.press(CTRL_C)
    watched.until("`celeriac stop digits` ends it")
    assert watched.ended() == 130
    assert client.study("digits").state is StudyState.RUNNING


def test_ctrl_c_twice_stops_the_study(watched: Terminal, client: Client) -> None:
    watched.press(CTRL_C)
    watched.until("`celeriac stop digits` ends it")
    watched.press(CTRL_C)
    watched.until("Stopped digits.")
    assert watched.ended() == 130
    record = client.study("digits").record
    assert (record.state, record.reason) == (StudyState.STOPPED, "stopped with Ctrl-C")


def test_the_picture_ends_with_the_study(watched: Terminal, client: Client) -> None:
    client.study("digits").stop("enough")
    watched.until("digits is STOPPED: enough")
    assert watched.ended() == 1


def test_ctrl_c_ends_a_followed_log(environment: dict[str, str], watched: Terminal, client: Client) -> None:
    token = client.store.open_attempts_of("cpu0.s0@here")[0].token
    client.store.renew(token, 30, log_tail="epoch 1\n")
    log = Terminal(environment, "logs", "digits", "1", "--follow")
    try:
        log.until("epoch 1")
        client.store.renew(token, 30, log_tail="epoch 1\nepoch 2\n")
        log.until("epoch 2")
        assert log.said.count("epoch 1") == 1
        log.press(CTRL_C)
        assert log.ended() == 130
    finally:
        log.kill()


# -- what a start costs ---------------------------------------------------------------------------------------------


def test_help_loads_no_service_and_is_quick() -> None:
    code = (
        "import sys; from celeriac.cli.main import main; sys.argv = ['celeriac', '--help']\ntry: main()\nexcept"
        " SystemExit: pass\nprint(*(m for m in ('sqlalchemy', 'celery', 'kombu', 'psycopg', 'rich', 'numpy') if m in"
        " sys.modules), file=sys.stderr)\nimport time; print(time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, cpu_s = done.stderr.splitlines()
    assert loaded == ""
    assert float(cpu_s) < 0.4  # its own work; waiting for a busy machine's cores is not counted
    commands = [line.split()[0] for line in done.stdout.split("Commands:")[1].strip().splitlines()]
    assert commands[:5] == ["up", "down", "run", "submit", "watch"]


def test_status_loads_no_celery(environment: dict[str, str], client: Client) -> None:
    client.store.now()
    code = (
        "import sys; from celeriac.cli.main import main; sys.argv = ['celeriac', 'status']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*(m for m in ('celery', 'kombu', 'rich', 'numpy', 'alembic') if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    assert done.stderr.strip() == ""
    assert "No study yet" in done.stdout


def test_a_usage_error_ends_with_two_and_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-m", "celeriac.cli", "rum"], capture_output=True, text=True, check=False)
    assert (done.returncode, "No such command 'rum'" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_the_version_is_printed_alone() -> None:
    from celeriac import __version__

    done = subprocess.run(
        [sys.executable, "-m", "celeriac.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{__version__}\n"


def test_a_narrow_terminal_gives_up_spare_columns_in_their_order_and_no_other() -> None:
    grid = Grid(("n", "bar", "extra", "note"), [("1", "#" * 20, "x" * 9, "y" * 99)], spare=("extra", "bar"))
    shown = [list(fitted(grid, width).columns) for width in (70, 60, 50, 5)]
    assert shown == [["n", "bar", "extra", "note"], ["n", "bar", "note"], ["n", "note"], ["n", "note"]]
    assert fitted(grid, 50).rows == [["1", "y" * 99]]
    assert fitted(replace(grid, spare=()), 5).columns == grid.columns


@pytest.mark.parametrize(("columns", "left_out"), [(80, "source, worker"), (200, "")])
def test_trials_on_a_narrow_terminal_keep_number_state_and_score(
    columns: int,
    left_out: str,
    environment: dict[str, str],
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    names = [f"a_parameter_{k}" for k in range(6)]
    study = client.open({**SPEC, "space": {name: {"float": [0, 1]} for name in names}, "default": None}).study
    started(client, study)
    client.store.add_trials(study.id, study.record.turn, [suggestion(**dict.fromkeys(names, 0.123456))])
    client.store.queue_trials(study.id, study.record.turn, [0])
    lease = client.store.lease(study.id, 0, 1, worker="cpu0.s0@here", device="cpu", lease_s=30)
    assert isinstance(lease, Lease)
    end = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, step=3, detail="rung 3: 0.697502 is not good enough")
    client.store.finish_attempt(lease.token, end)
    shown = Terminal(environment, "trials", "digits", columns=columns)
    assert shown.ended() == 0
    for words in ("trial", "state", "score", "PRUNED", "a_parameter_5=0.123", "rung 3:"):
        assert words in shown.said
    assert "…" not in shown.said
    assert ("Not shown in this width: " + left_out in shown.said) is bool(left_out)
    assert ("cpu0.s0@here" in shown.said) is not bool(left_out)


def test_no_name_is_broken_however_narrow_the_terminal_is(
    environment: dict[str, str], client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    names = ["weather-of-north-america-in-the-winter-of-2026-by-hand-1", "short"]
    for name in names:
        client.open({**SPEC, "study": name}).study.stop("the words of a reason may stand in several lines, as they are")
    for columns in (120, 80, 60):
        shown = Terminal(environment, "status", columns=columns)
        assert shown.ended() == 0
        assert all(name in shown.said for name in names), shown.said
    grid = Grid(
        ("study", "parameters", "note"),
        [("s" * 30, "a" * 24 + " " + "b" * 26, "n " * 40)],
        folds=frozenset({"parameters"}),
    )
    lines = [line for line in drawn(boxed(grid, 80), 80) if line.strip()]
    assert all(len(line) <= 80 for line in lines)
    for name in ("s" * 30, "a" * 24, "b" * 26):
        assert any(name in line for line in lines)


def drawn(table: object, width: int) -> list[str]:
    """What a terminal of that width shows."""
    terminal = Console(width=width, file=io.StringIO())
    terminal.print(table)
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue().splitlines()


@pytest.mark.parametrize(("lines", "rows"), [(24, 12), (14, 5)])
def test_the_live_picture_has_room_for_its_last_line(
    lines: int, rows: int, environment: dict[str, str], client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    space = {f"a_long_parameter_{k}": {"float": [0, 1]} for k in range(8)}
    study = client.open({**SPEC, "space": space, "default": None, "budget": {"trials": 20}}).study
    started(client, study)
    client.store.add_trials(study.id, study.record.turn, [suggestion(**dict.fromkeys(space, 0.123456))] * 12)
    client.store.queue_trials(study.id, study.record.turn, list(range(12)))
    for number in range(12):
        assert isinstance(
            client.store.lease(study.id, number, 1, worker=f"cpu{number}.s0@here", device="cpu", lease_s=30), Lease
        )
    terminal = Terminal(environment, "watch", "digits", columns=80, lines=lines)
    try:
        terminal.until("Ctrl-C leaves it running")
        shown = [line for line in terminal.said.splitlines() if "a_long_parameter_0=" in line]
        assert len(shown) == rows
        assert ("and 7 more" in terminal.said) is (rows == 5)
    finally:
        terminal.kill()


def test_ctrl_c_while_the_service_starts_says_what_becomes_of_it(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CELERIAC_DATABASE_URL", "CELERIAC_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "train.py").write_text(CODE)
    (tmp_path / "study.yaml").write_text(STUDY_FILE)
    home = {"CELERIAC_HOME": str(tmp_path / "home")}
    terminal = Terminal(home, "run", "study.yaml", "--slots", "1")
    try:
        terminal.until("No service answers: starting one")
        terminal.press(CTRL_C)
        terminal.until("left with Ctrl-C: the service under")
        assert terminal.ended() == 130
        assert "Aborted" not in terminal.said
    finally:
        terminal.kill()
        subprocess.run([sys.executable, "-m", "celeriac.cli", "down"], env={**os.environ, **home}, check=False)
