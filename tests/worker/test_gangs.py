"""Trials on several slots, with a node, its workers and their processes as real ones, and gloo between them: whoever is
killed with -9, the trial goes on from its newest checkpoint, and has one score.
"""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest

from celeriac.domain.messages import JoinGang, RunTrial
from celeriac.domain.records import Attempt, Fault, Outcome, Source, StudyRecord, Suggestion, TrialRecord, TrialState
from celeriac.runtime.broker import CPU_QUEUE
from tests.worker.conftest import Host, until

SUM = float(sum(range(6)))


class Gang:
    """A trial on three slots, with the test as its coordinator."""

    def __init__(
        self,
        host: Host,
        place: Path,
        objective: str = "gangs:sums",
        name: str = "digits",
        *,
        slots: int = 3,
        asks: object = None,
        spec: Mapping[str, object] = MappingProxyType({}),
        given: Mapping[str, object] | None = None,
        **params: object,
    ) -> None:
        self.host, self.place, self.slots = host, place, slots
        self.study: StudyRecord = host.study(
            objective, name=name, resources={"gpus": 0, "slots": asks or slots}, **spec
        )
        turn = host.store.study(self.study.id).turn
        with_params = Suggestion({"dir": str(place), **params} if given is None else given, Source.SUGGESTED)
        (self.first,) = host.store.add_trials(self.study.id, turn, [with_params])

    def send(self, attempt: int) -> None:
        turn = self.host.store.study(self.study.id).turn
        self.host.store.queue_trials(self.study.id, turn, [0])
        for _ in range(self.slots):
            self.host.tickets.send(JoinGang(self.study.id, 0, attempt), queue=CPU_QUEUE, summary="test")

    @property
    def trial(self) -> TrialRecord:
        return self.host.trial(RunTrial(self.study.id, 0, 1))

    @property
    def attempts(self) -> list[Attempt]:
        return self.host.store.attempts(self.study.id, 0)

    def hold(self, attempt: int, step: int) -> Path:
        held = self.place / f"hold-{attempt}-{step}"
        held.touch()
        return held

    def until_held(self, attempt: int, step: int) -> None:
        until((self.place / f"held-{attempt}-{step}").exists, within_s=40)
        until(lambda: self.trial.last_step == step - 1)

    def until_renewed(self) -> None:
        before = self.attempts[-1].lease_until
        until(lambda: self.attempts[-1].lease_until > before)

    def pid(self, attempt: int, rank: int) -> int:
        return int((self.place / f"pid-{attempt}-{rank}").read_text().split()[0])


def workers_of(pid: int) -> psutil.Process:
    """The main process of the worker whose trial's process this is."""
    above = psutil.Process(pid).parents()
    return next(each for each in reversed(above) if "worker.slot.celery_worker" in " ".join(each.cmdline()))


@pytest.mark.timeout(120)
def test_whoever_is_killed_the_gang_goes_on_from_its_checkpoint(start: Callable[..., Host], tmp_path: Path) -> None:
    gang = Gang(start(slots=3), tmp_path)
    gang.hold(1, 2)
    gang.hold(2, 4)
    gang.send(1)
    gang.until_held(1, 2)
    first = [gang.pid(1, rank) for rank in range(3)]
    os.kill(first[1], signal.SIGKILL)
    until(lambda: gang.trial.state is TrialState.WAITING)
    until(lambda: not any(psutil.pid_exists(pid) for pid in first))
    assert "rank 1 on" in gang.trial.detail
    gang.send(2)
    gang.until_held(2, 4)
    second = [gang.pid(2, rank) for rank in range(3)]
    workers_of(second[0]).kill()
    until(lambda: gang.trial.state is TrialState.WAITING)
    until(lambda: not any(psutil.pid_exists(pid) for pid in second))
    gang.send(3)
    until(lambda: gang.trial.state is TrialState.SCORED, within_s=30)
    trial, attempts = gang.trial, gang.host.store.attempts(gang.study.id, 0)
    assert trial.score == pytest.approx(SUM)
    assert [each.outcome for each in attempts] == [Outcome.FAULT, Outcome.FAULT, Outcome.SCORED]
    assert [each.resumed_step for each in attempts] == [None, 1, 3]
    assert set(trial.faults) == {Fault.INFRASTRUCTURE}
    assert "is imported again while this worker starts" in (tmp_path / "node.log").read_text()


