"""Early stopping end to end on real Postgres, Redis and fork servers: who is stopped, with what reason, and what
stands in the store.
"""

from dataclasses import replace
from typing import Any

import pytest

from celeriac.decide.stop_early import at_rung, judged
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import (
    Attempt,
    Fault,
    Outcome,
    RungRecord,
    Source,
    StudyRecord,
    Suggestion,
    TrialRecord,
    TrialState,
)
from celeriac.domain.study_file import stop_rule
from tests.worker.conftest import Bench

ASHA = {"rule": "asha", "min": 1, "max": 27, "eta": 3}


def study_of(bench: Bench, rule: dict[str, Any], **more: Any) -> StudyRecord:
    return bench.study("attempts:epochs", stop_early=rule, **more)


def ticket_of(bench: Bench, study: StudyRecord, source: Source = Source.SUGGESTED, **params: Any) -> RunTrial:
    turn = bench.store.study(study.id).turn
    (trial,) = bench.store.add_trials(study.id, turn, [Suggestion(params, source)])
    return RunTrial(study.id, trial.number, 1)


def trained(bench: Bench, study: StudyRecord, source: Source = Source.SUGGESTED, **params: Any) -> TrialRecord:
    """Run one trial to its end."""
    ticket = ticket_of(bench, study, source, **params)
    bench.attempt(ticket)
    return bench.trial(ticket)


def newest(bench: Bench, trial: TrialRecord) -> Attempt:
    return bench.attempts(trial)[-1]


def records(bench: Bench, trial: TrialRecord) -> list[RungRecord]:
    return [each for each in bench.store.rung_records(trial.study_id) if each.trial == trial.number]


def test_who_falls_behind_at_a_rung_is_stopped_there(bench: Bench) -> None:
    study = study_of(bench, ASHA)
    good = trained(bench, study, curve=[0.1, 0.5, 0.6, 0.7, 0.8])
    assert (good.state, good.score) == (TrialState.SCORED, 0.8)
    bad = trained(bench, study, curve=[0.3, 0.4, 0.9], endless=True, saves=True)
    assert (bad.state, bad.score) == (TrialState.PRUNED, None)
    assert bad.detail == "rung 1: 0.4 is not among the best 1 of 2 (cutoff 0.5)"
    assert (bad.step, bad.last_step) == (bad.last_step, bad.step)
    assert bad.step is not None
    assert bad.step >= 1
    attempt = newest(bench, bad)
    assert (attempt.outcome, attempt.fault) == (Outcome.PRUNED, None)
    assert attempt.device_s > 0
    (record,) = [each for each in records(bench, bad) if each.rung == 1]
    assert (record.place, record.value, record.cutoff) == (2, 0.4, 0.5)
    now = bench.store.study(study.id)
    assert (now.best_number, now.counts.finished, now.counts.pruned) == (0, 2, 1)


def test_its_checkpoints_are_gone_and_the_next_trial_runs(bench: Bench) -> None:
    study = study_of(bench, ASHA)
    trained(bench, study, curve=[0.1, 0.5])
    bad = trained(bench, study, curve=[0.1, 0.2], endless=True, saves=True)
    assert bad.state is TrialState.PRUNED
    assert trained(bench, study, curve=[0.1, 0.6]).state is TrialState.SCORED
    bench.settle()
    assert bench.store.checkpoints(study.id, bad.number) == []
    assert not [each for each in bench.settings.checkpoint_root.rglob("*") if each.is_file()]


@pytest.mark.parametrize("source", [Source.DEFAULT, Source.CHAMPION])
def test_the_default_and_the_champion_are_ranked_and_never_stopped(bench: Bench, source: Source) -> None:
    study = study_of(bench, ASHA)
    trained(bench, study, curve=[0.1, 0.5, 0.6, 0.7])
    kept = trained(bench, study, source, curve=[0.0, 0.0, 0.0, 0.0])
    assert (kept.state, kept.score) == (TrialState.SCORED, 0.0)
    assert [each.rung for each in records(bench, kept)] == [1, 3]


def test_another_resource_than_the_step(bench: Bench) -> None:
    study = study_of(bench, {"rule": "asha", "min": 200, "max": 1000, "resource": "samples"})
    trained(bench, study, curve=[0.1, 0.5, 0.6], counts=True)
    bad = trained(bench, study, curve=[0.1, 0.4], endless=True, counts=True)
    assert bad.detail == "rung 200 samples: 0.4 is not among the best 1 of 2 (cutoff 0.5)"
    assert records(bench, bad)[0].resource == 200.0


def test_seconds_are_measured_where_they_are_not_reported(bench: Bench) -> None:
    study = study_of(bench, {"rule": "threshold", "at": 0, "bound": 0.5, "resource": "seconds"})
    bad = trained(bench, study, curve=[0.1], endless=True)
    assert bad.detail == "rung 0 seconds: 0.1 is worse than the bound 0.5"
    (first, *_) = bench.store.reports(bad.study_id, bad.number)
    assert 0.0 <= first.metrics["seconds"] < 10  # by the runner's clock, which may learn late that it began
    assert records(bench, bad)[0].resource == first.metrics["seconds"]


def test_a_report_without_the_resource_is_not_judged_and_the_log_says_so(bench: Bench) -> None:
    study = study_of(bench, {"rule": "asha", "min": 200, "max": 1000, "resource": "samples"})
    trial = trained(bench, study, curve=[0.1, 0.2])
    assert trial.state is TrialState.SCORED
    assert bench.tail(trial).count("no number metrics['samples'], so it is not judged") == 1
    assert records(bench, trial) == []


