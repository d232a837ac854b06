"""Nights whose space changes between them: what the champion is then, and what a learned space keeps."""

from dataclasses import replace

from celeriac.domain.records import FiringState, Lease, Source
from celeriac.store.api import AttemptEnd
from tests.coordinator.nightlife import (
    BETTER,
    BLOCKS,
    DEFAULT_LR,
    by_lr,
    failed,
    house_with,
    scored,
    told,
    whole_night,
    with_champion,
    with_spec,
)


def test_a_champion_outside_a_changed_space_is_not_looked_at() -> None:
    house = with_champion()
    [champion] = house.store.champions("flights")
    narrow = {"lr": {"float": [1.1 * champion.params["lr"], 1e-1]}}
    house.store.put_schedule(with_spec(house.store.schedule("flights"), space=narrow, default={"lr": 0.09}))
    firing = whole_night(house, BETTER)
    assert told(firing)[:2] == ["DUE", "SEARCHING"]
    assert "not in the space any more" in firing.steps[1]["reason"]
    added = {"lr": {"float": [1e-4, 1e-1], "log": True}, "depth": {"int": [1, 4]}}
    house.store.put_schedule(with_spec(house.store.schedule("flights"), space=added, default=None))
    assert "depth: is missing" in whole_night(house, BETTER).steps[1]["reason"], "nobody knows what it was before"


def test_a_champion_is_carried_into_a_space_that_gained_and_lost_parameters() -> None:
    house = with_champion()
    [champion] = house.store.champions("flights")
    schedule = house.store.schedule("flights")
    space = {"lr": {"float": [1e-4, 1e-1], "log": True}, "depth": {"int": [1, 4]}}
    house.store.put_schedule(with_spec(schedule, space=space, default={"lr": DEFAULT_LR, "depth": 2}))
    firing = whole_night(house, BETTER)
    assert "moved into tonight's space) runs on tonight's data first" in firing.steps[1]["reason"]
    [look, *_] = house.store.stage_studies([firing.id])
    assert house.store.trials(look.id)[0].params == {"lr": champion.params["lr"], "depth": 2}
    assert not house.store.verdicts("flights")[0].awaits
    assert house.store.champions("flights") == [champion]


def test_a_space_that_is_learned_goes_on_from_night_to_night_with_its_champion() -> None:
    house = house_with()
    learns = {"api": "optuna", "learn_space": True, "space": None, "default": None}
    house.store.put_schedule(with_spec(house.store.schedule("flights"), **learns))

    def asks(lease: Lease) -> AttemptEnd:
        """As an objective written for Optuna: what it was given, or what it draws; the larger lr the better."""
        asked = {"lr": lease.params.get("lr", (1 + lease.number) / 100)}
        house.store.learn_space(lease.token, asked, {"lr": {"float": [0.01, 0.1]}})
        luck = 0.001 * ((lease.seed or lease.number) % 7)
        level = 0.5 - asked["lr"] + luck
        return scored(level, tuple(level + 0.001 * block for block in range(BLOCKS)))

    assert whole_night(house, asks).state is FiringState.PROMOTED
    [champion] = house.store.champions("flights")
    second = whole_night(house, asks)
    assert "runs on tonight's data first" in second.steps[1]["reason"], "it is no stranger in an empty space"
    [look, *_] = house.store.stage_studies([second.id])
    assert house.store.trials(look.id)[0].params == champion.params
    row = house.store.schedule("flights")
    always = {**row.spec, "schedule": {**row.spec["schedule"], "always": True}}
    house.store.put_schedule(replace(row, spec=always))
    [search, *_] = house.store.stage_studies([whole_night(house, asks).id])
    assert search.spec["space"] == {"lr": {"float": [0.01, 0.1]}}
    [first, suggested, *_] = house.store.trials(search.id)
    assert (first.source, first.params) == (Source.CHAMPION, champion.params)
    assert "lr" in suggested.params, "not left to the objective's own draw"
    assert not house.store.verdicts("flights")[0].awaits


def test_a_contender_that_fails_in_a_later_night_waits_no_more() -> None:
    house = house_with()
    few = by_lr(0.1, blocks=3)
    assert "a second night must agree" in whole_night(house, few).reason

    def fails(lease: Lease) -> AttemptEnd:
        return failed(detail="KeyError: 'depth'") if lease.source is Source.CHALLENGER else few(lease)

    assert "the contender (trial" in whole_night(house, fails).reason
    again = whole_night(house, few)
    assert "SEARCHING" in told(again), "the night does not end with the same contender again"


def test_a_contender_is_carried_into_a_changed_space_or_waits_no_more() -> None:
    house = house_with()
    few = by_lr(0.1, blocks=3)
    whole_night(house, few)
    [waiting] = house.store.verdicts("flights")
    space = {"lr": {"float": [1e-4, 1e-1], "log": True}, "depth": {"int": [1, 4]}}
    changed = with_spec(house.store.schedule("flights"), space=space, default={"lr": DEFAULT_LR, "depth": 2})
    house.store.put_schedule(changed)
    firing = whole_night(house, few)
    confirm = house.store.stage_studies([firing.id])[-1]
    params = [each.params for each in house.store.trials(confirm.id) if each.source is Source.CHALLENGER]
    assert params == [{"lr": waiting.params["lr"], "depth": 2}] * len(params)
    assert firing.state is FiringState.PROMOTED
