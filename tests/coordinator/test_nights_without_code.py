"""A night whose code no slot has waits until its time is over; one that a person paused waits for that person."""

from typing import Any

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import FiringState, Stage, StudyState
from coordinator.reaper import pause_without_code
from coordinator.schedules import stop_left_open
from coordinator.turn import drive_all
from tests.coordinator.house import House, with_slots
from tests.coordinator.nightlife import by_lr, fire, put_schedule, whole_night


def with_champion(**keys: Any) -> House:
    """A house whose slice has a champion since the first night."""
    house = House(slots=2)
    put_schedule(house, **keys)
    assert whole_night(house, by_lr(0.1)).state is FiringState.PROMOTED
    return house


def without_its_code(house: House) -> tuple[int, int]:
    """Tonight's firing, whose look no slot has the code of: the firing's id, and the look's."""
    house.slots = 1
    with_slots(house.store, 1)
    (slot,) = house.store.devices()[0].slots
    firing = fire(house)
    drive_all(house.coordinator)
    lease = house.lease(house.take(), worker=slot)
    assert lease is not None
    house.wait(1)
    house.store.put_aside(lease.token, "host: the code below /code is 2, the study's is 1", 60.0, study_only=True)
    pause_without_code(house.store)
    [look] = house.store.stage_studies([firing.id])
    assert (look.stage, look.state) == (Stage.LOOK, StudyState.PAUSED)
    return firing.id, look.id


@pytest.mark.parametrize(
    ("keys", "waits_s", "until"),
    [({"deadline": "06:00"}, 3 * 3600, "its deadline"), ({}, 86_400, "its slice was due again")],
)
def test_a_night_whose_code_is_nowhere_fails_when_its_time_is_over_and_can_go_on(
    keys: dict[str, Any], waits_s: float, until: str
) -> None:
    house = with_champion(**keys)
    firing_id, look_id = without_its_code(house)
    house.wait(waits_s - 60)
    drive_all(house.coordinator)
    assert house.store.firing(firing_id).state is FiringState.LOOKING
    house.wait(60)
    drive_all(house.coordinator)
    failed_ = house.store.firing(firing_id)
    assert failed_.state is FiringState.FAILED
    assert failed_.reason.startswith(f"until {until} (2026-11-2")
    name = "flights/airport=JFK/2026-11-25/look"
    assert f"no live worker has the code of {name}: host: the code below /code is 2" in failed_.reason
    assert f"`celeriac reopen {name}`" in failed_.reason
    stop_left_open(house.store, house.mailbox)
    assert house.store.study(look_id).state is StudyState.STOPPED
    house.store.move_study(look_id, StudyEvent.REOPEN, "the code is back")
    assert house.store.firing(firing_id).state is FiringState.LOOKING


def test_a_night_that_a_person_paused_waits_for_that_person() -> None:
    house = with_champion(deadline="06:00")
    firing = fire(house)
    [look] = house.store.stage_studies([firing.id])
    house.store.move_study(look.id, StudyEvent.START, "first turn")
    house.store.move_study(look.id, StudyEvent.PAUSE, "paused by a user")
    house.wait(10 * 3600)
    drive_all(house.coordinator)
    assert house.store.firing(firing.id).state is FiringState.LOOKING
