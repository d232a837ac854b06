"""The contract on ends, kept by both stores: an end happens once, and what comes later is evidence only."""

import math
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from celeriac.domain.errors import IllegalTransition, LeaseLost, ScoreNotFinite, UnknownTrial
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Counts, Fault, Lease, Outcome, Refusal, TrialState
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import failed, leased, queued, released, report, scored, with_trials


def test_a_score_ends_the_trial_and_may_be_the_best(any_store: Store) -> None:
    study = queued(any_store, 3)
    lease = leased(any_store, study, 1)
    end = scored(0.7, metrics={"holdout": 0.6, "nan": math.nan}, step=9, peak_memory_bytes=10**10)
    trial = any_store.finish_attempt(lease.token, end)
    assert trial == any_store.trial(study.id, 1)
    assert (trial.state, trial.score, trial.step, trial.ended_no) == (TrialState.SCORED, 0.7, 9, 1)
    assert trial.metrics == {"holdout": 0.6, "nan": "nan"}
    assert trial.ended_at is not None
    attempt = any_store.attempts(study.id, 1)[0]
    assert (attempt.outcome, attempt.device_s, attempt.peak_memory_bytes) == (Outcome.SCORED, 2.0, 10**10)
    now = any_store.study(study.id)
    assert (now.best_number, now.best_score, now.device_s) == (1, 0.7, 2.0)
    assert now.counts == Counts(queued=2, scored=1)
    assert now.turn == study.turn


@pytest.mark.parametrize(("goal", "best"), [("maximize", 1), ("minimize", 0)])
def test_the_first_of_equals_is_the_best(any_store: Store, goal: str, best: int) -> None:
    study = queued(any_store, 4, goal=goal)
    for number, score in enumerate([0.1, 0.9, 0.9, 0.1]):
        any_store.finish_attempt(leased(any_store, study, number).token, scored(score))
    assert any_store.study(study.id).best_number == best


def test_a_pruned_trial_is_finished_and_never_the_best(any_store: Store) -> None:
    study = queued(any_store, 1)
    end = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, score=0.9, step=3, detail="rung 3: 4th of 9")
    trial = any_store.finish_attempt(leased(any_store, study, 0).token, end)
    assert (trial.state, trial.score, trial.step) == (TrialState.PRUNED, 0.9, 3)
    now = any_store.study(study.id)
    assert (now.best_number, now.counts.finished) == (None, 1)


@pytest.mark.parametrize("score", [None, math.nan, math.inf])
def test_a_score_is_a_finite_number(any_store: Store, score: float | None) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    with pytest.raises(ScoreNotFinite):
        any_store.finish_attempt(lease.token, AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score))
    assert any_store.trial(study.id, 0).state is TrialState.RUNNING


def test_attempt_and_trial_end_in_ways_that_agree(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    with pytest.raises(IllegalTransition, match="cannot fail its trial"):
        any_store.finish_attempt(lease.token, AttemptEnd(AttemptEvent.SCORE, TrialEvent.FAIL, score=0.5))
    assert any_store.trial(study.id, 0).state is TrialState.RUNNING


def test_a_fault_is_counted_and_the_trial_tried_again(any_store: Store) -> None:
    study = queued(any_store, 1)
    again = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY)
    for attempt in (1, 2):
        trial = any_store.finish_attempt(leased(any_store, study, 0, attempt=attempt).token, again)
        assert (trial.state, trial.faults) == (TrialState.WAITING, {"infrastructure": attempt})
        assert (trial.worker, trial.ended_no, trial.ended_at, trial.queued_at) == ("", None, None, None)
    lease = leased(any_store, study, 0, attempt=3)
    assert lease.faults == {"infrastructure": 2}
    end = failed(Fault.USER_BUG, traceback="Traceback …\nValueError: no", signature="train.py:3 ValueError")
    trial = any_store.finish_attempt(lease.token, end)
    assert (trial.state, trial.fault) == (TrialState.FAILED, Fault.USER_BUG)
    assert trial.faults == {"infrastructure": 2, "user_bug": 1}
    assert (trial.detail, trial.signature) == ("user_bug happened", "train.py:3 ValueError")
    assert trial.attempts == 3
    attempts = any_store.attempts(study.id, 0)
    assert [each.outcome for each in attempts] == [Outcome.FAULT] * 3
    assert [each.fault for each in attempts] == [Fault.INFRASTRUCTURE, Fault.INFRASTRUCTURE, Fault.USER_BUG]
    assert "ValueError: no" in attempts[2].traceback
    assert any_store.study(study.id).counts == Counts(failed=1)


