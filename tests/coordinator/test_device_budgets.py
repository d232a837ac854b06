"""Device budgets of a night, on the coordinator's own path: searches end with the reason, the night with it too."""

from celeriac.domain.records import StudyState
from coordinator.turn import drive
from tests.coordinator.house import LEASE_S, TICK_S, House, open_study


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
