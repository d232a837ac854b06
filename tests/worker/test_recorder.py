"""Ends are written beside the runner: in their order, never lost, and before the next lease where that must see them."""

import select
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.lifecycle import StudyEvent
from celeriac.messages import RunTrial
from celeriac.records import TrialRecord, TrialState
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.worker.conftest import Bench
from worker.recorder import Recorder
from worker.runner import run


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close(10)


def _waits(go: threading.Event) -> None:
    assert go.wait(10)


def idle(recorder: Recorder, within_s: float = 10.0) -> bool:
    return bool(select.select([recorder], [], [], within_s)[0])


def test_an_end_is_written_although_nobody_asks_for_it(recorder: Recorder) -> None:
    written = threading.Event()
    recorder.put(written.set)
    assert recorder.busy
    assert written.wait(10)
    assert idle(recorder)
    assert not recorder.busy


def test_one_that_comes_first_is_told_apart_until_it_is_written(recorder: Recorder) -> None:
    go = threading.Event()
    recorder.put(lambda: _waits(go), first=True)
    assert recorder.comes_first
    assert not idle(recorder, 0)
    go.set()
    assert idle(recorder)
    assert not recorder.comes_first


def test_a_second_one_has_to_wait(recorder: Recorder) -> None:
    go = threading.Event()
    recorder.put(lambda: _waits(go))
    with pytest.raises(RuntimeError, match="not written yet"):
        recorder.put(lambda: None)
    go.set()


def test_closing_writes_what_is_left() -> None:
    recorder, written = Recorder(), threading.Event()
    recorder.put(written.set)
    recorder.close(10)
    recorder.close(10)
    assert written.is_set()


# -- with the runner ------------------------------------------------------------------------------------------------------
class Slow:
    """A store whose `finish_attempt` waits until it may go on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __getattr__(self, verb: str) -> object:
        return getattr(self._store, verb)

    def finish_attempt(self, token: str, end: AttemptEnd) -> TrialRecord:
        self.asked.set()
        assert self.go_on.wait(30)
        return self._store.finish_attempt(token, end)


@pytest.fixture
def slow(bench: Bench) -> Iterator[Slow]:
    slow = Slow(bench.store)
    bench.station.store = slow  # type: ignore[assignment] # stands for the store
    yield slow
    slow.go_on.set()


def _two(bench: Bench, **more: Any) -> tuple[RunTrial, RunTrial]:
    study = bench.study("quick:good", **more)
    return bench.ticket(study), bench.ticket(study)


def test_the_next_trial_runs_while_an_end_is_being_written(bench: Bench, slow: Slow) -> None:
    first, second = _two(bench)
    assert "SCORED 1" in run(first, bench.station)
    assert slow.asked.wait(10)
    follower = threading.Thread(target=lambda: _until_leased(bench, second, slow))
    follower.start()
    run(second, bench.station)
    follower.join(10)
    bench.settle()
    assert [bench.trial(each).state for each in (first, second)] == [TrialState.SCORED] * 2


def _until_leased(bench: Bench, ticket: RunTrial, slow: Slow) -> None:
    """Let the end before be written only after the next trial has its lease."""
    tried = threading.Event()
    while not tried.wait(0.01):
        if bench.trial(ticket).state is TrialState.RUNNING:
            slow.go_on.set()
            tried.set()


def test_a_study_that_runs_one_trial_at_a_time_sees_the_end_before_the_next_lease(
    bench: Bench, slow: Slow
) -> None:
    first, second = _two(bench, parallel=1)
    run(first, bench.station)
    assert slow.asked.wait(10)
    threading.Timer(0.2, slow.go_on.set).start()
    run(second, bench.station)
    bench.settle()
    assert [bench.trial(each).state for each in (first, second)] == [TrialState.SCORED] * 2


def test_a_drain_ends_the_wait_for_an_end_that_comes_first(bench: Bench, slow: Slow) -> None:
    first, second = _two(bench, parallel=1)
    run(first, bench.station)
    threading.Timer(0.2, bench.station.orders.drain).start()
    assert "told to stop" in run(second, bench.station)
    slow.go_on.set()
    bench.station.recorder.close(10)
    assert bench.trial(first).state is TrialState.SCORED
    assert bench.trial(second).attempts == 0


def test_an_end_of_a_trial_that_was_stopped_meanwhile_is_late_evidence(bench: Bench, slow: Slow) -> None:
    (ticket, _) = _two(bench)
    run(ticket, bench.station)
    assert slow.asked.wait(10)
    bench.store.move_study(ticket.study, StudyEvent.STOP, "enough")
    slow.go_on.set()
    bench.settle()
    trial = bench.trial(ticket)
    assert trial.state is TrialState.CANCELLED
    (attempt,) = bench.attempts(trial)
    assert attempt.late is not None
    assert attempt.late["score"] == 1.0