def test_patience_ends_a_training_that_stands_still(bench: Bench) -> None:
    study = study_of(bench, {"rule": "patience", "reports": 2, "min_delta": 0.05})
    trial = trained(bench, study, curve=[0.1, 0.5, 0.52], endless=True)
    assert trial.state is TrialState.PRUNED
    assert trial.detail == "patience: 2 reports did not improve by more than 0.05 on 0.5 of step 1"


def test_a_score_that_patience_was_answered_with_counts(bench: Bench) -> None:
    study = study_of(bench, {"rule": "patience", "reports": 2})
    trial = trained(bench, study, curve=[0.1, 0.5, 0.4], endless=True, returns=0.5)
    assert (trial.state, trial.score) == (TrialState.SCORED, 0.5)
    assert trial.detail == "patience: 2 reports did not improve on 0.5 of step 1"
    assert bench.store.study(study.id).best_number == trial.number


def test_a_score_of_a_training_cut_short_at_a_rung_counts_for_nothing(bench: Bench) -> None:
    study = study_of(bench, ASHA)
    trained(bench, study, curve=[0.1, 0.5])
    trial = trained(bench, study, curve=[0.1, 0.2], endless=True, returns=0.99)
    assert (trial.state, trial.score) == (TrialState.PRUNED, None)
    assert bench.store.study(study.id).best_score == 0.5


def test_a_value_that_is_not_finite_at_a_rung_is_a_fault(bench: Bench) -> None:
    study = study_of(bench, ASHA)
    trial = trained(bench, study, curve=[0.1, "nan"], endless=True)
    assert (trial.state, trial.fault) == (TrialState.FAILED, Fault.NOT_FINITE)
    assert trial.detail == "stopped early: rung 1: nan is worse than every number"


def test_a_retried_trial_counts_once_and_meets_the_same_verdict(bench: Bench) -> None:
    """Its host dies right after the rung, perhaps before it was told: the next attempt finds the record and is stopped
    by it.
    """
    study = study_of(bench, ASHA)
    trained(bench, study, curve=[0.1, 0.5])
    ticket = ticket_of(bench, study, curve=[0.1, 0.4, 0.4], endless=True, dies_at=1)
    bench.attempt(ticket)
    first = bench.trial(ticket)
    if first.state is TrialState.WAITING:
        bench.attempt(replace(ticket, attempt=2))
    trial = bench.trial(ticket)
    assert trial.state is TrialState.PRUNED
    assert trial.detail == "rung 1: 0.4 is not among the best 1 of 2 (cutoff 0.5)"
    assert [(each.trial, each.attempt) for each in bench.store.rung_records(study.id) if each.rung == 1] == [
        (0, 1),
        (1, 1),
    ]


def test_a_resumed_trial_goes_on_where_it_was_judged(bench: Bench) -> None:
    study = study_of(bench, ASHA)
    ticket = ticket_of(bench, study, curve=[0.1, 0.5, 0.6, 0.7, 0.8], saves=True, dies_at=2)
    bench.attempt(ticket)
    bench.attempt(replace(ticket, attempt=2))
    trial = bench.trial(ticket)
    assert (trial.state, trial.score, trial.attempts) == (TrialState.SCORED, 0.8, 2)
    assert [(each.rung, each.attempt, each.value) for each in records(bench, trial)] == [(1, 1, 0.5), (3, 2, 0.7)]


def test_patience_counts_what_earlier_attempts_reported(bench: Bench) -> None:
    study = study_of(bench, {"rule": "patience", "reports": 4})
    ticket = ticket_of(bench, study, curve=[0.5, 0.4], endless=True, saves=True, dies_at=2)
    bench.attempt(ticket)
    bench.attempt(replace(ticket, attempt=2))
    trial = bench.trial(ticket)
    assert trial.state is TrialState.PRUNED
    assert trial.detail == "patience: 4 reports did not improve on 0.5 of step 0"
    assert trial.attempts == 2


def test_seconds_go_on_over_attempts(bench: Bench) -> None:
    study = study_of(bench, {"rule": "threshold", "at": 1000, "bound": 0.5, "resource": "seconds"})
    ticket = ticket_of(bench, study, curve=[0.1] * 6, saves=True, dies_at=3)
    bench.attempt(ticket)
    bench.attempt(replace(ticket, attempt=2))
    times = [each.metrics["seconds"] for each in bench.store.reports(ticket.study, ticket.trial)]
    assert len(times) == 6
    assert times == sorted(times)


def test_each_verdict_can_be_made_again_from_the_rows(bench: Bench) -> None:
    study = study_of(bench, {"rule": "median", "min": 1, "trials": 2})
    trained(bench, study, Source.DEFAULT, curve=[0.5] * 4)
    for value in (0.6, 0.55, 0.7):
        trained(bench, study, curve=[value] * 4)
    for value in (0.4, 0.2):
        trained(bench, study, curve=[value] * 4, endless=True)
    rule = stop_rule(study.spec)
    assert rule is not None
    found = bench.store.rung_records(study.id)
    pruned = bench.store.trials(study.id, states=[TrialState.PRUNED])
    assert [trial.number for trial in pruned] == [4, 5]
    for trial in pruned:
        who = judged(rule, study.goal, trial.number, trial.source)
        verdicts = [at_rung(who, each) for each in found if each.trial == trial.number]
        assert trial.detail == next(each.reason for each in verdicts if each.stop)
