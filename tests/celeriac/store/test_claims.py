"""What studies claim of the fleet, and the time that their wall budgets count: from the studies' rows alone."""

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Claim
from celeriac.store import Store
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import leased, new_study, queued, running, scored, with_trials


def claim(store: Store, study_id: int) -> Claim:
    return next(each for each in store.claims() if each.study_id == study_id)


def test_a_claim_says_what_is_held_and_what_could_be_used(any_store: Store) -> None:
    study = queued(any_store, 3, parallel=2)
    any_store.finish_attempt(leased(any_store, study, 0).token, scored(0.5))
    leased(any_store, study, 1)
    spec = {"resources": {"gpus": 1}, "budget": {"trials": 9}}
    opened = any_store.create_study(new_study(spec=spec))
    found = claim(any_store, study.id)
    assert (found.running, found.queued, found.ready, found.left, found.finished) == (1, 1, 0, 1, 1)
    assert (found.gpus, found.parallel, found.may_run, found.device_s) == (0, 2, True, 2.0)
    assert (found.held, found.begun, found.demand, found.mean_s) == (2, 2, 2, 2.0)
    new = claim(any_store, opened.id)
    assert (new.gpus, new.left, new.may_run, new.age_s, new.mean_s) == (1, 9, True, 0.0, None)


def test_a_paused_study_holds_what_runs_and_a_closed_one_nothing(any_store: Store) -> None:
    study, other = queued(any_store, 2), running(any_store)
    leased(any_store, study, 0)
    any_store.move_study(study.id, StudyEvent.PAUSE, "by hand")
    found = claim(any_store, study.id)
    assert (found.may_run, found.running, found.queued, found.ready) == (False, 1, 0, 1)
    any_store.move_study(study.id, StudyEvent.STOP, "by hand")
    assert [each.study_id for each in any_store.claims()] == [other.id]


def test_time_counts_from_the_first_lease_without_pauses(subject: Subject) -> None:
    store = subject.store
    study = running(store)
    with_trials(store, study, 2)
    assert store.study(study.id).worked_s(store.now()) == 0.0
    subject.pass_time(500)
    assert claim(store, study.id).age_s == pytest.approx(500, abs=30)
    store.move_study(study.id, StudyEvent.PAUSE, "before its first lease")
    subject.pass_time(500)
    store.move_study(study.id, StudyEvent.RESUME, "by hand")
    store.queue_trials(study.id, store.study(study.id).turn, [0, 1])
    leased(store, study, 0)
    subject.pass_time(100)
    leased(store, study, 1)
    assert store.study(study.id).worked_s(store.now()) == pytest.approx(100, abs=30)
    for _ in range(2):
        store.move_study(study.id, StudyEvent.PAUSE, "by hand")
        subject.pass_time(1000)
        assert store.study(study.id).worked_s(store.now()) == pytest.approx(100, abs=30)
        assert claim(store, study.id).age_s == pytest.approx(100, abs=30)
        store.move_study(study.id, StudyEvent.RESUME, "by hand")
    subject.pass_time(100)
    assert store.study(study.id).worked_s(store.now()) == pytest.approx(200, abs=30)
    assert claim(store, study.id).age_s == pytest.approx(200, abs=30)
    closed = store.move_study(study.id, StudyEvent.STOP, "by hand")
    subject.pass_time(1000)
    assert store.study(study.id).worked_s(store.now()) == pytest.approx(closed.worked_s(store.now()), abs=30)
