"""Each class of fault has its own retry; the table of docs/reference/faults.md."""

import pytest

from celeriac.decide.retry import FREE_RETRIES, after_fault
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault


@pytest.mark.parametrize("before", range(FREE_RETRIES))
def test_infrastructure_is_retried_for_free(before: int) -> None:
    decision = after_fault(
        Fault.INFRASTRUCTURE, faults={"infrastructure": before}, retry_attempts=1, has_checkpoint=False
    )
    assert (decision.attempt_event, decision.trial_event) == (AttemptEvent.FAULT, TrialEvent.RETRY)


def test_a_trial_that_kills_its_hosts_ends() -> None:
    decision = after_fault(
        Fault.INFRASTRUCTURE, faults={"infrastructure": FREE_RETRIES}, retry_attempts=3, has_checkpoint=True
    )
    assert decision.trial_event is TrialEvent.FAIL
    assert "free retries are used up" in decision.reason


@pytest.mark.parametrize(("has_checkpoint", "event"), [(True, TrialEvent.PARK), (False, TrialEvent.RETRY)])
def test_preemption_is_no_fault(has_checkpoint: bool, event: TrialEvent) -> None:
    decision = after_fault(Fault.PREEMPTED, faults={"preempted": 50}, retry_attempts=1, has_checkpoint=has_checkpoint)
    assert (decision.attempt_event, decision.trial_event) == (AttemptEvent.RELEASE, event)


@pytest.mark.parametrize(("before", "event"), [(0, TrialEvent.RETRY), (1, TrialEvent.RETRY), (2, TrialEvent.FAIL)])
def test_out_of_memory_has_the_studys_attempts_on_other_kinds_of_devices(before: int, event: TrialEvent) -> None:
    decision = after_fault(
        Fault.OUT_OF_MEMORY, faults={"out_of_memory": before}, retry_attempts=3, has_checkpoint=False, elsewhere=True
    )
    assert decision.trial_event is event


@pytest.mark.parametrize("fault", [Fault.NOT_FINITE, Fault.TIMEOUT, Fault.USER_BUG])
def test_what_would_come_again_is_not_tried_again(fault: Fault) -> None:
    decision = after_fault(fault, faults={}, retry_attempts=9, has_checkpoint=True)
    assert (decision.attempt_event, decision.trial_event) == (AttemptEvent.FAULT, TrialEvent.FAIL)


def test_a_lapsed_lease_is_superseded() -> None:
    decision = after_fault(Fault.INFRASTRUCTURE, faults={}, retry_attempts=1, has_checkpoint=False, lease_lapsed=True)
    assert decision.attempt_event is AttemptEvent.SUPERSEDE


def test_infrastructure_is_counted_anew_after_progress() -> None:
    decision = after_fault(
        Fault.INFRASTRUCTURE,
        faults={"infrastructure": FREE_RETRIES},
        retry_attempts=1,
        has_checkpoint=True,
        has_progressed=True,
    )
    assert (decision.trial_event, decision.forgives) == (TrialEvent.RETRY, True)
    assert "free retry 1 of 5, counted anew since a checkpoint was added" in decision.reason
    first = after_fault(Fault.INFRASTRUCTURE, faults={}, has_checkpoint=True, has_progressed=True)
    assert first.reason == "infrastructure fault; free retry 1 of 5"


def test_free_retries_wait_longer_and_longer() -> None:
    waits = [
        after_fault(Fault.INFRASTRUCTURE, faults={"infrastructure": before}, retry_attempts=1, has_checkpoint=False)
        for before in range(FREE_RETRIES + 1)
    ]
    assert [each.wait_s for each in waits] == [0.0, 2.0, 10.0, 60.0, 300.0, 0.0]
    assert waits[2].reason == "infrastructure fault; free retry 3 of 5 in 10 s"
    anew = after_fault(
        Fault.INFRASTRUCTURE, faults={"infrastructure": 4}, retry_attempts=1, has_checkpoint=True, has_progressed=True
    )
    assert anew.wait_s == 0.0