@pytest.mark.timeout(120)
def test_the_script_that_failed_is_blamed_one_short_of_memory_teaches_and_one_for_torchrun_runs_unchanged(
    start: Callable[..., Host], tmp_path: Path
) -> None:
    host = start(slots=3)
    short = Gang(host, tmp_path, name="short", short=2, fits=20)
    short.send(1)
    until(lambda: short.trial.state is TrialState.WAITING, within_s=40)
    assert short.trial.fault is Fault.OUT_OF_MEMORY
    assert "rank 2 on" in short.trial.detail
    assert "attempt 2 of 2 follows with at most 16 samples at once instead of 32" in short.trial.detail
    short.send(2)
    until(lambda: short.trial.state is TrialState.SCORED, within_s=40)
    assert [each.micro_batch for each in host.store.attempts(short.study.id, 0)] == [32, 16]
    gang = Gang(host, tmp_path, fails=2)
    gang.send(1)
    until(lambda: gang.trial.state is TrialState.FAILED, within_s=40)
    assert gang.trial.fault is Fault.USER_BUG
    assert "rank 2 cannot do this" in gang.trial.detail, "and not the broken connection of those it left alone"
    (attempt,) = host.store.attempts(gang.study.id, 0)
    assert "raise ValueError" in attempt.traceback
    plain = Gang(host, tmp_path, "gangs:as_under_torchrun", name="plain")
    plain.send(1)
    until(lambda: plain.trial.state is TrialState.SCORED, within_s=40)
    assert plain.trial.score == 3.0 + 3.0 + 3.0


@pytest.mark.timeout(120)
def test_a_gang_grows_at_a_checkpoint_and_one_for_optuna_and_a_command_run_on_several_slots(
    start: Callable[..., Host], tmp_path: Path
) -> None:
    host = start(slots=3)
    grown = Gang(host, tmp_path, name="grown", slots=2, asks={"min": 2, "max": 3})
    held = grown.hold(1, 2)
    grown.send(1)
    grown.until_held(1, 2)
    host.store.ask_to_grow(grown.study.id, 0, 1, "1 more slots are free for its 2")
    for _ in range(2):  # the answer to a renewal after it tells it; the next one comes when that was heard
        grown.until_renewed()
    held.unlink()
    until(lambda: grown.trial.state is TrialState.PAUSED)
    grown.slots = 3
    grown.send(2)
    until(lambda: grown.trial.state is TrialState.SCORED, within_s=30)
    first, second = grown.attempts
    assert (first.outcome, first.width, first.resumed_step) == (Outcome.RELEASED, 2, None)
    assert (second.outcome, second.width, second.resumed_step) == (Outcome.SCORED, 3, 2)
    assert (tmp_path / "pid-2-2").read_text().split()[1] == "3", "the third slot has a part"
    assert grown.trial.score == pytest.approx(SUM)
    assert grown.trial.faults == {"preempted": 1}, "which costs nothing"
    study = host.store.study(grown.study.id)
    assert study.ran_s == pytest.approx(first.device_s / 2 + second.device_s / 3)
    assert study.device_s == pytest.approx(first.device_s + second.device_s)

    optuna = {"api": "optuna", "learn_space": True, "space": {}}
    asked = Gang(host, tmp_path, "gangs:asked_as_by_optuna", name="asked", slots=2, given={}, spec=optuna)
    asked.send(1)
    until(lambda: asked.trial.state is TrialState.SCORED, within_s=40)
    assert asked.trial.score == pytest.approx(2 * asked.trial.params["x"]), "both ranks drew the same"
    assert (asked.trial.metrics["world"], asked.trial.last_step) == (2, 2)
    assert host.store.study(asked.study.id).spec["space"]["x"] == {"float": [0.0, 8.0]}
    command = {"command": "python meets.py {x}"}
    plain = Gang(host, tmp_path, "", name="command", slots=2, given={"x": 0.5}, spec=command)
    plain.send(1)
    until(lambda: plain.trial.state is TrialState.SCORED, within_s=40)
    assert (plain.trial.score, plain.trial.metrics["world"], plain.trial.last_step) == (10.5, 2, 0)
