"""The model that knows earlier nights: it learns from those that agree with tonight, and from no others."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from celeriac.domain.records import Source
from celeriac.domain.space import Space
from coordinator.samplers import bayesian, chained
from coordinator.samplers.api import Kind, Observation, Point, Proposal, dice
from coordinator.samplers.earlier import EarlierStudy
from coordinator.samplers.encoding import Box

SPACE = Space.from_dict({"x": {"float": [0, 1]}, "y": {"float": [0, 1]}, "kind": {"choice": ["a", "b", "c"]}})

Loss = Callable[[dict[str, Any]], float]


def bowl(params: dict[str, Any]) -> float:
    off = {"a": 1.0, "b": 0.0, "c": 0.4}[params["kind"]]
    return float((params["x"] - 0.72) ** 2 + 2 * (params["y"] - 0.31) ** 2 + off)


def seen(number: int, params: dict[str, Any], loss: float, space: Space = SPACE) -> Observation:
    point = Point(number, params, tuple(space.to_unit(params)), space.key(params), Source.SUGGESTED)
    return Observation(point, Kind.FINISHED, loss=loss)


def night(
    loss: Loss, gap: int = 1, *, trials: int = 25, sister: bool = False, study: int = 1, space: Space = SPACE
) -> EarlierStudy:
    drawn = [space.sample(dice(gap, number, "past")) for number in range(trials)]
    return EarlierStudy(study, gap, sister, tuple(seen(k, p, loss(p), space) for k, p in enumerate(drawn)))


def searched(loss: Loss, earlier: tuple[EarlierStudy, ...], trials: int, seed: int = 3) -> list[tuple[Proposal, float]]:
    observations: list[Observation] = []
    found = []
    for number in range(trials):
        [proposal] = bayesian.suggest(SPACE, observations, [], 1, seed, earlier)
        value = loss(proposal.params)
        found.append((proposal, value))
        observations.append(seen(number, proposal.params, value))
    return found


def test_a_past_that_agrees_finds_the_optimum_at_once() -> None:
    warm = searched(bowl, (night(bowl),), 6)
    cold = searched(bowl, (), 6)
    assert min(value for _, value in warm) < 0.02
    assert min(value for _, value in warm) < 0.2 * min(value for _, value in cold)
    assert [proposal.how["by"] for proposal, _ in warm[:2]] == ["latin hypercube", "log expected improvement"]
    assert warm[5][0].how["weight"] > 0.0
    assert warm[5][0].how["counted"] == [1]
    assert warm[5][0].how["kept_earlier"] == 25


def test_a_nights_unit_and_level_do_not_matter() -> None:
    def in_other_units(params: dict[str, Any]) -> float:
        return 4096.0 * bowl(params) - 70_000.0

    here = searched(bowl, (night(bowl), night(bowl, 2, study=2)), 8)
    there = searched(bowl, (night(in_other_units), night(in_other_units, 2, study=2)), 8)
    for (one, _), (other, _) in zip(here, there, strict=True):
        assert one.params["kind"] == other.params["kind"]
        assert one.params["x"] == pytest.approx(other.params["x"], abs=1e-3)


def test_a_past_that_misleads_is_soon_not_used_and_the_night_goes_on_as_a_cold_one() -> None:
    found = searched(bowl, (night(lambda params: -bowl(params)),), 14)
    cold = searched(bowl, (), 14)
    assert [proposal.params for proposal, _ in found[2:10]] == [proposal.params for proposal, _ in cold[2:10]]
    assert [proposal.how["by"] for proposal, _ in found[2:10]] == ["latin hypercube"] * 8
    assert all("weight" not in proposal.how for proposal, _ in found[3:])
    assert min(value for _, value in found) < 0.05


def test_a_past_without_any_order_is_not_used_at_all() -> None:
    points = [dict(o.point.params) for o in night(bowl).observations]
    losses = [bowl(params) for params in points]
    dice(0, 0, "shuffle").shuffle(losses)
    shuffled = EarlierStudy(
        1, 1, False, tuple(seen(k, p, v) for k, (p, v) in enumerate(zip(points, losses, strict=True)))
    )
    assert chained.Chained(SPACE, (), (shuffled,), (), 0).weight == 0.0
    assert chained.Chained(SPACE, (), (night(bowl),), (), 0).weight > 0.0
    few = replace(night(bowl), observations=shuffled.observations[: chained.RATHER_FEW - 1])
    assert chained.Chained(SPACE, (), (few,), (), 0).weight > 0.0


@pytest.mark.parametrize("past", [bowl, lambda params: -bowl(params)], ids=["agrees", "misleads"])
def test_no_trial_of_the_model_is_close_to_another_one(past: Loss) -> None:
    found = searched(bowl, (night(past),), 25)
    box = Box(SPACE)
    x = box.encoded(box.units([tuple(SPACE.to_unit(proposal.params)) for proposal, _ in found]))
    for number in range(10, 25):
        apart = chained.APART * number ** (-1.0 / 3.0)
        assert np.sqrt(((x[:number] - x[number]) ** 2).sum(axis=1).min()) >= apart - 1e-9


def test_from_the_tenth_trial_on_every_second_one_is_searched_by_tonights_trials_alone() -> None:
    earlier = (night(bowl),)
    found = [proposal for proposal, _ in searched(bowl, earlier, 16)]
    assert [number for number, each in enumerate(found) if "weight" not in each.how] == [0, 10, 12, 14]
    assert all(found[number].how["by"] == "log expected improvement" for number in (10, 12, 14))


def test_trials_of_one_call_are_those_of_calls_one_by_one() -> None:
    earlier = (night(bowl),)
    observations = [seen(k, p.params, v) for k, (p, v) in enumerate(searched(bowl, earlier, 9))]
    together = bayesian.suggest(SPACE, observations, [], 4, 3, earlier)
    pending: list[Point] = []
    for number, each in enumerate(together, 9):
        [alone] = bayesian.suggest(SPACE, observations, pending, 1, 3, earlier)
        assert alone == each
        key = SPACE.key(each.params)
        pending.append(Point(number, each.params, tuple(SPACE.to_unit(each.params)), key, Source.SUGGESTED))


def test_a_small_space_is_used_up_all_the_same() -> None:
    space = Space.from_dict({"x": {"float": [0, 1], "step": 0.02}})
    earlier = night(lambda params: params["x"], space=space)
    observations: list[Observation] = []
    for number in range(51):
        [proposal] = bayesian.suggest(space, observations, [], 1, 3, (earlier,))
        observations.append(seen(number, proposal.params, proposal.params["x"], space))
    assert len({o.point.key for o in observations}) == 51


def test_a_sister_counts_only_while_it_ranks_tonight_right() -> None:
    own, wrong = night(bowl), night(lambda params: -bowl(params), sister=True, study=9)
    right = night(bowl, 2, sister=True, study=8)
    tonight = [seen(k, p, bowl(p)) for k, p in enumerate(SPACE.sample(dice(9, k, "tonight")) for k in range(6))]
    model = chained.Chained(SPACE, tonight, (own, wrong, right), (), 0)
    assert model.weight > 0.0
    best = model.best(6, set())
    assert best is not None
    assert best.how["counted"] == [1, 8]
    assert chained.Chained(SPACE, tonight, (wrong,), (), 0).weight == 0.0
    assert chained.Chained(SPACE, tonight[:2], (wrong,), (), 0).weight == 0.0  # two are enough to tell


def test_the_same_rows_give_the_same_points_whatever_was_asked_before() -> None:
    earlier = (night(bowl), night(bowl, 2, study=2))
    first = [proposal.params for proposal, _ in searched(bowl, earlier, 15)]
    searched(bowl, (night(bowl, 3),), 9)
    copied = tuple(replace(each) for each in earlier)
    assert [proposal.params for proposal, _ in searched(bowl, copied, 15)] == first
    chained._known.clear()
    assert [proposal.params for proposal, _ in searched(bowl, earlier, 15)] == first


def test_points_in_parallel_differ_and_come_before_any_score() -> None:
    earlier = (night(bowl),)
    found = bayesian.suggest(SPACE, [], [], 6, 1, earlier)
    assert len({SPACE.key(each.params) for each in found}) == 6
    assert "mean" not in found[0].how
    pending = [
        Point(k, each.params, tuple(SPACE.to_unit(each.params)), SPACE.key(each.params), Source.SUGGESTED)
        for k, each in enumerate(found)
    ]
    [more] = bayesian.suggest(SPACE, [], pending, 1, 1, earlier)
    assert SPACE.key(more.params) not in {each.key for each in pending}


def test_a_past_without_scores_is_no_past() -> None:
    void = EarlierStudy(1, 1, False, tuple(replace(o, kind=Kind.VOID, loss=None) for o in night(bowl).observations))
    assert [p.how["by"] for p, _ in searched(bowl, (void,), 3)] == ["latin hypercube"] * 3