def test_a_preempted_trial_waits_with_its_checkpoint_and_resumes(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    any_store.report(lease.token, [report(lease, step, checkpoint=True) for step in (0, 1)])
    trial = any_store.finish_attempt(lease.token, released(TrialEvent.PARK))
    assert (trial.state, trial.faults) == (TrialState.PAUSED, {"preempted": 1})
    assert isinstance(any_store.lease(study.id, 0, 2, worker="w", device="cpu", lease_s=30), Refusal)
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [0])
    resumed = leased(any_store, study, 0, attempt=2)
    assert [each.step for each in resumed.checkpoints] == [1, 0]
    assert any_store.trial(study.id, 0).last_step is None
    any_store.report(resumed.token, [report(resumed, 1, 0.9, checkpoint=True), report(resumed, 2, 1.0)])
    seen = any_store.reports(study.id, 0)
    assert [(each.step, each.value) for each in seen] == [(0, 0.5), (1, 0.9), (2, 1.0)]
    assert [each.value for each in any_store.reports(study.id, 0, attempt=1)] == [0.5, 0.5]
    order = [(each.step, each.attempt) for each in any_store.checkpoints(study.id, 0)]
    assert order == [(1, 2), (1, 1), (0, 1)]


def test_an_end_repeated_is_the_same_end(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    end = scored(0.5, metrics={"b": 1, "a": [2]}, log_tail="done\n")
    first = any_store.finish_attempt(lease.token, end)
    assert any_store.finish_attempt(lease.token, end) == first
    assert any_store.study(study.id).counts == Counts(scored=1)
    assert any_store.study(study.id).device_s == 2.0
    assert any_store.attempts(study.id, 0)[0].late is None


def test_a_late_result_is_evidence_and_never_counts(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 1)
    lost = leased(store, study, 0, lease_s=0.05)
    subject.pass_time(60)
    lapsed = AttemptEnd(AttemptEvent.SUPERSEDE, TrialEvent.RETRY, fault=Fault.INFRASTRUCTURE, detail="lapsed")
    store.finish_attempt(lost.token, lapsed, only_expired=True)
    winner = leased(store, study, 0, attempt=2)
    with pytest.raises(LeaseLost, match="its lease ran out") as caught:
        store.finish_attempt(lost.token, scored(0.99, metrics={"holdout": 0.5}))
    assert "lapsed" in caught.value.reason
    for step_aside in (
        lambda: store.renew(lost.token, 30, log_tail="zombie"),
        lambda: store.report(lost.token, [report(lost, 5, checkpoint=True)]),
        lambda: store.begin(lost.token, fingerprint="zombie", resumed_step=None, log_path=""),
    ):
        with pytest.raises(LeaseLost):
            step_aside()
    first, second = store.attempts(study.id, 0)
    assert first.outcome is Outcome.SUPERSEDED
    assert first.late is not None
    assert (first.late["score"], first.late["metrics"]) == (0.99, {"holdout": 0.5})
    assert (second.outcome, second.late) == (None, None)
    assert not store.reports(study.id, 0)
    assert not store.checkpoints(study.id, 0)
    assert store.finish_attempt(winner.token, scored(0.3)).score == 0.3
    now = store.study(study.id)
    assert (now.best_score, now.counts, now.device_s) == (0.3, Counts(scored=1), 2.0)


@pytest.mark.parametrize("again", ["waiting", "queued"])
def test_a_late_score_is_taken_while_nobody_else_has_the_trial(subject: Subject, again: str) -> None:
    store = subject.store
    study = queued(store, 2)
    first = leased(store, study, 1)
    store.finish_attempt(first.token, failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY))
    store.finish_attempt(leased(store, study, 0).token, scored(0.3))
    lapsed = leased(store, study, 1, attempt=2, lease_s=0.05)
    store.report(lapsed.token, [report(lapsed, 4, 0.7)])
    subject.pass_time(60)
    reaped = AttemptEnd(
        AttemptEvent.SUPERSEDE, TrialEvent.RETRY, fault=Fault.INFRASTRUCTURE, detail="lapsed", device_s=9.0
    )
    store.finish_attempt(lapsed.token, reaped, only_expired=True)
    if again == "queued":
        store.queue_trials(study.id, store.study(study.id).turn, [1])
    end = scored(0.7, metrics={"holdout": 0.6}, step=4, log_tail="done")
    trial = store.finish_attempt(lapsed.token, end)
    assert trial == store.finish_attempt(lapsed.token, end) == store.trial(study.id, 1)
    assert (trial.state, trial.score, trial.step, trial.ended_no) == (TrialState.SCORED, 0.7, 4, 2)
    assert (trial.fault, trial.faults, trial.attempts) == (None, {"infrastructure": 1}, 2)
    assert (trial.worker, trial.last_step, trial.queued_at) == ("cpu0.s0@here", 4, None)
    attempt = store.attempts(study.id, 1)[1]
    assert (attempt.outcome, attempt.fault, attempt.late) == (Outcome.SCORED, None, None)
    assert (attempt.detail, attempt.device_s) == ("", 2.0)
    assert store.log_tail(study.id, 1, 2) == "done"
    now = store.study(study.id)
    assert (now.counts, now.best_number, now.device_s) == (Counts(scored=2), 1, 4.0)
    assert isinstance(store.lease(study.id, 1, 3, worker="w", device="cpu", lease_s=30), Refusal)


