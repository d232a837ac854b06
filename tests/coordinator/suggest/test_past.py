"""A night starts from earlier ones, through the whole coordinator, and each of its suggestions can be made again."""

from typing import Any

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import CLOSED, Source, Stage, StudyRecord, TrialState
from celeriac.domain.study_file import parse
from celeriac.runtime.broker import CPU_QUEUE
from coordinator.schedules import fire_due
from coordinator.suggest.replay import replayed
from coordinator.turn import drive
from tests.coordinator.house import House
from tests.coordinator.test_schedules import AIRPORTS, SPEC, put_schedule

TRIALS = 9


def loss(params: dict[str, Any]) -> float:
    return float((params["lr"] - 0.06) ** 2 * 1000)


def run_one(house: House, study: StudyRecord) -> None:
    """One trial of this study."""
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    house.finish(lease, loss(dict(lease.params)))


def search_of(house: House) -> StudyRecord:
    """Tonight's search, after the look where the night begins with one."""
    study = house.store.studies()[0]
    house.mailbox.queues[CPU_QUEUE].clear()
    if study.stage is Stage.LOOK:
        run_one(house, study)
        drive(house.coordinator, study.id)
        study = house.store.studies()[0]
    assert study.stage is Stage.SEARCH
    return study


def nights(house: House, count: int, *, reproducible: bool = False, **changes: Any) -> list[StudyRecord]:
    """The searches of so many nights of one slice, run to their ends, the oldest first."""
    plan = {"name": "flights", "cron": "0 3 * * *", "slices": {"airport": ["JFK"]}, "always": True, **changes}
    own = {"study": "flights", "budget": {"trials": TRIALS}, "reproducible": reproducible}
    spec = parse({**SPEC, **own, "schedule": plan})
    put_schedule(house, slices=AIRPORTS[:1], spec=spec.to_dict())
    found = []
    for _ in range(count):
        fire_due(house.store, house.mailbox)
        study = search_of(house)
        house.mailbox.queues[CPU_QUEUE].clear()
        for _ in range(TRIALS):
            run_one(house, study)
        drive(house.coordinator, study.id)
        for other in house.store.studies():  # a confirmation, which is of no interest here
            if other.state not in CLOSED:
                house.store.move_study(other.id, StudyEvent.STOP, "enough")
                drive(house.coordinator, other.id)
        found.append(house.store.study(study.id))
        house.wait(86_400)
    return found


def stages(house: House, study: StudyRecord) -> list[Stage | None]:
    """Of the firing that this study is of."""
    assert study.firing_id is not None
    return [each.stage for each in house.store.stage_studies([study.firing_id])]


@pytest.mark.parametrize("always", [True, False])
def test_a_night_starts_from_the_nights_before(always: bool) -> None:
    house = House(slots=1)
    first, second = nights(house, 2, always=always)
    store = house.store
    assert (stages(house, second)[0] is Stage.LOOK) is not always
    assert {trial.source for trial in store.trials(first.id)} == {Source.DEFAULT, Source.SUGGESTED}
    assert all(not trial.provenance.earlier for trial in store.trials(first.id))
    tonight = store.trials(second.id)
    best = store.trial(first.id, first.best_number or 0)
    assert [trial.source for trial in tonight[:1]] == [Source.DEFAULT]
    assert (tonight[1].source, tonight[1].params) == (Source.PRIOR, best.params)
    assert str(tonight[1].provenance.reason).startswith(f"the best of the last night: trial {best.number} of flights/")
    suggested = [trial for trial in tonight if trial.source is Source.SUGGESTED]
    assert len(suggested) == TRIALS - 2
    assert all(trial.provenance.earlier == ((first.id, 1, False, TRIALS),) for trial in suggested)
    assert any(trial.why.get("counted") == [first.id] and trial.why["weight"] > 0 for trial in suggested)


@pytest.mark.parametrize("always", [True, False])
def test_every_suggestion_of_a_warm_night_is_made_again_from_its_rows(always: bool) -> None:
    house = House(slots=1)
    *_, last = nights(house, 3, always=always)
    assert (stages(house, last)[0] is Stage.LOOK) is not always
    for trial in house.store.trials(last.id):
        if trial.source is Source.SUGGESTED:
            assert replayed(house.store, last.id, trial.number) == trial.params, trial.number


@pytest.mark.parametrize("always", [True, False])
def test_a_coordinator_that_restarts_starts_from_the_same_past(always: bool) -> None:
    house = House(slots=1)
    [first] = nights(house, 1, always=always)
    fire_due(house.store, house.mailbox)
    study = search_of(house)
    house.mailbox.queues[CPU_QUEUE].clear()
    for _ in range(5):
        run_one(house, study)
        house.restart()
    found = [trial for trial in house.store.trials(study.id) if trial.state is TrialState.SCORED]
    assert [trial.provenance.earlier for trial in found[2:]] == [((first.id, 1, False, TRIALS),)] * 3


def test_a_file_that_says_no_starts_each_night_anew() -> None:
    house = House(slots=1)
    _, second = nights(house, 2, warm_start=False)
    assert {trial.source for trial in house.store.trials(second.id)} == {Source.DEFAULT, Source.SUGGESTED}
