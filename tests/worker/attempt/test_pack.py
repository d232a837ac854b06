"""Packs, end to end on real Postgres, Redis and fork servers: each trial has its own end, whatever others come to."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Outcome, Source, StudyRecord, Suggestion, TrialRecord, TrialState
from celeriac.store import Store
from tests.worker.conftest import Bench, Host, until

SPACE = {"x": {"float": [0.0, 9.0]}, "width": {"choice": [1, 2], "shape": True}}


def with_trials(store: Store, study: StudyRecord, *params: Mapping[str, Any]) -> list[RunTrial]:
    """Waiting trials with these parameters."""
    turn = store.study(study.id).turn
    given = [Suggestion({"width": 1, **each}, Source.SUGGESTED) for each in params]
    return [RunTrial(study.id, each.number, 1) for each in store.add_trials(study.id, turn, given)]


def trials_of(store: Store, study: StudyRecord) -> list[TrialRecord]:
    """All trials, by number."""
    return store.trials(study.id, limit=99)


def packed(bench: Bench, objective: str, *params: Mapping[str, Any], **more: Any) -> tuple[StudyRecord, list[RunTrial]]:
    """A study whose trials wait."""
    study = bench.study(objective, pack=4, space=SPACE, **more)
    return study, with_trials(bench.store, study, *params)


def test_trials_of_equal_shape_run_as_one_and_end_one_by_one(bench: Bench) -> None:
    study, tickets = packed(
        bench,
        "packs:steps",
        {"x": 1.0},
        {"x": 2.0, "act": "fail", "at": 1},
        {"x": 3.0, "width": 2},
        {"x": 4.0, "act": "finish", "at": 2},
        {"x": 5.0, "act": "nan", "at": 3},
    )
    bench.attempt(tickets[0])
    lead, failed, other, early, nan = trials_of(bench.store, study)
    assert (lead.state, lead.score) == (TrialState.SCORED, 4.0)
    assert (failed.state, failed.fault) == (TrialState.FAILED, Fault.USER_BUG)
    assert "no such column" in failed.detail
    assert other.state is TrialState.WAITING, "it has another shape"
    assert (early.state, early.score) == (TrialState.SCORED, 12.0)
    assert (nan.state, nan.fault) == (TrialState.FAILED, Fault.NOT_FINITE)
    attempts = [bench.attempts(each)[0] for each in (lead, failed, early, nan)]
    assert {(each.pack, each.packed) for each in attempts} == {("0.1", 4)}
    assert [len(bench.store.reports(study.id, each.number)) for each in (lead, failed, early, nan)] == [4, 1, 2, 3]
    assert "step 3 of [0]" in bench.tail(lead)
    assert "step 0 of [0, 1, 3, 4]" in bench.tail(failed)
    assert "nothing to do" in bench.attempt(tickets[3]), "its ticket is stale"
    counts = bench.store.study(study.id).counts
    assert (counts.scored, counts.failed, counts.waiting, counts.running) == (2, 2, 1, 0)


def test_the_process_time_is_charged_once(bench: Bench) -> None:
    study, tickets = packed(bench, "packs:steps", {"x": 1.0}, {"x": 2.0}, {"x": 3.0}, {"x": 4.0})
    bench.attempt(tickets[0])
    charged = [bench.attempts(each)[0].device_s for each in trials_of(bench.store, study)]
    assert min(charged) > 0
    assert max(charged) < sum(charged) / 2
    assert bench.store.study(study.id).device_s == pytest.approx(sum(charged))


def test_early_stopping_drops_a_trial_from_the_pack(bench: Bench) -> None:
    rule = {"rule": "asha", "min": 1, "max": 4, "eta": 2}
    params = [{"x": float(x)} for x in (1, 9, 2, 8)]
    study, tickets = packed(bench, "packs:until_one_is_stopped", *params, stop_early=rule)
    bench.attempt(tickets[0])
    states = [(each.state, bench.attempts(each)[0].outcome) for each in trials_of(bench.store, study)]
    assert (TrialState.PRUNED, Outcome.PRUNED) in states
    assert states[1] == (TrialState.SCORED, Outcome.SCORED)
    for each in trials_of(bench.store, study):
        if each.state is TrialState.PRUNED:
            assert len(bench.store.reports(study.id, each.number)) < 4


def test_memory_splits_the_pack_and_the_halves_go_on(bench: Bench) -> None:
    study, tickets = packed(bench, "packs:short_of_memory", *({"x": float(x)} for x in range(5)))
    bench.attempt(tickets[0])
    split = trials_of(bench.store, study)
    assert [each.state for each in split] == [TrialState.WAITING] * 5
    assert split[0].faults == {}
    assert "out of memory in a pack of 4" in bench.attempts(split[0])[0].detail
    bench.attempt(RunTrial(study.id, 4, 1))
    for ticket in [RunTrial(study.id, n, 2) for n in range(4)]:
        bench.attempt(ticket)
    after = trials_of(bench.store, study)
    assert [each.score for each in after] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {bench.attempts(each)[-1].packed for each in after} <= {1, 2}
    assert [len(bench.attempts(each)) for each in after] == [2, 2, 2, 2, 1], "trial 4 knew what the others had learned"


def test_a_fault_that_nobody_owns_is_found_by_running_each_alone(bench: Bench) -> None:
    study, tickets = packed(bench, "packs:steps", {"x": 1.0}, {"x": 2.0, "act": "raise", "at": 2}, {"x": 3.0})
    bench.attempt(tickets[0])
    assert [each.state for each in trials_of(bench.store, study)] == [TrialState.PAUSED] * 3
    bench.store.queue_trials(study.id, bench.store.study(study.id).turn, [0, 1, 2])
    for ticket in tickets:
        bench.attempt(RunTrial(study.id, ticket.trial, 2))
    good, bad, other = trials_of(bench.store, study)
    assert (good.score, other.score) == (4.0, 12.0)
    assert (bad.state, bad.fault) == (TrialState.FAILED, Fault.USER_BUG)
    assert "whose was it?" in bad.detail
    assert bench.attempts(good)[1].resumed_step == 1


def test_an_import_that_fails_costs_one_trial_and_not_all(bench: Bench) -> None:
    study, tickets = packed(bench, "nowhere_at_all:steps", {"x": 1.0}, {"x": 2.0})
    bench.attempt(tickets[0])
    assert [each.state for each in trials_of(bench.store, study)] in (
        [TrialState.FAILED, TrialState.WAITING],
        [TrialState.WAITING, TrialState.WAITING],
    )


def test_a_wrong_number_of_scores_says_so(bench: Bench) -> None:
    study, tickets = packed(bench, "packs:wrong_count", {"x": 1.0})
    bench.attempt(tickets[0])
    (trial,) = trials_of(bench.store, study)
    assert trial.fault is Fault.USER_BUG
    assert "for 1 trials" in trial.detail


def test_a_trial_that_is_cancelled_leaves_the_pack(bench: Bench, tmp_path: Path) -> None:
    import threading

    held, go = tmp_path / "held", tmp_path / "go"
    study, tickets = packed(
        bench, "packs:steps", {"x": 1.0, "act": "hold", "at": 1, "held": str(held), "go": str(go)}, {"x": 2.0}
    )

    def cancel() -> None:
        until(held.exists)
        bench.store.cancel_trial(study.id, 1, "a person said so")
        until(lambda: len(bench.store.renew_pack([bench.store.attempts(study.id, 0)[0].token], 5.0)) == 1)
        go.touch()

    thread = threading.Thread(target=cancel)
    thread.start()
    bench.attempt(tickets[0])
    thread.join()
    lead, other = trials_of(bench.store, study)
    assert (lead.state, lead.score) == (TrialState.SCORED, 4.0)
    assert other.state is TrialState.CANCELLED


@pytest.mark.timeout(60)
def test_a_killed_pack_goes_on_each_trial_from_its_own_checkpoint(start: Callable[..., Host], tmp_path: Path) -> None:
    host, held, go = start(), tmp_path / "held", tmp_path / "go"
    study = host.study("packs:steps", pack=4, space=SPACE)
    holds = {"x": 3.0, "act": "hold", "at": 2, "held": str(held), "go": str(go)}
    with_trials(host.store, study, {"x": 1.0}, {"x": 2.0}, holds)
    host.again(RunTrial(study.id, 0, 1))
    until(lambda: held.exists() and held.read_text() != "")
    until(lambda: all(each.last_step == 1 for each in trials_of(host.store, study)))
    os.kill(int(held.read_text()), signal.SIGKILL)
    until(lambda: all(each.state is TrialState.WAITING for each in trials_of(host.store, study)))
    host.again(RunTrial(study.id, 0, 2))
    until(lambda: all(each.state is TrialState.SCORED for each in trials_of(host.store, study)))
    assert [each.score for each in trials_of(host.store, study)] == [4.0, 8.0, 12.0]
    second = [host.store.attempts(study.id, number)[1] for number in range(3)]
    assert [(each.resumed_step, each.pack) for each in second] == [(1, "0.2")] * 3
    assert host.store.study(study.id).counts.scored == 3


@pytest.mark.timeout(60)
def test_a_drained_pack_is_handed_back_together(start: Callable[..., Host], tmp_path: Path) -> None:
    host, held, go = start(), tmp_path / "held", tmp_path / "go"
    study = host.study("packs:steps", pack=4, space=SPACE)
    holds = {"x": 3.0, "act": "hold", "at": 2, "held": str(held), "go": str(go)}
    with_trials(host.store, study, {"x": 1.0}, holds)
    host.again(RunTrial(study.id, 0, 1))
    until(held.exists)
    host.process.terminate()
    go.touch()
    host.process.wait(30)
    both = trials_of(host.store, study)
    assert [each.state for each in both] == [TrialState.PAUSED] * 2
    kept = [host.store.checkpoints(study.id, each.number)[0].step for each in both]
    assert kept[0] == kept[1]