@pytest.mark.parametrize("end", [scored(0.9), failed(), AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, score=0.9)])
def test_of_a_lapsed_attempt_only_a_score_is_taken_and_only_of_an_open_trial(subject: Subject, end: AttemptEnd) -> None:
    store = subject.store
    study = queued(store, 1)
    lapsed = leased(store, study, 0, lease_s=0.05)
    subject.pass_time(60)
    reaped = AttemptEnd(AttemptEvent.SUPERSEDE, TrialEvent.RETRY, fault=Fault.INFRASTRUCTURE, detail="lapsed")
    store.finish_attempt(lapsed.token, reaped, only_expired=True)
    if end.trial_event is TrialEvent.SCORE:
        store.cancel_trial(study.id, 0, "not wanted")
    before = store.study(study.id)
    with pytest.raises(LeaseLost, match="its lease ran out"):
        store.finish_attempt(lapsed.token, end)
    assert store.study(study.id) == before
    assert store.attempts(study.id, 0)[0].late is not None


def test_a_ticket_is_cancelled_by_who_could_run_it(any_store: Store) -> None:
    study = queued(any_store, 3)
    runs = leased(any_store, study, 1)
    for number in (0, 1):
        trial = any_store.cancel_ticket(study.id, number, 1, "revoked")
        assert (trial.state, trial.detail) == (TrialState.CANCELLED, "revoked")
        assert any_store.cancel_ticket(study.id, number, 1, "again") == trial
    with pytest.raises(LeaseLost, match="revoked"):
        any_store.renew(runs.token, 30)
    for number, attempt in ((2, 2), (2, 0), (9, 1)):
        with pytest.raises(IllegalTransition):
            any_store.cancel_ticket(study.id, number, attempt, "stale")
    any_store.finish_attempt(leased(any_store, study, 2).token, scored(0.5))
    with pytest.raises(IllegalTransition):
        any_store.cancel_ticket(study.id, 2, 1, "too late")
    assert any_store.study(study.id).counts == Counts(scored=1, cancelled=2)


