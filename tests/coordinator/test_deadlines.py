"""A tick announces a deadline that cannot be met before it passes, once, in the firing's life."""

from datetime import timedelta

from celeriac.domain.firing_moves import FiringMove, StageOpening
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import NewStudy, Stage
from celeriac.domain.study_file import parse
from coordinator.turn import drive, drive_all
from tests.coordinator.house import House


def test_a_deadline_that_cannot_be_met_is_announced_before_it_passes() -> None:
    house = House(slots=1)
    plan = {"name": "n", "cron": "0 2 * * *", "timezone": "UTC", "deadline": 3600.0}
    spec = parse(
        {
            "study": "n-1",
            "objective": "none:none",
            "metric": {"name": "loss", "goal": "minimize"},
            "space": {"x": {"float": [0, 1]}},
            "sampler": "random",
            "budget": {"trials": 100},
            "schedule": plan,
        }
    )
    new = NewStudy("n-1", spec.to_dict(), "minimize", schedule="n", due_at=house.store.now())
    firing = house.store.fire(house.store.now(), new)
    assert firing is not None
    opening = StageOpening(Stage.SEARCH, house.store.firing_plan(firing.id))
    study_of = NewStudy(**{**{f: getattr(opening.study, f) for f in opening.study.__slots__}, "stage": Stage.SEARCH})
    house.store.move_firing(
        firing.id, 0, FiringMove(FiringEvent.SEARCH, "it searches", StageOpening(Stage.SEARCH, study_of))
    )
    [study] = house.store.stage_studies([firing.id])
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    drive_all(house.coordinator)
    assert not any(step.get("late") for step in house.store.firing(firing.id).steps)  # nobody knows yet
    house.finish(lease, 0.5, device_s=60.0)
    for _ in range(2):
        house.clock.now += timedelta(seconds=5)
        drive_all(house.coordinator)
    told = house.store.firing(firing.id)
    assert [step for step in told.steps if step.get("late")] == [told.steps[-1]]
    assert "will be missed: 99 trials of 60 s on 1 slot take 99 min" in told.reason
    assert "3 slots would do, or a budget of" in told.reason
