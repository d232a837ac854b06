"""A command in the place of an objective: what it tells, how it ends, and what never happens to its words."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.records import Fault
from tests.worker.process.trials import alive, exit_of, only, printed, told_pids, until, until_end
from worker.process.events import Event, Failed, Reported, Returned, Stopped
from worker.process.frames import Job
from worker.process.pool import ServerPool
from worker.process.server_handle import Code

TRAIN = """
import json, os, sys
print("args", json.dumps(sys.argv[1:]))
print("told", os.environ["CELERIAC_TRIAL"], os.environ["CELERIAC_PARAMS"], os.environ["CELERIAC_START"])
print('{"epoch": 1}')
print(json.dumps({"step": 0, "value": 0.5, "metrics": {"loss": 2.0}}))
kept = os.path.join(os.environ["CELERIAC_CHECKPOINTS"], "model.pt")
open(kept, "w").write("weights")
with open(os.environ["CELERIAC_RESULTS"], "a") as results:
    print(json.dumps({"step": 1, "value": 0.75, "checkpoint": "model.pt"}), file=results)
with open(os.environ["CELERIAC_RESULTS"], "a") as results:
    print(json.dumps({"score": 0.875, "metrics": {"epochs": 2}}), file=results)
"""
WAITS = """
import json, os, subprocess, sys, time
other = subprocess.Popen(["sleep", "1000"])
open(json.loads(os.environ["CELERIAC_CONTEXT"])["pids"], "w").write(f"{os.getpid()} {other.pid}")
for step in range(100000):
    print(json.dumps({"step": step, "value": 0.5}), flush=True)
    time.sleep(0.01)
"""


def run(pool: ServerPool, tmp_path: Path, script: str, job: Job, command: str = "") -> list[Event]:
    (tmp_path / "train.py").write_text(script)
    child = pool.take(Code(str(tmp_path), "1", command or f"{sys.executable} train.py", "command"))
    child.start(job)
    return until_end(child)


def test_a_command_reports_saves_and_scores(pool: ServerPool, tmp_path: Path, job: Job) -> None:
    params = {"lr": 1e-05, "text": "a b; touch pwned $(touch pwned) `touch pwned`"}
    command = f"{sys.executable} train.py --lr {{lr}} '{{text}}' --seed={{celeriac.seed}} --m {{momentum}}"
    events = run(pool, tmp_path, TRAIN, replace(job, params=params), command)
    lines = printed(events).decode().splitlines()
    assert json.loads(lines[0].removeprefix("args ")) == ["--lr", "1e-05", params["text"], "--seed=11"]
    assert lines[1] == f"told 7 {json.dumps(params)} 0"
    assert not (tmp_path / "pwned").exists()
    reports = [event for event in events if isinstance(event, Reported)]
    assert sorted((each.step, each.value) for each in reports) == [(0, 0.5), (1, 0.75)]
    assert reports[0].metrics == {"loss": 2.0}
    saved = reports[1].checkpoint
    assert saved is not None
    assert (tmp_path / saved.path).read_text() == "weights"
    result = only(events, Returned)
    assert (result.score, result.metrics, result.step) == (0.875, {"epochs": 2}, 1)


def test_a_command_tells_what_a_night_judges_by_and_its_model(pool: ServerPool, tmp_path: Path, job: Job) -> None:
    script = """
import json, os
place = os.path.join(os.environ["TMPDIR"], "model.bin")
open(place, "w").write("weights")
print(json.dumps({"score": 3, "holdout": [2.5, 3.5], "drift": 0.25, "model": place}))
"""
    asked = replace(job, keep_model=True, model_bytes=1000)
    result = only(run(pool, tmp_path, script, asked), Returned)
    assert (result.score, result.holdout, result.drift) == (3.0, (2.5, 3.5), 0.25)
    assert result.model is not None
    assert (Path(job.checkpoint_root) / result.model.path).read_text() == "weights"
    lacking = 'print(\'{"score": 3, "model": "gone.bin"}\')'
    without = only(run(pool, tmp_path, lacking, asked), Returned)
    assert (without.score, without.model) == (3.0, None)
    assert "gone.bin" in without.model_error
    wrong = only(run(pool, tmp_path, 'print(\'{"score": 3, "holdout": []}\')', job), Failed)
    assert "holdout is empty" in wrong.detail


def test_a_result_file_that_is_written_anew_is_read(pool: ServerPool, tmp_path: Path, job: Job) -> None:
    script = """
import os
place = os.environ["CELERIAC_RESULTS"]
open(place + ".new", "w").write('{"score": 3}')
os.replace(place + ".new", place)
"""
    assert only(run(pool, tmp_path, script, job), Returned).score == 3.0


@pytest.mark.parametrize(
    ("script", "fault", "words"),
    [
        (
            "import sys; print('no data', file=sys.stderr); sys.exit(3)",
            Fault.USER_BUG,
            "ended with exit code 3: no data",
        ),
        ("import os, signal; os.kill(os.getpid(), 11)", Fault.USER_BUG, "ended with signal SIGSEGV: it wrote nothing"),
        ("print('fine')", Fault.USER_BUG, "told no score: have it write a line such as"),
        ("print('{\"score\": NaN}')", Fault.NOT_FINITE, "returned nan"),
        ('print(\'{"score": "high"}\')', Fault.USER_BUG, "must be a number, got str 'high'"),
        ("raise SystemExit('CUDA out of memory')", Fault.OUT_OF_MEMORY, "CUDA out of memory"),
        (
            'print(\'{"step": 1, "value": 1, "checkpoint": "../x"}\')',
            Fault.USER_BUG,
            "checkpoint '../x' is no file below",
        ),
    ],
)
def test_how_it_ends_becomes_the_fault(
    pool: ServerPool, tmp_path: Path, job: Job, script: str, fault: Fault, words: str
) -> None:
    failed = only(run(pool, tmp_path, script, job), Failed)
    assert failed.fault is fault
    assert words in failed.detail


def test_a_program_that_is_not_there_is_named(pool: ServerPool, tmp_path: Path, job: Job) -> None:
    failed = only(run(pool, tmp_path, "", job, "no-such-program --x"), Failed)
    assert failed.detail.endswith("no-such-program cannot be started here: No such file or directory")


def test_failures_are_told_apart_by_their_last_words(pool: ServerPool, tmp_path: Path, job: Job) -> None:
    marks = [
        only(run(pool, tmp_path, f"import sys; sys.exit({text!r})", job), Failed).signature
        for text in ("bad data", "bad model", "bad data")
    ]
    assert marks[0] == marks[2] != marks[1]


def test_a_stopped_command_ends_with_all_that_it_started(pool: ServerPool, tmp_path: Path, job: Job) -> None:
    (tmp_path / "train.py").write_text(WAITS)
    child = pool.take(Code(str(tmp_path), "1", f"{sys.executable} train.py", "command"))
    child.start(job)
    until(child, Reported)
    child.send("stop")
    events = until_end(child)
    assert only(events, Stopped).word == "stop"
    assert (exit_of(events).code, exit_of(events).leftovers) == (0, 0)
    assert not any(alive(pid) for pid in told_pids(job))
