"""The nights on the memory store: from stage to stage, each move once, whatever crashes."""

from typing import Any

import pytest

from celeriac.domain.errors import StoreUnavailable
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import NewStudy, StudyRecord, StudyState
from celeriac.runtime.broker import CPU_QUEUE
from coordinator.nights import study_closed
from coordinator.schedules import fire_due
from coordinator.turn import drive, drive_all
from tests.coordinator.house import House
from tests.coordinator.test_schedules import AIRPORTS, SPEC, put_schedule


def run_to_end(house: House, study: StudyRecord, scores: list[float]) -> None:
    """Two trials: the default's score, then the other's."""
    for score in scores:
        drive(house.coordinator, study.id)
        lease = house.lease(house.take())
        assert lease is not None
        house.finish(lease, score)


def test_a_better_trial_becomes_champion_and_a_worse_night_leaves_it() -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [first] = house.store.studies()
    run_to_end(house, first, [0.9, 0.5])
    drive(house.coordinator, first.id)
    assert house.store.study(first.id).state is StudyState.DONE
    [champion] = house.store.champions("flights")
    assert (champion.trial, champion.score, champion.default_score) == (1, 0.5, 0.9)
    house.wait(86_400)
    fire_due(house.store, house.mailbox)
    second = house.store.studies()[0]
    house.mailbox.queues[CPU_QUEUE].clear()
    run_to_end(house, second, [0.3, 0.4])
    drive(house.coordinator, second.id)
    [verdict, _] = house.store.verdicts("flights")
    assert not verdict.promoted
    assert "the champion stays trial 1 of flights/airport=JFK/2026-11-24" in verdict.reason
    assert house.store.champions("flights") == [champion]


def test_the_verdict_is_written_after_the_close_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    run_to_end(house, study, [0.9, 0.5])
    with monkeypatch.context() as patch:

        def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailable("gone")

        patch.setattr(house.store, "move_firing", dies)
        with pytest.raises(StoreUnavailable):
            drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.DONE
    assert house.store.verdicts("flights") == []
    drive_all(house.coordinator)
    drive(house.coordinator, study.id)
    assert [verdict.trial for verdict in house.store.verdicts("flights")] == [1]


def test_a_trial_that_ends_while_its_study_is_being_closed_is_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=2)
    spec = {**SPEC, "study": "flights", "budget": {"trials": 9, "wall": "30m"}, "sampler": "random"}
    put_schedule(house, slices=AIRPORTS[:1], spec=spec)
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    drive(house.coordinator, study.id)
    leases = [house.lease(house.take()), house.lease(house.take())]
    assert leases[0] is not None
    house.finish(leases[0], 0.5)
    move_study = house.store.move_study

    def another_ends_first(*args: Any, **kwargs: Any) -> StudyRecord:
        assert leases[1] is not None
        house.finish(leases[1], 0.1)
        return move_study(*args, **kwargs)

    house.wait(1800)
    monkeypatch.setattr(house.store, "move_study", another_ends_first)
    drive(house.coordinator, study.id)
    [verdict] = house.store.verdicts("flights")
    assert house.store.study(study.id).state is StudyState.DONE
    assert (verdict.trial, verdict.score) == (house.store.study(study.id).best_number, 0.1) == (1, 0.1)


def test_a_night_that_was_stopped_without_a_word_gets_its_verdict_with_the_next_tick() -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    run_to_end(house, study, [0.9])
    house.store.move_study(study.id, StudyEvent.STOP, "a person said so")  # Redis is away: nobody is woken
    drive_all(house.coordinator)
    [verdict] = house.store.verdicts("flights")
    assert verdict.trial == 0
    assert house.store.firings_to_move() == []


def test_a_study_that_a_person_stopped_gets_its_verdict_too() -> None:
    house = House(slots=1)
    put_schedule(house, slices=AIRPORTS[:1])
    fire_due(house.store, house.mailbox)
    [study] = house.store.studies()
    drive(house.coordinator, study.id)
    house.store.move_study(study.id, StudyEvent.STOP, "enough")
    drive(house.coordinator, study.id)
    [verdict] = house.store.verdicts("flights")
    assert "no trial was scored" in verdict.reason
    assert not verdict.promoted


def test_a_study_of_no_schedule_has_no_verdict() -> None:
    house = House()
    study = house.store.create_study(NewStudy("alone", {}, "minimize"))
    assert study_closed(house.store, house.mailbox, study) == ""
