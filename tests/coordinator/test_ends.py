"""What a turn has seen of a study's ends, so that messages of older ends ask for no turn."""

from typing import Any

import pytest

from celeriac.domain.errors import StaleTurn
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault, Snapshot
from celeriac.store.api import AttemptEnd
from coordinator.turn import drive, drive_all
from tests.coordinator.house import House, open_study


def snapshots_read(house: House, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The study of each snapshot that is read from now on: one a turn."""
    snapshot, read = house.store.snapshot, []

    def noted(study_id: int) -> Snapshot:
        read.append(study_id)
        return snapshot(study_id)

    monkeypatch.setattr(house.store, "snapshot", noted)
    return read


def test_ends_that_come_together_are_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=5)
    study = open_study(house.store, sampler="random")
    drive(house.coordinator, study.id)
    for _ in range(5):
        lease = house.lease(house.take())
        assert lease is not None
        house.finish(lease, 0.5)
    read = snapshots_read(house, monkeypatch)
    places = [trial.ended_no or 0 for trial in house.store.trials(study.id) if trial.ended_no]
    said = [drive(house.coordinator, study.id, ended_no=place) for place in places]
    assert len(read) == 1
    assert said[1:] == [f"an earlier turn has seen end {place}" for place in places[1:]]
    drive(house.coordinator, study.id)  # a tick, or a message of version 1, says no place
    assert len(read) == 2
    lease = house.lease(house.take())
    assert lease is not None
    house.finish(lease, 0.5)
    drive(house.coordinator, study.id, ended_no=6)
    assert len(read) == 3


def test_a_turn_that_came_to_nothing_has_seen_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=1)
    study = open_study(house.store, sampler="random")
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    house.finish(lease, 0.5)

    def moved_meanwhile(*args: Any) -> None:
        raise StaleTurn("another coordinator took the turn")

    with monkeypatch.context() as other:
        other.setattr(house.store, "add_trials", moved_meanwhile)
        other.setattr(house.store, "queue_trials", moved_meanwhile)
        assert "another coordinator" in drive(house.coordinator, study.id, ended_no=1)
    assert "earlier turn" not in drive(house.coordinator, study.id, ended_no=1)
    assert "earlier turn" in drive(house.coordinator, study.id, ended_no=1)


def test_a_tick_makes_up_for_places_that_a_retry_made_smaller() -> None:
    house = House(slots=2)
    study = open_study(house.store, sampler="random")
    drive(house.coordinator, study.id)
    first, second = (house.lease(house.take()) for _ in range(2))
    assert first is not None
    assert second is not None
    failed = AttemptEnd(AttemptEvent.FAULT, TrialEvent.FAIL, fault=Fault.TIMEOUT, detail="slow")
    house.store.finish_attempt(first.token, failed)
    house.finish(second, 0.5)
    drive(house.coordinator, study.id, ended_no=2)
    house.store.retry_trials(study.id, [first.number], "once more")
    assert "earlier turn" in drive(house.coordinator, study.id, ended_no=1)
    drive_all(house.coordinator)
    assert "earlier turn" not in drive(house.coordinator, study.id, ended_no=2)
