"""Running trials that are asked back: the request reaches the lease's holder, changes no state, and is kept."""

from dataclasses import replace
from datetime import timedelta

import pytest

from celeriac.domain.errors import LeaseLost
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault, TrialState
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.scenes import leased, queued, report, scored

HANDED_BACK = AttemptEnd(AttemptEvent.RELEASE, TrialEvent.PARK, fault=Fault.PREEMPTED)


def test_who_holds_the_lease_is_told_with_the_next_renewal_and_only_the_first_reason(any_store: Store) -> None:
    study = queued(any_store, 2)
    asked, other = leased(any_store, study, 0), leased(any_store, study, 1)
    assert any_store.renew(asked.token, 30) == ""
    assert any_store.preempt([asked.token, "no such token"], "flights waits") == 1
    assert any_store.preempt([asked.token], "another reason") == 0
    assert [any_store.renew(each.token, 30) for each in (asked, other)] == ["flights waits", ""]
    attempt = any_store.attempts(study.id, 0)[0]
    assert (attempt.preempt_reason, attempt.preempted_at is not None) == ("flights waits", True)
    assert any_store.trial(study.id, 0).state is TrialState.RUNNING


def test_what_has_ended_is_not_asked(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    any_store.finish_attempt(lease.token, scored(0.5))
    assert any_store.preempt([lease.token], "too late") == 0
    assert any_store.running_attempts([study.id]) == []
    with pytest.raises(LeaseLost):
        any_store.renew(lease.token, 30)


def test_running_attempts_tell_their_own_newest_checkpoint_and_requests_before(any_store: Store) -> None:
    study, unseen = queued(any_store, 2), queued(any_store, 1)
    first = leased(any_store, study, 0)
    leased(any_store, study, 1)
    leased(any_store, unseen, 0)
    noon = any_store.now() - timedelta(hours=3)
    reports = [
        replace(report(first, step, checkpoint=step < 2), at=noon + timedelta(minutes=step)) for step in range(3)
    ]
    any_store.report(first.token, reports)
    held = any_store.running_attempts([study.id])
    assert [(each.study, each.number, each.attempt, each.saved_at) for each in held] == [
        (study.name, 0, 1, noon + timedelta(minutes=1)),
        (study.name, 1, 1, None),
    ]
    any_store.preempt([first.token], "another waits")
    assert any_store.running_attempts([study.id])[0].preempted_at is not None
    any_store.finish_attempt(first.token, HANDED_BACK)
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [0])
    leased(any_store, study, 0, attempt=2)
    again = next(each for each in any_store.running_attempts([study.id]) if each.number == 0)
    assert (again.attempt, again.preempted_at, again.saved_at) == (2, None, None)
    assert again.preempted_before_at is not None
