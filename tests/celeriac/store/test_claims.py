"""What studies claim of the fleet, and the time that their wall budgets count: from the studies' rows alone."""

from datetime import timedelta

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Claim
from celeriac.store import Store
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import NOON, leased, new_study, queued, running, scored, searching, with_trials


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
    assert (found.gpus, found.parallel, found.may_run, found.ran_s) == (0, 2, True, 2.0)
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


def test_device_time_is_that_of_ended_and_of_open_attempts(any_store: Store) -> None:
    store = any_store
    study = queued(store, 2)
    store.finish_attempt(leased(store, study, 0).token, scored(0.5))
    before = store.device_spent(study.id)
    assert (before.study_s, before.firing_s, before.study_holds) == (2.0, 0.0, 0)
    leased(store, study, 1)
    began = store.device_spent(study.id)
    assert store.device_spent(study.id).study_s > began.study_s > 2.0  # its clock goes on
    assert (began.study_holds, began.firing_holds, began.night_holds) == (1, 0, 1)
    assert store.device_spent(10**9).study_s == 0.0


def test_device_time_of_a_night_is_that_of_the_schedules_firings_due_then(any_store: Store) -> None:
    night = (NOON - timedelta(hours=2), NOON + timedelta(hours=22))
    due_times = {"a": NOON, "b": NOON + timedelta(hours=1), "c": night[1]}
    studies = []
    for region, due_at in due_times.items():
        study = searching(any_store, f"nightly-{region}", due_at=due_at, slice={"region": region})
        any_store.move_study(study.id, StudyEvent.START, "started")
        with_trials(any_store, any_store.study(study.id), 1)
        any_store.queue_trials(study.id, any_store.study(study.id).turn, [0])
        any_store.finish_attempt(leased(any_store, any_store.study(study.id), 0).token, scored(0.5))
        studies.append(study)
    found = any_store.device_spent(studies[0].id, night)
    assert (found.study_s, found.firing_s, found.night_s) == (2.0, 2.0, 4.0)
    assert (found.study_holds, found.firing_holds, found.night_holds) == (0, 0, 0)
    assert any_store.device_spent(studies[0].id).night_s == 2.0


def test_a_claim_has_its_weight_and_the_time_until_its_deadline(any_store: Store) -> None:
    plan = {"name": "n", "cron": "0 2 * * *", "timezone": "UTC", "deadline": 3600.0}
    spec = {"priority": 2.5, "schedule": plan, "budget": {"trials": 9}}
    study = any_store.create_study(new_study(spec=spec, due_at=any_store.now()))
    found = claim(any_store, study.id)
    assert found.weight == 2.5
    assert found.deadline_s == pytest.approx(3600, abs=30)
    plain = claim(any_store, any_store.create_study(new_study()).id)
    assert (plain.weight, plain.deadline_s) == (1.0, None)
