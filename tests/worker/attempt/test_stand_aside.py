"""What a slot leaves to others: studies whose code its host has not, a trial that faulted on it, and everything when
it is sick.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, NewStudy, Outcome, StudyRecord, TrialState
from celeriac.runtime.broker import CPU_QUEUE
from celeriac.runtime.fingerprint import fingerprint
from celeriac.store.api import Store
from tests.celeriac.store.scenes import device
from tests.worker.conftest import Bench, spec
from worker.attempt import stand_aside

NAME = "cpu0.s0@testhost"
CODE = """
import os, shutil
def objective(trial):
    return 0.5
def taken_away(trial):
    shutil.rmtree(os.path.dirname(__file__))
    raise FileNotFoundError("data.csv")
"""


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_aside, "HELD_S", 0.05)


@pytest.fixture
def code(bench: Bench, tmp_path: Path) -> Path:
    """A code root of the slot's own, which a test may change."""
    root = tmp_path / "code"
    root.mkdir()
    (root / "train.py").write_text(CODE)
    bench.context.settings = replace(bench.context.settings, code_root=root)
    return root


def study_of(store: Store, code: str, objective: str = "train:objective") -> StudyRecord:
    made = store.create_study(NewStudy("churn", spec(objective), "maximize", code_root=".", fingerprint=code))
    return store.move_study(made.id, StudyEvent.START, "test")


def test_a_host_with_other_code_gives_the_trial_back_and_says_so(bench: Bench, code: Path) -> None:
    ticket = bench.ticket(study_of(bench.store, "0123456789abcdef git:1"))
    bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.faults, trial.fault) == (TrialState.WAITING, {}, None)
    found = fingerprint(code).split()[0]
    assert trial.detail.endswith(f"the code below {code} is {found}, the study's is 0123456789abcdef")
    assert bench.attempts(trial)[0].outcome is Outcome.RELEASED
    (row,) = bench.store.put_asides()
    assert (row.worker, row.study_id) == (NAME, ticket.study)
    assert f"not run on {row.reason}" == trial.detail


def test_its_tickets_go_back_on_the_queue_and_other_studies_run(bench: Bench, code: Path) -> None:
    ticket = bench.ticket(study_of(bench.store, "0123456789abcdef"))
    bench.attempt(ticket)
    summary = bench.attempt(RunTrial(ticket.study, ticket.trial, 2))
    assert summary.startswith("churn trial 0 attempt 2: left to another slot")
    assert bench.trial(ticket).attempts == 1
    assert bench.context.tickets.waiting(CPU_QUEUE) == 1
    (code / "quick.py").write_text(CODE)
    assert bench.run("quick:objective").state is TrialState.SCORED


def test_it_looks_again_later_and_runs_the_study_once_the_code_is_there(bench: Bench, code: Path) -> None:
    wanted = fingerprint(code)
    (code / "train.py").write_text("broken")
    ticket = bench.ticket(study_of(bench.store, wanted))
    bench.attempt(ticket)
    (code / "train.py").write_text(CODE)
    memory = bench.context.left_to_others.studies
    first = memory[ticket.study]
    memory[ticket.study] = replace(first, until=time.monotonic())
    bench.attempt(RunTrial(ticket.study, ticket.trial, 2))
    assert bench.trial(ticket).state is TrialState.SCORED
    assert not memory


@pytest.mark.parametrize("known", [True, False])
def test_a_code_directory_that_vanishes_is_no_bug_of_the_trial(bench: Bench, code: Path, known: bool) -> None:
    study = study_of(bench.store, fingerprint(code) if known else "")
    first = bench.ticket(study)
    bench.attempt(first)
    assert bench.trial(first).state is TrialState.SCORED
    shutil.rmtree(code)
    second = bench.ticket(study)
    bench.attempt(second)
    trial = bench.trial(second)
    assert (trial.state, trial.faults) == (TrialState.WAITING, {})


def test_nor_is_a_module_that_is_not_there(bench: Bench, code: Path) -> None:
    ticket = bench.ticket(study_of(bench.store, "", "missing_module:objective"))
    bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.faults) == (TrialState.WAITING, {})
    assert f"there is no module missing_module below {code}" in trial.detail


def test_nor_is_one_that_vanishes_under_the_trial(bench: Bench, code: Path) -> None:
    ticket = bench.ticket(study_of(bench.store, fingerprint(code), "train:taken_away"))
    bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.faults) == (TrialState.WAITING, {})
    assert "no directory" in trial.detail


@pytest.fixture
def sick(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[float]]:
    """No process can be started on the slot; returns the waits so far."""
    waits: list[float] = []

    def take(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bench.context.servers, "take", take)
    monkeypatch.setattr(bench.context.control, "pause", waits.append)
    return lambda: waits


def test_a_slot_where_one_trial_after_the_other_faults_rests(bench: Bench, sick: Callable[[], list[float]]) -> None:
    study = bench.study("quick:good")
    for _ in range(3):
        ticket = bench.ticket(study)
        bench.attempt(ticket)
        assert bench.trial(ticket).fault is Fault.INFRASTRUCTURE
    assert sick() == [10.0]
    (row,) = bench.store.put_asides()
    assert (row.worker, row.study_id) == (NAME, 0)
    assert "3 trials in a row" in row.reason
    bench.attempt(bench.ticket(study))
    assert sick() == [10.0, 30.0]


def test_an_order_to_stop_ends_the_rest(bench: Bench) -> None:
    bench.context.control.drain()
    start = time.monotonic()
    bench.context.control.pause(60.0)
    assert time.monotonic() - start < 30


def test_a_trial_that_faulted_here_is_left_to_another_slot_if_there_is_one(
    bench: Bench, sick: Callable[[], list[float]]
) -> None:
    ticket = bench.ticket(bench.study("quick:good"))
    bench.attempt(ticket)
    alone = bench.attempt(RunTrial(ticket.study, ticket.trial, 2))
    assert "left to another slot" not in alone
    bench.store.put_devices("elsewhere", [replace(device("cpu"), slots=("cpu0.s0@elsewhere",))])
    again = bench.attempt(RunTrial(ticket.study, ticket.trial, 3))
    assert "left to another slot, it ended here by a fault of infrastructure before" in again
    assert bench.trial(ticket).attempts == 2
