"""A space as arrays: it agrees with the space, and its distances mean something."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.domain.space import INACTIVE, Choice, Float, Int, Space
from coordinator.samplers.encoding import Box

EVERYTHING = Space(
    {
        "real": Float(-2, 5),
        "log": Float(1e-5, 1, log=True),
        "step": Float(0, 1, step=0.25),
        "whole": Int(3, 9),
        "logwhole": Int(1, 1000, log=True),
        "kind": Choice(("a", "b", "c")),
        "flag": Choice((True, False)),
        "fixed": Choice(("only",)),
        "under": Float(0, 1, when={"kind": ["a", "c"]}),
        "deeper": Int(1, 4, when={"flag": True, "kind": "c"}),
    }
)


@given(st.lists(st.lists(st.floats(0, 1), min_size=10, max_size=10), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_arrays_agree_with_the_space(vectors: list[list[float]]) -> None:
    box = Box(EVERYTHING)
    snapped = box.snapped(np.array(vectors))
    for row, vector in zip(snapped, vectors, strict=True):
        params = EVERYTHING.from_unit(vector)
        assert box.params(row) == pytest.approx(params)
        assert row == pytest.approx(EVERYTHING.to_unit(params), abs=1e-9)


def apart(box: Box, one: dict[str, Any], other: dict[str, Any]) -> float:
    """The distance between two configurations, as a model sees it."""
    x = box.encoded(np.array([box.space.to_unit(one), box.space.to_unit(other)]))
    return float(np.linalg.norm(x[0] - x[1]))


def test_what_the_model_sees_of_numbers_and_choices() -> None:
    box = Box(Space({"n": Int(0, 1), "flag": Choice((True, False)), "kind": Choice(("a", "b", "c"))}))
    first: dict[str, Any] = {"flag": True, "kind": "a", "n": 0}
    assert box.groups == (0, 1, 1, 1, 2)  # flag, three columns of kind, n
    assert apart(box, first, {**first, "n": 1}) == pytest.approx(0.5)  # the middles of two cells
    assert apart(box, first, {**first, "flag": False}) == pytest.approx(1.0)
    assert apart(box, first, {**first, "kind": "b"}) == pytest.approx(1.0)
    assert apart(box, first, {**first, "kind": "c"}) == pytest.approx(1.0)


def test_an_inactive_parameter_distorts_no_distance() -> None:
    box = Box(
        Space(
            {
                "kind": Choice(("a", "b", "c")),
                "under": Float(0, 1, when={"kind": "a"}),
                "way": Choice(("x", "y", "z"), when={"kind": "a"}),
            }
        )
    )
    active = [{"kind": "a", "under": u, "way": "x"} for u in (0.0, 0.1, 0.9)]
    # Two without the parameter differ by their kinds alone, and one without it is equally far from all that have it.
    assert apart(box, {"kind": "b"}, {"kind": "c"}) == pytest.approx(1.0)
    assert len({round(apart(box, {"kind": "b"}, each), 9) for each in active}) == 1
    # Active ones differ as they would in a space without conditions, and never less than those nearer to each other.
    assert apart(box, active[0], active[1]) == pytest.approx(0.1, rel=0.01)
    assert apart(box, active[0], active[2]) > apart(box, active[1], active[2]) > 0.6
    assert apart(box, active[0], {**active[0], "way": "z"}) == pytest.approx(1.0)


def test_an_inactive_parameter_lies_in_the_middle() -> None:
    under = Box(Space({"kind": Choice(("a", "b")), "x": Float(0, 1, when={"kind": "a"})}))
    assert under.snapped(np.array([[0.9, 0.2]]))[0, 1] == INACTIVE


def test_all_places_of_a_small_space() -> None:
    small = Space({"n": Int(1, 3), "kind": Choice(("a", "b")), "depth": Int(1, 2, when={"kind": "a"})})
    places = Box(small).all_places(9)
    assert places is not None
    assert {small.key(Box(small).params(place)) for place in places} == {small.key(p) for p in small.grid()}
    assert Box(small).all_places(8) is None
    assert Box(Space({"x": Float(0, 1)})).all_places(10**6) is None


def test_variations_stay_in_the_space_and_do_vary() -> None:
    box = Box(EVERYTHING)
    centres = box.snapped(np.random.default_rng(0).random((3, box.columns)))
    near = box.around(centres, 50, 0.05, np.random.default_rng(1))
    keys = {EVERYTHING.key(box.params(place)) for place in near}
    assert near.shape == (150, box.columns)
    assert len(keys) > 100
    assert near == pytest.approx(box.snapped(near))
