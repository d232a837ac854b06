"""The space as a whole: what it refuses, what fits it, its unit box, its grid and its keys."""

import copy
import json
import math
import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.domain.space import INACTIVE, Choice, Float, Int, Parameter, Space
from tests.celeriac.domain.space.spaces import ADAM, DIGITS, SGD, many, problems_of, seeds, spaces


def test_all_problems_are_told_at_once() -> None:
    found = problems_of(Space, {"lr": Float(1, 0), "width": Int(0, 9, log=True), "2nd": Int(0, 1), "z": 3})
    assert [problem.partition(":")[0] for problem in found] == ["lr.float", "width.int", "'2nd'", "z"]


@pytest.mark.parametrize("content", [{}, None, [("lr", Float(0, 1))], {f"p{i}": Int(0, 1) for i in range(201)}])
def test_a_space_is_a_mapping_of_some_parameters(content: Any) -> None:
    assert len(problems_of(Space, content)) == 1


def test_validate_writes_values_as_the_space_does() -> None:
    stored = {**SGD, "width": 64.0, "momentum": 0.99 + 1e-12, "damping": 0.1 + 0.2}
    values = DIGITS.validate(stored)
    assert values == {**SGD, "momentum": 0.99, "damping": 0.3}
    assert type(values["width"]) is int
    option = Space({"x": Choice((10_000.0, True, 1))}).validate({"x": 10_000})["x"]
    assert type(option) is float  # a JSON database gives 10000 for 1e4; the option comes back as declared


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lr": 0.2}, "lr: 0.2 is outside [0.0001, 0.1]"),
        ({"lr": math.nan}, "lr: needs a finite number, not nan"),
        ({"lr": True}, "lr: needs a finite number, not True"),
        ({"lr": "0.01"}, "lr: needs a finite number, not '0.01'"),
        ({"width": 64.5}, "width: needs a whole number, not 64.5"),
        ({"width": True}, "width: needs a whole number, not True"),
        ({"optimizer": "adamw"}, "optimizer: 'adamw' is not an option of ['sgd', 'adam']"),
        ({"optimizer": ["sgd"]}, "optimizer: ['sgd'] is not an option"),
        ({"nesterov": 0}, "nesterov: 0 is not an option of [False, True]"),
        ({"damping": 0.25}, "damping: 0.25 is not on the grid of step 0.1 (nearest: 0."),
        ({"widht": 3}, "widht: is no parameter of this space; did you mean 'width'?"),
    ],
)
def test_validate_names_the_parameter_that_does_not_fit(change: dict[str, Any], says: str) -> None:
    (problem,) = problems_of(DIGITS.validate, {**SGD, **change})
    assert problem.startswith(says)


def test_validate_refuses_the_inactive_the_missing_and_what_is_no_mapping() -> None:
    assert problems_of(DIGITS.validate, {**ADAM, "momentum": 0.9}) == [
        "momentum: is not active here (only when optimizer is 'sgd'); leave it out"
    ]
    assert problems_of(DIGITS.validate, {"optimizer": "sgd", "nesterov": True}) == [
        "lr: is missing",
        "momentum: is missing",
        "width: is missing",
    ]
    assert "must be a mapping" in problems_of(DIGITS.validate, [1])[0]


def test_places_in_the_unit_box() -> None:
    assert DIGITS.to_unit(ADAM)[1:5] == [0.75, INACTIVE, INACTIVE, INACTIVE]
    box = Space({"a": Float(1e-4, 1e-2, log=True), "b": Int(0, 4, step=2), "c": Choice(("x", "y", "z", None))})
    assert box.to_unit({"a": 1e-3, "b": 2, "c": "z"}) == pytest.approx([0.5, 0.5, 0.625])
    assert box.from_unit([0.0, 0.0, 0.0]) == {"a": 1e-4, "b": 0, "c": "x"}
    assert box.from_unit([1.0, 1.0, 1.0]) == {"a": 1e-2, "b": 4, "c": None}
    assert box.from_unit([-3.0, 7.0, 1.5]) == {"a": 1e-4, "b": 4, "c": None}


