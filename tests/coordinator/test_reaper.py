"""What a tick does about studies whose code no live slot has."""

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import StudyState
from coordinator.reaper import pause_without_code
from coordinator.turn import drive
from tests.coordinator.house import House, open_study, with_slots

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
