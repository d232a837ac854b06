"""Suggestions for packs have the shape of the first of their group, and are the best points that have it."""

from typing import Any

import pytest

from celeriac.domain.records import Source
from celeriac.domain.space import Choice, Float, Int, Space
from celeriac.domain.study_file import StudySpec, parse
from coordinator.samplers.api import Kind, Observation, Point, Proposal, proposed
from coordinator.suggest.shapes import ask_in_shapes

SPACE = Space(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "decay": Float(0.0, 1.0),
        "width": Int(8, 64, shape=True),
        "depth": Choice((1, 2), shape=True),
        "skip": Choice((True, False), when={"depth": 2}, shape=True),
    }
)


def spec(sampler: str, pack: int = 4, space: Space = SPACE) -> StudySpec:
    form = {"study": "s", "objective": "m:f", "metric": {"goal": "minimize"}, "space": space, "budget": {"trials": 99}}
    return parse({**form, "sampler": sampler, "pack": pack, "seed": 3})


def shape(params: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(params.get(name) for name in ("width", "depth", "skip"))


def seen(count: int) -> list[Observation]:
    """Trials that ended, with losses that a model can learn."""
    found = []
    for number, each in enumerate(ask_in_shapes("random", spec("random", 1), [], [], count)):
        point = proposed(SPACE, each.params, number)
        found.append(Observation(point, Kind.FINISHED, loss=abs(each.params["decay"] - 0.3)))
    return found


@pytest.mark.parametrize("sampler", ["random", "sobol", "grid", "bayesian", "forest"])
def test_each_group_has_one_shape(sampler: str) -> None:
    known = seen(12)
    found = ask_in_shapes(sampler, spec(sampler), known, [], 8)
    assert len(found) == 8
    for group in (found[:4], found[4:]):
        assert len({shape(each.params) for each in group}) == 1
        assert group[0].how.get("shape_of_trial") is None
    assert {each.how["shape_of_trial"] for each in found[1:4]} == {12}
    assert len({SPACE.key(each.params) for each in found}) == 8


def test_a_group_goes_on_with_the_shape_that_it_began_with() -> None:
    lead = {"lr": 0.1, "decay": 0.2, "width": 33, "depth": 2, "skip": True}
    ended = [Observation(Point(0, lead, tuple(SPACE.to_unit(lead)), SPACE.key(lead), Source.DEFAULT), Kind.VOID)]
    found = ask_in_shapes("bayesian", spec("bayesian"), ended, [], 5)
    assert [shape(each.params) == (33, 2, True) for each in found[:3]] == [True] * 3
    assert found[3].how.get("shape_of_trial") is None, "trial 4 leads the next group"


def test_the_model_finds_the_optimum_within_the_shape() -> None:
    found = ask_in_shapes("bayesian", spec("bayesian", 8), seen(16), [], 8)
    assert max(abs(each.params["decay"] - 0.3) for each in found) < 0.1
    assert len({SPACE.key(each.params) for each in found}) == 8


def test_where_a_shape_has_no_further_point_the_next_is_free() -> None:
    few = Space({"x": Choice((1, 2)), "width": Int(1, 3, shape=True)})
    found: list[Proposal] = ask_in_shapes("grid", spec("grid", 4, few), [], [], 6)
    assert sorted((each.params["width"], each.params["x"]) for each in found) == [
        (w, x) for w in (1, 2, 3) for x in (1, 2)
    ]
    assert ask_in_shapes("grid", spec("grid", 4, few), [], [], 99)[:6] == found
