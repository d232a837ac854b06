"""What comes to a running trial from outside: a drain, a revoke, a lost lease, a store that goes away for a while."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Outcome, TrialState
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.worker.conftest import Bench


@contextmanager
def once_there(path: Path, deed: Callable[[], object]) -> Iterator[None]:
    """Do something in another thread as soon as the trial has written that file; what the deed raises comes out
    here.
    """
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            deadline = time.monotonic() + 30
            while not path.exists():
                assert time.monotonic() < deadline, f"{path} was never written"
                time.sleep(0.01)
            deed()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()
    if errors:
        raise errors[0]


def _trains(bench: Bench, tmp_path: Path, **params: object) -> tuple[RunTrial, Path]:
    sign = tmp_path / "first-report"
    return bench.ticket(bench.study("attempts:trains_on"), {"file": str(sign), **params}), sign


def test_a_drain_hands_the_trial_back_with_its_checkpoint_at_no_charge(bench: Bench, tmp_path: Path) -> None:
    ticket, sign = _trains(bench, tmp_path, saves=True)
    with once_there(sign, bench.context.control.drain):
        bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.PAUSED, Fault.PREEMPTED)
    assert bench.attempts(trial)[0].outcome is Outcome.RELEASED
    rows = bench.store.checkpoints(ticket.study, ticket.trial)
    assert rows[0].step == trial.last_step
    assert (bench.settings.checkpoint_root / rows[0].path).exists()


def test_a_drain_without_checkpoints_sends_the_trial_back_to_the_start(bench: Bench, tmp_path: Path) -> None:
    ticket, sign = _trains(bench, tmp_path)
    with once_there(sign, bench.context.control.drain):
        bench.attempt(ticket)
    assert bench.trial(ticket).state is TrialState.WAITING


def test_a_trial_that_never_reports_is_ended_when_the_grace_is_over(bench: Bench, tmp_path: Path) -> None:
    bench.context.settings = replace(bench.settings, checkpoint_grace_s=0.5)
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "never")}
    ticket = bench.ticket(bench.study("attempts:waits_for_a_file"), params)
    with once_there(tmp_path / "running", bench.context.control.drain):
        began = time.monotonic()
        bench.attempt(ticket)
    assert time.monotonic() - began < 10
    trial = bench.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.PREEMPTED)
    assert not Path(f"/proc/{(tmp_path / 'running').read_text()}").exists()


def test_a_drained_worker_begins_no_trial(bench: Bench) -> None:
    ticket = bench.ticket(bench.study("quick:good"))
    bench.context.control.drain()
    assert "told to stop" in bench.attempt(ticket)
    assert bench.trial(ticket).attempts == 0


def ask_back(bench: Bench, reason: str) -> None:
    """As the coordinator does."""
    (attempt,) = bench.store.open_attempts_of(bench.context.slot.name)
    assert bench.store.preempt([attempt.token], reason) == 1


def test_a_trial_that_is_asked_back_goes_on_later_from_its_checkpoint_and_the_slot_takes_others(
    bench: Bench, tmp_path: Path
) -> None:
    ticket, sign = _trains(bench, tmp_path, saves=True)
    with once_there(sign, lambda: ask_back(bench, "study flights has waited")):
        bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.fault, trial.faults) == (TrialState.PAUSED, Fault.PREEMPTED, {"preempted": 1})
    assert trial.detail.startswith("study flights has waited; handed back after step")
    newest = bench.store.checkpoints(ticket.study, ticket.trial)[0]
    assert newest.step == trial.last_step
    assert "asked to hand the trial back: study flights has waited" in bench.tail(trial)
    assert bench.run("quick:good", name="other").state is TrialState.SCORED


def test_a_trial_that_does_not_report_is_asked_back_in_vain(bench: Bench, tmp_path: Path) -> None:
    bench.context.settings = replace(bench.settings, checkpoint_grace_s=0.2)
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "go")}
    ticket = bench.ticket(bench.study("attempts:waits_for_a_file"), params)

    def deed() -> None:
        ask_back(bench, "study flights has waited")
        while "asked to hand" not in bench.store.log_tail(ticket.study, ticket.trial, 1):
            time.sleep(0.05)  # the tail comes with a heartbeat
        (tmp_path / "go").touch()

    with once_there(tmp_path / "running", deed):
        bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.score, trial.detail) == (TrialState.SCORED, 2.0, "")


def test_a_revoke_is_a_cancel(bench: Bench, tmp_path: Path) -> None:
    ticket, sign = _trains(bench, tmp_path, saves=True)

    def revoke() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        bench.context.control.revoke(ticket)

    with once_there(sign, revoke):
        bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.detail) == (TrialState.CANCELLED, "revoked by a user")
    assert bench.context.control.terminated
    bench.settle()
    assert not list(bench.settings.checkpoint_root.rglob("*.ckpt"))


def test_a_bare_sigterm_is_no_cancel(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.attempt.conclude.REVOKE_WORD_S", 0.2)
    ticket, sign = _trains(bench, tmp_path)
    with once_there(sign, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        bench.attempt(ticket)
    assert bench.trial(ticket).state is TrialState.WAITING


def test_a_cancelled_trial_is_ended_at_the_next_heartbeat(bench: Bench, tmp_path: Path) -> None:
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "never")}
    ticket = bench.ticket(bench.study("attempts:waits_for_a_file"), params)
    with once_there(tmp_path / "running", lambda: bench.store.cancel_trial(ticket.study, ticket.trial, "not wanted")):
        summary = bench.attempt(ticket)
    assert "stepped aside" in summary
    assert "not wanted" in summary
    assert bench.trial(ticket).state is TrialState.CANCELLED
    assert not Path(f"/proc/{(tmp_path / 'running').read_text()}").exists()


def test_a_stopped_study_ends_its_trials(bench: Bench, tmp_path: Path) -> None:
    ticket, sign = _trains(bench, tmp_path, saves=True)
    with once_there(sign, lambda: bench.store.move_study(ticket.study, StudyEvent.STOP, "enough")):
        bench.attempt(ticket)
    assert bench.trial(ticket).state is TrialState.CANCELLED
    bench.settle()
    assert not list(bench.settings.checkpoint_root.rglob("*.ckpt"))


def test_the_result_of_a_superseded_attempt_is_kept_as_late_evidence(bench: Bench, tmp_path: Path) -> None:
    bench.context.settings = replace(bench.settings, heartbeat_s=60.0)
    bench.context.lease_keeper.heartbeat_s = 60.0
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "go")}
    ticket = bench.ticket(bench.study("attempts:waits_for_a_file"), params)

    def supersede() -> None:
        (attempt,) = bench.store.open_attempts_of(bench.context.slot.name)
        bench.store.finish_attempt(attempt.token, AttemptEnd(AttemptEvent.SUPERSEDE, TrialEvent.RETRY))
        bench.store.lease(ticket.study, ticket.trial, 2, worker="another", device="cpu", lease_s=30)
        Path(params["file"]).write_text("")

    with once_there(tmp_path / "running", supersede):
        bench.attempt(ticket)
    trial = bench.trial(ticket)
    assert (trial.state, trial.score, trial.worker) == (TrialState.RUNNING, None, "another")
    attempt, _ = bench.attempts(trial)
    assert attempt.outcome is Outcome.SUPERSEDED
    assert attempt.late is not None
    assert attempt.late["score"] == 2.0


class Away:
    """A store that is away for its first `times` calls of a verb, as Postgres is while it restarts."""

    def __init__(self, store: Store, **times: int) -> None:
        self._store, self.times = store, times

    def __getattr__(self, verb: str) -> object:
        if self.times.get(verb, 0) > 0:
            self.times[verb] -= 1
            raise StoreUnavailable(f"{verb}: Postgres is restarting")
        return getattr(self._store, verb)


@pytest.mark.parametrize("verb", ["lease", "begin", "report", "renew", "finish_attempt"])
def test_a_store_that_goes_away_costs_no_result(bench: Bench, verb: str) -> None:
    away = Away(bench.store, **{verb: 2})
    bench.context.store = away  # type: ignore[assignment] # stands for the store, verb by verb
    bench.context.lease_keeper.store = away  # type: ignore[assignment]
    bench.context.results.store = away  # type: ignore[assignment]
    trial = bench.run("attempts:steps")
    assert (trial.state, trial.score) == (TrialState.SCORED, 5.0)
    assert away.times[verb] == 0 or verb == "renew"
    assert len(bench.store.reports(trial.study_id, trial.number)) == 5


def test_a_failure_of_our_own_ends_the_attempt_as_infrastructure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("worker.attempt.run.job_of", broken)
    trial = bench.run("quick:good")
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)
    assert "a bug of ours" in trial.detail
