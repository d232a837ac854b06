"""Device budgets of a night, on the coordinator's own path: searches end with the reason, the night with it too."""

from celeriac.domain.records import StudyState
from coordinator.turn import drive
from tests.coordinator.house import House, open_study


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
