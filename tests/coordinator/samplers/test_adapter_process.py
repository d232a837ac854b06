"""The process beside the coordinator: what it keeps out, and what happens when it ends at any moment."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psutil
import pytest

from celeriac.domain.errors import SamplerFailed
from coordinator.samplers import adapter_process, sampler_for
from coordinator.samplers.adapter_process import _Aside
from coordinator.suggest import pool
from coordinator.suggest.program import Setup, serve
from tests.coordinator.problems import MIXED_SPACE

ROOT = Path(__file__).parents[3]
QUESTION: tuple[Any, ...] = ("coordinator.adapters.optuna", "RandomSampler", MIXED_SPACE, [], [], 1, 7)


@pytest.fixture
def beside() -> Iterator[_Aside]:
    found = _Aside()
    yield found
    found.close()


def process_of(beside: _Aside) -> psutil.Process:
    assert beside._companion is not None
    return psutil.Process(beside._companion.pid)


def test_the_coordinator_loads_none_of_what_adapters_need() -> None:
    code = """
import sys
from coordinator.samplers import sampler_for
from coordinator.tasks import drive_study
from tests.coordinator.problems import MIXED_SPACE
for name in ("optuna:GPSampler", "botorch", "skopt"):
    assert sampler_for(name)(MIXED_SPACE, [], [], 1, 7)
loaded = {"torch", "botorch", "gpytorch", "optuna", "skopt", "sklearn", "scipy", "numpy"} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_one_process_answers_question_after_question(beside: _Aside) -> None:
    first = beside.ask(QUESTION)
    process = process_of(beside)
    assert beside.ask(QUESTION) == first
    assert process_of(beside) == process
    beside.close()
    assert not process.is_running()


def test_one_that_was_killed_is_started_again_unnoticed(beside: _Aside) -> None:
    first = beside.ask(QUESTION)
    process = process_of(beside)
    process.kill()
    assert beside.ask(QUESTION) == first
    assert process_of(beside) != process


def test_a_question_that_kills_it_fails_the_sampler_and_the_next_one_does_not(
    beside: _Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # an installation has no `tests`
    with pytest.raises(SamplerFailed, match=r"ended twice before it answered \(status -9"):
        beside.ask(("tests.coordinator.deadly", "", MIXED_SPACE, [], [], 1, 7))
    assert beside.ask(QUESTION)


@pytest.mark.parametrize("setting", ["IDLE_S = 0.01", "MOST_BYTES = 0"])
def test_an_idle_one_leaves_and_so_does_one_that_grew_too_large(
    setting: str, beside: _Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import sys, coordinator.adapters.__main__ as p; p.{setting}; p.main(*map(int, sys.argv[1:]))"
    monkeypatch.setattr(adapter_process, "PROGRAM", ("-c", code))
    line = beside._started().connection
    process = process_of(beside)
    if setting.startswith("MOST"):
        line.send(QUESTION)
        assert line.recv()[1] == ""
    assert process.wait(timeout=30) == 0


def test_one_stays_however_large_its_starter_is() -> None:
    code = """
import sys
from coordinator.samplers import adapter_process
from tests.coordinator.samplers.test_adapter_process import QUESTION
ballast = b"1" * 2**29
beside = adapter_process._Aside()
adapter = "import sys, coordinator.adapters.__main__ as p; p.MOST_BYTES = 2**28; p.main(*map(int, sys.argv[1:]))"
adapter_process.PROGRAM = ("-c", adapter)
beside.ask(QUESTION)
first = beside._companion.pid
beside.ask(QUESTION)
assert beside._companion.pid == first
beside.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_one_that_does_not_answer_in_time_is_ended(beside: _Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    beside.ask(QUESTION)
    process = process_of(beside)
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(adapter_process, "ANSWER_S", 300.0)
    adapter_process.set_limit(0.05)
    with pytest.raises(SamplerFailed, match=r"did not answer within 0\.05 s and was ended"):
        beside.ask(QUESTION)
    assert not process.is_running()


def test_it_has_less_time_than_its_suggester_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_process, "ANSWER_S", 300.0)
    told: list[Setup] = []

    def started(_: Any, setup: Setup) -> Mock:
        told.append(setup)
        return Mock()

    monkeypatch.setattr(pool, "SuggesterProcess", started)
    pool.Pool(Setup("postgresql://nowhere/none"), pool.PoolLimits(timeout_s=50.0), Mock())._let_work(0, Mock())
    gone = Mock()
    gone.recv.side_effect = EOFError
    with pytest.raises(EOFError):
        serve(gone, told[0])
    assert adapter_process.ANSWER_S == 45.0


def test_it_ends_with_its_starter_even_while_it_works() -> None:
    code = """
import os, signal
from coordinator.samplers.adapter_process import _Aside
from tests.coordinator.samplers.test_adapter_process import QUESTION
beside = _Aside()
beside.ask(QUESTION)
print(beside._companion.pid, flush=True)
os.kill(beside._companion.pid, signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    if psutil.pid_exists(pid):  # dying, or not reaped yet by whoever adopted it
        gone, _ = psutil.wait_procs([psutil.Process(pid)], timeout=10)
        assert gone


def test_what_goes_wrong_in_it_reaches_the_study(beside: _Aside) -> None:
    with pytest.raises(SamplerFailed, match=r"ValueError: optuna\.samplers has no Nothing"):
        beside.ask(("coordinator.adapters.optuna", "Nothing", MIXED_SPACE, [], [], 1, 7))


@pytest.mark.parametrize(
    ("name", "absent", "told"),
    [
        ("botorch", {"botorch"}, "needs botorch, not installed here: `pip install 'celeriac\\[botorch\\]'`"),
        ("optuna:TPESampler", {"optuna"}, "needs optuna, not installed here: `pip install 'celeriac\\[optuna\\]'`"),
        ("optuna:CmaEsSampler", {"cmaes"}, "needs cmaes, not installed"),
        (
            "optuna:GPSampler",
            {"torch"},
            "needs torch, not installed here: `pip install 'celeriac\\[optuna,botorch\\]'`",
        ),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it(
    name: str, absent: set[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "celeriac.domain.sampler_names.find_spec", lambda module: None if module in absent else find_spec(module)
    )
    with pytest.raises(SamplerFailed, match=told):
        sampler_for(name)