def test_the_reaper_takes_only_what_ran_out(subject: Subject) -> None:
    store = subject.store
    study = queued(store, 2)
    lapsed = AttemptEnd(AttemptEvent.SUPERSEDE, TrialEvent.RETRY, fault=Fault.INFRASTRUCTURE, detail="lapsed")
    held = leased(store, study, 0)
    with pytest.raises(LeaseLost, match="holds until") as caught:
        store.finish_attempt(held.token, lapsed, only_expired=True)
    assert caught.value.reason == "its lease was prolonged"
    store.finish_attempt(held.token, scored(0.5))
    with pytest.raises(LeaseLost, match="ended already"):
        store.finish_attempt(held.token, lapsed, only_expired=True)
    assert store.attempts(study.id, 0)[0].late is None


def test_a_user_cancels_in_any_open_state(any_store: Store) -> None:
    study = queued(any_store, 4)
    with_trials(any_store, study, 1)
    parked = leased(any_store, study, 2)
    any_store.finish_attempt(parked.token, released(TrialEvent.PARK))
    runs = leased(any_store, study, 3)
    for place, number in enumerate([4, 0, 2, 3], start=1):
        trial = any_store.cancel_trial(study.id, number, "not wanted")
        assert (trial.state, trial.ended_no, trial.detail) == (TrialState.CANCELLED, place, "not wanted")
        assert trial == any_store.trial(study.id, number)
    assert any_store.study(study.id).counts == Counts(queued=1, cancelled=4)
    attempt = any_store.attempts(study.id, 3)[0]
    assert (attempt.outcome, attempt.detail) == (Outcome.RELEASED, "not wanted")
    with pytest.raises(LeaseLost, match="not wanted"):
        any_store.renew(runs.token, 30)
    with pytest.raises(IllegalTransition, match="is CANCELLED: it cannot cancel"):
        any_store.cancel_trial(study.id, 3, "again")
    with pytest.raises(UnknownTrial):
        any_store.cancel_trial(study.id, 99, "never there")


def test_ends_that_meet_keep_their_order_gap_free(any_store: Store) -> None:
    study = queued(any_store, 12)
    leases = [leased(any_store, study, number) for number in range(12)]
    threads = [
        threading.Thread(target=any_store.finish_attempt, args=(lease.token, scored(0.01 * lease.number)))
        for lease in leases
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends = any_store.ended_since(study.id, 0)
    assert [trial.ended_no for trial in ends] == list(range(1, 13))
    now = any_store.study(study.id)
    assert (now.counts, now.best_number) == (Counts(scored=12), 11)
    assert now.device_s == pytest.approx(24.0)


def test_a_cancel_and_a_finish_that_meet_end_the_trial_once(any_store: Store) -> None:
    study = queued(any_store, 10)
    for number in range(10):
        lease = leased(any_store, study, number)
        outcomes: list[str] = []

        def finish(lease: Lease = lease, outcomes: list[str] = outcomes) -> None:
            try:
                outcomes.append(any_store.finish_attempt(lease.token, scored(0.5)).state)
            except LeaseLost:
                outcomes.append("lost")

        def cancel(number: int = number, outcomes: list[str] = outcomes) -> None:
            try:
                outcomes.append(any_store.cancel_trial(study.id, number, "not wanted").state)
            except IllegalTransition:
                outcomes.append("illegal")

        threads = [threading.Thread(target=each) for each in (finish, cancel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) in (["SCORED", "illegal"], ["CANCELLED", "lost"])
    counts = any_store.study(study.id).counts
    assert counts == replace(Counts(), scored=counts.scored, cancelled=10 - counts.scored)


def test_a_retry_may_wait_by_the_store_s_clock(any_store: Store) -> None:
    study = queued(any_store, 1)
    again = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY)
    before = any_store.now()
    trial = any_store.finish_attempt(leased(any_store, study, 0).token, replace(again, wait_s=60.0))
    assert trial.not_before is not None
    assert before + timedelta(seconds=60) <= trial.not_before <= any_store.now() + timedelta(seconds=60)
    assert any_store.snapshot(study.id).ready == ()
    trial = any_store.finish_attempt(leased(any_store, study, 0, attempt=2).token, again)
    assert trial.not_before is None
