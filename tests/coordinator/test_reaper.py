"""What a tick does about leases that ran out, and about studies whose code no live slot has."""

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Lease, OpenAttempt, Outcome, StudyState, TrialState
from celeriac.runtime.broker import GPU_QUEUE
from coordinator.reaper import pause_without_code, reap
from coordinator.turn import drive
from tests.coordinator.house import LEASE_S, TICK_S, House, open_study, with_slots


def running(house: House) -> Lease:
    """The first trial of a study, on the only slot."""
    study = open_study(house.store, sampler="random")
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    return lease


def test_an_attempt_that_nobody_heard_of_again_is_superseded_and_took_device_time_until_it_was_last_heard_of() -> None:
    house = House(slots=1)
    lease = running(house)
    house.ticks(20)
    house.store.renew(lease.token, LEASE_S)
    house.ticks(LEASE_S + 2 * TICK_S)
    (attempt,) = house.store.attempts(lease.study_id, lease.number)
    assert (attempt.outcome, attempt.device_s) == (Outcome.SUPERSEDED, 20.0)


def test_a_reaper_that_starts_gives_every_worker_a_whole_lease_to_be_heard_of() -> None:
    house = House(slots=1)
    lease = running(house)
    house.wait(10 * LEASE_S)  # nobody looked
    house.ticks(LEASE_S)
    assert house.store.trial(lease.study_id, lease.number).state is TrialState.RUNNING
    house.ticks(TICK_S)
    assert house.store.trial(lease.study_id, lease.number).state is TrialState.WAITING


def test_a_lease_that_is_renewed_after_it_was_seen_lapsed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=1)
    lease = running(house)
    house.ticks(LEASE_S)
    expired = house.store.expired

    def renewed_meanwhile(*, limit: int) -> list[OpenAttempt]:
        found = expired(limit=limit)
        assert found
        house.store.renew(lease.token, LEASE_S)
        return found

    house.wait(TICK_S)
    with monkeypatch.context() as other:
        other.setattr(house.store, "expired", renewed_meanwhile)
        reap(house.store, house.mailbox, tick_s=TICK_S)
    assert house.store.trial(lease.study_id, lease.number).state is TrialState.RUNNING
    house.ticks(LEASE_S + 2 * TICK_S)
    assert house.store.trial(lease.study_id, lease.number).state is TrialState.WAITING


SAID = "host: the code below /code is 2, the study's is 1"


def test_a_study_whose_code_is_nowhere_pauses_with_that_reason_and_goes_on_when_told() -> None:
    house = House(slots=1)
    with_slots(house.store, 1)
    (slot,) = house.store.devices()[0].slots
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    lease = house.lease(house.take(), worker=slot)
    assert lease is not None
    pause_without_code(house.store)
    assert house.store.study(study.id).state is StudyState.RUNNING
    house.wait(1)
    house.store.put_aside(lease.token, SAID, 60.0, study_only=True)
    pause_without_code(house.store)
    paused = house.store.study(study.id)
    assert (paused.state, SAID in paused.reason) == (StudyState.PAUSED, True)
    house.wait(1)
    house.store.move_study(study.id, StudyEvent.RESUME, "resumed")
    pause_without_code(house.store)
    assert house.store.study(study.id).state is StudyState.RUNNING


def test_it_goes_on_while_another_slot_may_have_it() -> None:
    house = House(slots=2)
    with_slots(house.store, 2)
    slots = house.store.devices()[0].slots
    study = open_study(house.store)
    drive(house.coordinator, study.id)
    lease = house.lease(house.take(), worker=slots[0])
    assert lease is not None
    house.wait(1)
    house.store.put_aside(lease.token, SAID, 60.0, study_only=True)
    pause_without_code(house.store)
    assert house.store.study(study.id).state is StudyState.RUNNING


def test_of_a_study_for_gpus_only_their_slots_count() -> None:
    house = House(slots=0)
    with_slots(house.store, 2, gpus=1)
    study = open_study(house.store, resources={"gpus": 1}, sampler="random")
    drive(house.coordinator, study.id)
    lease = house.lease(house.take(GPU_QUEUE), worker="gpu0.s0")
    assert lease is not None
    house.clock.advance(1)
    house.store.put_aside(lease.token, SAID, 60.0, study_only=True)
    pause_without_code(house.store)
    assert house.store.study(study.id).state is StudyState.PAUSED, "the slots of the CPU cannot run it either"
