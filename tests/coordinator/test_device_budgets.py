"""Device budgets of a night, on the coordinator's own path: searches end with the reason, the night with it too."""

from dataclasses import replace

from celeriac.domain.records import Firing, FiringState, Stage, StudyState
from coordinator.turn import drive, drive_all
from tests.coordinator.house import LEASE_S, TICK_S, House, open_study
from tests.coordinator.nightlife import BETTER, Train, fire, house_with, told, with_champion, with_spec


def test_a_study_ends_when_its_device_hours_are_used() -> None:
    house = House(slots=2)
    study = open_study(house.store, sampler="random", budget={"trials": 50, "device_hours": 0.1})
    drive(house.coordinator, study.id)
    for device_s in (200.0, 170.0):
        assert house.store.study(study.id).state is not StudyState.DONE
        lease = house.lease(house.take())
        assert lease is not None
        house.finish(lease, 0.5, device_s=device_s)
        drive(house.coordinator, study.id)
    found = house.store.study(study.id)
    assert found.state is StudyState.DONE
    assert found.reason.startswith("device budget of 0.1 device-hours is used up")
    assert (found.counts.finished, found.counts.open) == (2, 0)


def test_a_study_is_looked_at_when_its_device_hours_will_be_used_not_only_at_the_next_tick() -> None:
    house = House(slots=2)
    later: list[tuple[int, float]] = []
    house.coordinator.clock = lambda: house.clock.now.timestamp()
    house.coordinator.follow_later = lambda study_id, after_s: later.append((study_id, after_s))
    study = open_study(house.store, sampler="random", budget={"trials": 50, "device_hours": 0.1})
    drive(house.coordinator, study.id)
    for _ in range(2):
        assert house.lease(house.take())
    drive(house.coordinator, study.id)
    assert later == []  # three minutes are left: a tick will see it
    house.wait(176)
    drive(house.coordinator, study.id)
    drive(house.coordinator, study.id)
    assert [whose for whose, _ in later] == [study.id]  # once, however often it is driven
    while later:  # what is queued might begin at once: where it did not, there is another look
        _, after_s = later.pop()
        assert 0 < after_s < TICK_S
        house.wait(after_s)
        drive(house.coordinator, study.id)
    found = house.store.study(study.id)
    assert found.state is StudyState.DONE
    assert 360.0 <= found.device_s < 361.0


def test_who_dies_in_silence_is_charged_until_it_was_last_heard_of() -> None:
    house = House(slots=1)
    study = open_study(house.store, sampler="random", budget={"trials": 50})
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    house.wait(20)
    house.store.renew(lease.token, LEASE_S)
    house.ticks(LEASE_S + 2 * TICK_S)
    [attempt] = house.store.attempts(study.id, 0)
    assert attempt.outcome is not None
    assert attempt.device_s == house.store.study(study.id).device_s
    assert 20.0 <= attempt.device_s < 21.0


def one_by_one(house: House, train: Train) -> Firing:
    """Fire, and work with a turn after each trial, until nothing is left to do."""
    firing = fire(house)
    for _ in range(400):
        drive_all(house.coordinator)
        if house.mailbox.queues["trials.cpu"]:
            lease = house.lease(house.take())
            if lease is not None:
                house.store.finish_attempt(lease.token, train(lease))
        elif not house.store.studies_to_drive() and not house.store.firings_to_move():
            return house.store.firing(firing.id)
    raise AssertionError("the night does not end")


def used_s(house: House, firing: Firing) -> dict[str, float]:
    return {str(each.stage): each.device_s for each in house.store.stage_studies([firing.id])}


def test_a_search_leaves_its_confirmation_enough_and_the_night_keeps_its_budget() -> None:
    house = house_with(budget={"device_hours_per_slice": 20 / 3600})
    house.store.put_schedule(with_spec(house.store.schedule("flights"), budget={"trials": 40}))
    firing = one_by_one(house, BETTER)
    assert told(firing) == ["DUE", "SEARCHING", "CONFIRMING", "PROMOTED"]
    assert used_s(house, firing) == {"search": 12.0, "confirm": 8.0}
    search = house.store.stage_studies([firing.id])[0]
    assert "are kept for confirmations" in search.reason


def test_a_confirmation_that_uses_the_budget_up_is_decided_on_the_pairs_that_are_whole() -> None:
    house = house_with(budget={"device_hours_per_slice": 10 / 3600})
    firing = one_by_one(house, BETTER)
    assert told(firing) == ["DUE", "SEARCHING", "CONFIRMING", "KEPT"]
    assert used_s(house, firing) == {"search": 4.0, "confirm": 6.0}
    assert firing.reason.startswith("firing's device budget of 0.00277778 device-hours is used up (0.00278 h): ")
    assert "3 pairs are fewer than the 4 it needs" in firing.reason


def test_where_a_search_has_used_the_nights_budget_up_nobody_is_tested() -> None:
    house = house_with(budget={"device_hours": 4 / 3600})
    firing = one_by_one(house, lambda lease: replace(BETTER(lease), device_s=5.0 if lease.number else 1.0))
    assert told(firing) == ["DUE", "SEARCHING", "KEPT"]
    assert firing.reason.startswith("no test of trial 1 with ")
    assert "device budget of schedule flights for this night of 0.00111111 device-hours is used up" in firing.reason
    assert used_s(house, firing) == {"search": 6.0}
    [verdict] = house.store.verdicts("flights")
    assert (verdict.promoted, verdict.trial) == (False, 1)


def test_a_look_that_uses_the_budget_up_ends_the_night_with_the_reason() -> None:
    house = with_champion(budget={"device_hours_per_slice": 30 / 3600})
    firing = fire(house)
    drive_all(house.coordinator)
    look = house.lease(house.take())
    assert look is not None
    house.wait(30)
    drive_all(house.coordinator)
    firing = house.store.firing(firing.id)
    assert told(firing) == ["DUE", "LOOKING", "SKIPPED"]
    assert firing.reason.startswith("the look has no score, and nothing more may run: firing's device budget of")
    assert firing.state is FiringState.SKIPPED
    [study] = house.store.stage_studies([firing.id])
    assert (study.stage, study.state, study.device_s) == (Stage.LOOK, StudyState.DONE, 30.0)