def test_a_vector_must_have_the_boxs_columns_and_no_nan() -> None:
    assert "6 columns, the vector 2" in problems_of(DIGITS.from_unit, [0.1, 0.2])[0]
    assert problems_of(DIGITS.from_unit, [math.nan] * 6) == ["lr: NaN is no place in the unit box"]


def test_sampling_is_uniform_over_options_and_repeats_with_its_seed() -> None:
    space = Space({"c": Choice((1, 2, 3, 4)), "i": Int(0, 4)})
    rng = random.Random(0)
    drawn = [space.sample(rng) for _ in range(2000)]
    for number in range(5):
        assert 300 < sum(params["i"] == number for params in drawn) < 500
    assert drawn[0] == space.sample(random.Random(0))


def test_the_grid_of_floats_is_lazy_and_has_both_ends() -> None:
    space = Space({"lr": Float(1e-4, 1e-1, log=True), "n": Int(1, 2**40)})
    assert space.cardinality() is None
    assert next(space.grid()) == {"lr": 1e-4, "n": 1}
    values = [params["lr"] for params in Space({"lr": Float(1e-4, 1e-1, log=True)}).grid(4)]
    assert values == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert (values[0], values[-1]) == (1e-4, 1e-1)
    assert [params["x"] for params in Space({"x": Float(0, 1)}).grid(1)] == [0.5]
    assert "at least 1 point" in problems_of(space.grid, 0)[0]


def test_keys_are_equal_for_equal_points_only() -> None:
    assert DIGITS.key(SGD) == DIGITS.key(dict(reversed(list(SGD.items()))) | {"width": 64.0})
    assert DIGITS.key(SGD) != DIGITS.key({**SGD, "width": 65})
    assert DIGITS.key(ADAM) == '{"lr":0.01,"optimizer":"adam","width":64}'
    zero = Space({"x": Float(-1, 1)})
    assert zero.key({"x": -0.0}) == zero.key({"x": 0})


def test_a_space_does_not_change_and_travels() -> None:
    source: dict[str, Parameter] = {"x": Int(0, 3)}
    space = Space(source)
    source["y"] = Int(0, 3)
    assert space.names == ("x",)
    with pytest.raises(TypeError):
        space.parameters["y"] = Int(0, 3)  # type: ignore[index]
    with pytest.raises(AttributeError):
        space.names = ()  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(DIGITS)) == copy.deepcopy(DIGITS) == DIGITS


@many
@given(spaces(), seeds)
def test_a_sample_fits_and_is_its_own_canonical_form(space: Space, seed: int) -> None:
    params = space.sample(random.Random(seed))
    assert space.validate(params) == params
    assert tuple(params) == space.active(params)
    assert space.validate(json.loads(json.dumps(params))) == params
    assert space.key(params) == space.key(json.loads(space.key(params)))


@many
@given(spaces(), seeds)
def test_to_the_unit_box_and_back(space: Space, seed: int) -> None:
    params = space.sample(random.Random(seed))
    vector = space.to_unit(params)
    assert len(vector) == len(space.names)
    assert all(0.0 <= unit <= 1.0 for unit in vector)
    back = space.from_unit(vector)
    assert list(back) == list(params)
    for name, value in params.items():
        parameter = space.parameters[name]
        if isinstance(parameter, Float) and parameter.step is None:
            scale = abs(value) if parameter.log else parameter.high - parameter.low
            assert abs(back[name] - value) <= 1e-12 * scale + 1e-12 * abs(value)
        else:
            assert back[name] == value
            assert type(back[name]) is type(value)


@many
@given(spaces(), st.data())
def test_any_place_in_the_unit_box_is_a_configuration(space: Space, data: st.DataObject) -> None:
    units = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, math.nextafter(1.0, 0.0)]))
    vector = data.draw(st.lists(units, min_size=len(space.names), max_size=len(space.names)))
    params = space.from_unit(vector)
    assert space.validate(params) == params
