"""The contract on what a gate judges by: blocks of a hold-out, drift, and seeds that are given; kept by both stores."""

import math
from dataclasses import replace
from typing import Any

import pytest

from celeriac.domain.errors import LeaseLost, ScoreNotFinite
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault, Lease, Refusal
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import failed, leased, queued, released, running, scored, suggestion, with_trials

BLOCKS = (0.1, 1e-17, -3.0, 0.30000000000000004)


def test_a_trial_keeps_its_blocks_digit_for_digit_and_its_drift(any_store: Store) -> None:
    study = queued(any_store, 2)
    end = scored(0.7, holdout=BLOCKS, drift=0.25)
    trial = any_store.finish_attempt(leased(any_store, study, 0).token, end)
    assert trial == any_store.trial(study.id, 0)
    assert (trial.holdout, trial.drift) == (BLOCKS, 0.25)
    other = any_store.finish_attempt(leased(any_store, study, 1).token, scored(0.7))
    assert (other.holdout, other.drift, other.seed) == ((), None, None)
    assert [each.holdout for each in any_store.trials(study.id)] == [BLOCKS, ()]
    assert [each.holdout for each in any_store.ended_since(study.id, 0)] == [BLOCKS, ()]


@pytest.mark.parametrize("beside", [{"holdout": (0.5, math.nan)}, {"holdout": (math.inf,)}, {"drift": math.nan}])
def test_what_stands_beside_a_score_is_finite(any_store: Store, beside: dict[str, Any]) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    with pytest.raises(ScoreNotFinite, match="must be a finite number"):
        any_store.finish_attempt(lease.token, replace(scored(0.7), **beside))
    assert any_store.trial(study.id, 0).score is None
    assert any_store.finish_attempt(lease.token, scored(0.7)).score == 0.7


def test_an_end_with_other_blocks_is_another_end(any_store: Store) -> None:
    lease = leased(any_store, queued(any_store, 1), 0)
    first = any_store.finish_attempt(lease.token, scored(0.7, holdout=BLOCKS))
    assert any_store.finish_attempt(lease.token, scored(0.7, holdout=BLOCKS)) == first
    with pytest.raises(LeaseLost):
        any_store.finish_attempt(lease.token, scored(0.7, holdout=BLOCKS[:2]))
    (attempt,) = any_store.attempts(lease.study_id, 0)
    assert attempt.late is not None
    assert attempt.late["holdout"] == list(BLOCKS[:2])


def test_a_late_score_that_is_taken_brings_its_blocks(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 1)
    lease = leased(store, study, 0, lease_s=10)
    subject.pass_time(20)
    lapse = AttemptEnd(AttemptEvent.SUPERSEDE, TrialEvent.RETRY, fault=Fault.INFRASTRUCTURE, detail="silent")
    assert store.finish_attempt(lease.token, lapse, only_expired=True).holdout == ()
    taken = store.finish_attempt(lease.token, scored(0.7, holdout=BLOCKS, drift=1.5))
    assert (taken.score, taken.holdout, taken.drift) == (0.7, BLOCKS, 1.5)


def test_only_a_result_that_counts_leaves_blocks(any_store: Store) -> None:
    study = queued(any_store, 2)
    again = replace(released(TrialEvent.RETRY), holdout=BLOCKS, drift=1.0)
    trial = any_store.finish_attempt(leased(any_store, study, 0).token, again)
    assert (trial.holdout, trial.drift) == ((), None)
    failing = replace(failed(), holdout=BLOCKS, drift=1.0)
    assert any_store.finish_attempt(leased(any_store, study, 1).token, failing).holdout == BLOCKS
    (rerun,) = any_store.retry_trials(study.id, [1], "once more")
    assert (rerun.holdout, rerun.drift) == ((), None)


def test_a_seed_that_is_given_reaches_the_row_and_each_lease(any_store: Store) -> None:
    study, largest = running(any_store), 2**63 - 1
    pair = [replace(suggestion(lr=lr), seed=largest) for lr in (0.1, 0.2)]
    added = any_store.add_trials(study.id, study.turn, [*pair, suggestion()])
    assert [trial.seed for trial in added] == [largest, largest, None]
    assert [trial.seed for trial in any_store.trials(study.id)] == [largest, largest, None]
    lease = any_store.lease(study.id, 0, 1, worker="w", device="d", lease_s=30)
    assert not isinstance(lease, Refusal)
    assert lease.seed == largest
    any_store.finish_attempt(lease.token, released(TrialEvent.RETRY))
    assert [leased(any_store, study, number, attempt=2 - min(number, 1)).seed for number in (0, 1, 2)] == [
        largest,
        largest,
        None,
    ]


def test_a_waiting_trial_that_is_replaced_has_the_new_suggestion_s_seed(any_store: Store) -> None:
    study = running(any_store)
    with_trials(any_store, study, 2)
    turn = any_store.study(study.id).turn
    replaced = any_store.replace_waiting(study.id, turn, 0, [replace(suggestion(), seed=5), suggestion()])
    assert [trial.seed for trial in replaced] == [5, None]
    first = any_store.lease(study.id, 0, 1, worker="w", device="d", lease_s=30)
    assert isinstance(first, Lease)
    assert first.seed == 5
