"""What other libraries are told of a study, and that they make of it what they would have made themselves."""

import math
import random
import warnings
from collections.abc import Iterator
from statistics import mean, median
from typing import Any

import numpy as np
import optuna
import pytest

from celeriac.domain.records import Fault
from celeriac.domain.space import INACTIVE, Choice, Float, Int, Space
from coordinator.adapters import optuna as adapter
from coordinator.adapters.numbered import number_of, value_of
from coordinator.samplers import sampler_for
from coordinator.samplers.api import Kind, Observation, Point, proposed
from coordinator.samplers.dedupe import untried_near
from coordinator.samplers.encoding import Box
from coordinator.samplers.targets import targets_of
from tests.coordinator.problems import MIXED_SPACE, Objective, mixed, simulate

SPHERE = Space({"x": Float(-4, 6), "y": Float(-6, 4)})


def sphere(params: Any) -> float:
    return float(params["x"] ** 2 + params["y"] ** 2)


@pytest.fixture(autouse=True)
def _deaf() -> Iterator[None]:
    """As in the process that adapters run in: their libraries' own warnings are nobody's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ends(space: Space, objective: Objective, count: int, seed: int = 1) -> list[Observation]:
    rng = random.Random(seed)
    points = [proposed(space, space.sample(rng), number) for number in range(count)]
    return [Observation(point, Kind.FINISHED, objective(point.params)) for point in points]


def end(kind: Kind, loss: float | None = None, **changes: Any) -> Observation:
    point = Point(0, {"x": 1.0, "y": 2.0}, (0.5, 0.8), "", MIXED_POINT.source)
    return Observation(point, kind, loss, **changes)


MIXED_POINT = proposed(MIXED_SPACE, MIXED_SPACE.sample(random.Random(1)), 0)


@pytest.mark.parametrize("option", ["TPESampler", "CmaEsSampler"])
@pytest.mark.parametrize(
    ("observation", "state", "value", "rungs"),
    [
        (end(Kind.FINISHED, 0.25), "COMPLETE", 0.25, {}),
        (end(Kind.PRIOR, 0.25, noise=0.1), "COMPLETE", 0.25, {}),
        (end(Kind.PRUNED, 0.5, rungs=((1, 0.9), (3, 0.5))), "PRUNED", 0.5, {1: 0.9, 3: 0.5}),
        (end(Kind.PRUNED, 0.5), "PRUNED", 0.5, {0: 0.5}),
        (end(Kind.INFEASIBLE, fault=Fault.OUT_OF_MEMORY), "COMPLETE", math.inf, {}),
        (end(Kind.FINISHED, math.nan), "COMPLETE", math.inf, {}),
    ],
)
def test_what_optuna_is_told(
    option: str, observation: Observation, state: str, value: float, rungs: dict[int, float]
) -> None:
    past = adapter._Past(option, SPHERE, 7)
    past.read_on([observation])
    [found] = past._study.trials
    assert (found.state.name, found.value, found.intermediate_values) == (state, value, rungs)
    assert found.params == {"x": 1.0, "y": 2.0}


def test_what_says_nothing_is_told_only_where_its_turn_counts() -> None:
    for option, expected in (("TPESampler", []), ("QMCSampler", ["FAIL"])):
        past = adapter._Past(option, SPHERE, 7)
        past.read_on([end(Kind.VOID)])
        assert [each.state.name for each in past._study.trials] == expected


def test_pending_trials_run_in_the_copy_and_never_in_the_past() -> None:
    pending = [proposed(MIXED_SPACE, MIXED_SPACE.sample(random.Random(n)), 5 + n) for n in range(3)]
    for option in ("TPESampler", "CmaEsSampler"):
        past = adapter._Past(option, MIXED_SPACE, 7)
        past.read_on(ends(MIXED_SPACE, mixed, 5))
        present = past.present(pending)
        present.asked(8)
        states = [each.state.name for each in present._study.trials]
        assert states == ["COMPLETE"] * 5 + ["RUNNING"] * 4
        assert set(present._study.trials[5].params) == set(pending[0].params)
        assert [each.state.name for each in past._study.trials] == ["COMPLETE"] * 5


def test_those_that_remember_note_it_with_every_trial() -> None:
    past = adapter._Past("CmaEsSampler", SPHERE, 7)
    past.read_on(ends(SPHERE, sphere, 30))
    generations = [each.system_attrs.get("cma:generation") for each in past._study.trials]
    assert generations[:2] == [None, 0]  # it does not look at the space before one trial is there
    assert generations == [None, *sorted(generations[1:])]
    assert generations[-1] >= 3


@pytest.mark.parametrize("option", ["TPESampler", "CmaEsSampler", "NSGAIISampler", "QMCSampler"])
def test_the_kept_past_is_only_a_cache(option: str) -> None:
    known = ends(MIXED_SPACE, mixed, 70)
    read_on = [adapter.suggest(option, MIXED_SPACE, known[:count], [], 2, 7) for count in (20, 45, 70)][-1]
    adapter._pasts.clear()
    assert adapter.suggest(option, MIXED_SPACE, known, [], 2, 7) == read_on
    # Another order of the ends is another past.
    adapter.suggest(option, MIXED_SPACE, known[::-1], [], 1, 7)
    assert adapter.suggest(option, MIXED_SPACE, known, [], 2, 7) == read_on
    assert len(adapter._pasts) <= adapter.MOST_PASTS


def test_tpe_behind_the_seam_is_as_good_as_tpe_alone() -> None:
    def alone(seed: int) -> float:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        study.optimize(lambda t: sphere({n: t.suggest_float(n, -6, 6) for n in "xy"}), n_trials=50)
        return float(study.best_value)

    def behind(seed: int) -> float:
        ran = simulate(sampler_for("optuna:TPESampler"), SPHERE, sphere, 50, seed)
        return min(o.loss for o in ran if o.loss is not None)

    assert median(behind(seed) for seed in range(5)) < 3 * median(alone(seed) for seed in range(5))


@pytest.mark.parametrize(("option", "ratio"), [("CmaEsSampler", 0.2), ("NSGAIISampler", 0.7)])
def test_generations_follow_one_another(option: str, ratio: float) -> None:
    ran = simulate(sampler_for(f"optuna:{option}"), SPHERE, sphere, 200, 3, behind=3)
    losses = [o.loss for o in ran if o.loss is not None]
    assert mean(losses[-50:]) < ratio * mean(losses[:50])


@pytest.mark.parametrize("name", ["forest", "skopt", "botorch", "optuna:TPESampler"])
def test_a_region_where_trials_fail_is_left(name: str) -> None:
    known = [
        Observation(o.point, Kind.INFEASIBLE, fault=Fault.OUT_OF_MEMORY) if o.point.params["x"] > 0 else o
        for o in ends(SPHERE, sphere, 30)
    ]
    made = sampler_for(name)(SPHERE, known, [], 3, 7)
    assert sum(proposal.params["x"] > 1 for proposal in made) <= 1


def test_values_by_number_come_back_as_they_were() -> None:
    space = Space(
        {
            "kind": Choice((1, True, None, "a", 1.5)),
            "step": Float(0.1, 0.7, step=0.2),
            "n": Int(-3, 9, step=3),
            "wide": Int(1, 1000, log=True),
            "x": Float(1e-3, 1.0, log=True),
        }
    )
    rng = random.Random(4)
    for _ in range(50):
        params = space.sample(rng)
        back = {n: value_of(space.parameters[n], number_of(space.parameters[n], v)) for n, v in params.items()}
        assert space.key(back) == space.key(params)
        assert [type(back[n]) for n in params] == [type(v) for v in params.values()]
    assert value_of(space.parameters["wide"], np.int64(1001)) == 1000
    assert type(value_of(space.parameters["x"], np.float64(0.5))) is float


def test_skopt_is_told_the_middle_for_what_is_not_active() -> None:
    from coordinator.adapters.skopt import _Asked

    known = targets_of(ends(MIXED_SPACE, mixed, 12), 150, 7)
    assert known is not None
    asked = _Asked(MIXED_SPACE, known, [], 7)
    adam = {"layers": 2, "lr": 0.01, "optimizer": "adam", "width": 64}
    assert asked._row(adam) == [1, 0.01, 1, 0.745, 64]  # columns by name: momentum lies in the middle
    assert asked._params(asked._row(adam)) == adam


def test_botorch_climbs_along_what_is_continuous_and_active_only() -> None:
    from coordinator.adapters.botorch import _Features, _Fitted

    known = targets_of(ends(MIXED_SPACE, mixed, 25), 150, 7)
    assert known is not None
    box, features = Box(MIXED_SPACE), _Features(MIXED_SPACE)
    places = box.snapped(np.random.default_rng(2).random((6, box.columns)))
    seen = features(places)
    assert seen.shape == (6, features.columns) == (6, 7)
    assert [column for column, _ in features.continuous] == [1, 3]  # lr, and momentum
    fitted = _Fitted(MIXED_SPACE, known, [], 7)
    acquisition = fitted._acquisition(3)
    moved = fitted._refined(acquisition, places)
    assert (moved[:, [0, 2, 4]] == places[:, [0, 2, 4]]).all()
    assert ((moved[:, 3] == INACTIVE) == (places[:, 3] == INACTIVE)).all()
    assert (fitted._gain(acquisition, moved) >= fitted._gain(acquisition, places) - 1e-9).all()
    assert (fitted._gain(acquisition, moved) > fitted._gain(acquisition, places)).any()


def test_the_point_instead_of_one_that_was_had_is_near_it() -> None:
    space = Space({"a": Int(1, 60), "b": Int(1, 60), "c": Choice(("x", "y"))})
    had = {"a": 30, "b": 30, "c": "x"}
    found = untried_near(space, had, {space.key(had)}, 7, 5)
    assert found is not None
    assert found[0] != had
    assert found[1] == "the nearest untried point"
    assert abs(found[0]["a"] - 30) <= 10
    assert abs(found[0]["b"] - 30) <= 10
    assert untried_near(space, had, {space.key(p) for p in space.grid()}, 7, 5) is None
