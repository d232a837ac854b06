"""`celeriac run` on an empty machine: starts the service, runs the study on real workers, names the winner; `down`
ends it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.celeriac.cli.played import Ran

OBJECTIVE = """\
def objective(trial):
    print("training with", trial.params["x"])
    trial.report(0.0, step=0)
    return -((trial.params["x"] - 0.3) ** 2)
"""
STUDY = """\
study: parabola
objective: hill:objective
metric: {name: height, goal: maximize}
space: {x: {float: [0, 1]}}
default: {x: 0.9}
budget: {trials: 6}
seed: 1
"""


def ran(directory: Path, *words: str) -> Ran:
    """The command as a program that knows nothing but the home; paths under /tmp are short enough for sockets."""
    done = subprocess.run(
        [sys.executable, "-m", "celeriac.cli", *words, "--home", str(directory / "home")],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        timeout=110,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.stack
@pytest.mark.slow
def test_one_command_from_a_file_to_a_winner(tmp_path: Path) -> None:
    (tmp_path / "hill.py").write_text(OBJECTIVE)
    (tmp_path / "study.yaml").write_text(STUDY)
    try:
        first = ran(tmp_path, "run", "study.yaml", "--slots", "2")
        assert first.code == 0, first
        assert "No service answers: starting one" in first.err
        assert "parabola is DONE: all 6 trials are finished" in first.out
        assert "Better than the default, trial 0 (-0.36), by " in first.out
        assert f"`celeriac up --home {tmp_path / 'home'}` brings it back" in first.err
        again = ran(tmp_path, "run", "study.yaml")
        assert (again.code, "starting one" in again.err) == (0, False)
        assert "training with 0.9" in ran(tmp_path, "logs", "parabola", "0").out
        assert "2 slots on 1 host" in ran(tmp_path, "doctor").out
    finally:
        down = ran(tmp_path, "down")
    assert (down.code, "stopped the stack" in down.out + down.err) == (0, True), down
    after = ran(tmp_path, "status")
    assert after.code == 0, after
    assert "parabola" in after.out
    assert "DONE" in after.out
    assert "no worker is alive" in after.out


@pytest.mark.stack
def test_a_stack_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "hill.py").write_text(OBJECTIVE)
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "postgres").write_text("not a directory")
    failed = ran(tmp_path, "run", "study.yaml")
    assert failed.code == 2, failed
    assert "did not come up" in failed.err
    assert "Traceback" not in failed.err
