"""The space: what is refused and how it is said, and what always holds, whatever the space."""

import copy
import itertools
import json
import math
import pickle
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from celeriac.errors import SpaceInvalid
from celeriac.space import INACTIVE, Choice, Float, Int, Parameter, Space, nearest

DIGITS = Space(
    {
        "lr": Float(1e-4, 1e-1, log=True),
        "width": Int(16, 256, log=True),
        "optimizer": Choice(("sgd", "adam")),
        "momentum": Float(0.5, 0.99, when={"optimizer": "sgd"}),
        "nesterov": Choice((False, True), when={"optimizer": "sgd"}),
        "damping": Float(0.0, 1.0, step=0.1, when={"nesterov": False}),
    }
)
SGD = {"lr": 0.01, "width": 64, "optimizer": "sgd", "momentum": 0.9, "nesterov": False, "damping": 0.3}
ADAM = {"lr": 0.01, "width": 64, "optimizer": "adam"}


def problems_of(*args: Any, **kwargs: Any) -> list[str]:
    call, *rest = args
    with pytest.raises(SpaceInvalid) as caught:
        call(*rest, **kwargs)
    return caught.value.problems


# What is refused


@pytest.mark.parametrize(
    ("parameter", "where", "says"),
    [
        (Float(1, 0.1), "x.float", "inverted"),
        (Float(1, 1), "x.float", "empty"),
        (Float(0, 1, log=True), "x.float", "must lie above 0"),
        (Float(-1, 1, log=True), "x.float", "must lie above 0"),
        (Float(math.nan, 1), "x.float", "finite"),
        (Float(0, math.inf), "x.float", "finite"),
        (Float(0, 10**400), "x.float", "finite"),
        (Float(True, 2), "x.float", "finite numbers, not True"),
        (Float("0", 1), "x.float", "finite numbers, not '0'"),  # type: ignore[arg-type]
        (Float(-1.7e308, 1.7e308), "x.float", "wider than a double"),
        (Float(1e300, math.nextafter(1e300, 2e300), log=True), "x.float", "too narrow"),
        (Float(0, 1, log="yes"), "x.log", "true or false"),  # type: ignore[arg-type]
        (Float(0, 1, step=0.3), "x.step", "does not divide"),
        (Float(0, 1, step=2), "x.step", "does not divide"),
        (Float(0, 1, step=0), "x.step", "above 0"),
        (Float(0, 1, step=-0.1), "x.step", "above 0"),
        (Float(0, 1, step=math.nan), "x.step", "above 0"),
        (Float(0, 1, step=1e-300), "x.step", "more than"),
        (Float(1, 2, log=True, step=0.1), "x.step", "log range"),
        (Int(3, 1), "x.int", "inverted"),
        (Int(3, 3), "x.int", "empty"),
        (Int(0, 8, log=True), "x.int", "must lie above 0"),
        (Int(0.5, 3), "x.int", "no whole number"),  # type: ignore[arg-type]
        (Int(False, 3), "x.int", "finite numbers, not False"),
        (Int(0, 2**41), "x.int", "beyond"),
        (Int(0, 10, step=3), "x.step", "does not divide"),
        (Int(0, 10, step=0), "x.step", "above 0"),
        (Int(0, 10, step=True), "x.step", "above 0"),
        (Int(1, 9, log=True, step=2), "x.step", "no step but 1"),
        (Choice(()), "x.choice", "at least one"),
        (Choice("abc"), "x.choice", "list"),  # type: ignore[arg-type]
        (Choice(("a", "b", "a")), "x.choice", "'a' is there twice"),
        (Choice((1, 1.0)), "x.choice", "1.0 is there twice"),
        (Choice((math.nan,)), "x.choice", "cannot be an option"),
        (Choice((math.inf, 1)), "x.choice", "cannot be an option"),
        (Choice(([1],)), "x.choice", "cannot be an option"),  # type: ignore[arg-type]
        (Choice(("a\0b",)), "x.choice", "cannot be an option"),
        (Choice(("\ud800",)), "x.choice", "cannot be an option"),
        (Choice(tuple(range(1001))), "x.choice", "1000 at most"),
    ],
)
def test_a_flaw_is_named_with_its_parameter_and_field(parameter: Parameter, where: str, says: str) -> None:
    (problem,) = problems_of(Space, {"x": parameter})
    assert problem.startswith(f"{where}: ")
    assert says in problem


@pytest.mark.parametrize(
    ("child", "where", "says"),
    [
        (Int(0, 3, when={"knid": "a"}), "x.when.knid", "did you mean 'kind'?"),
        (Int(0, 3, when={"kind": "c"}), "x.when.kind", "'c' is not an option of ['a', 'b']"),
        (Int(0, 3, when={"kind": ["a", "c"]}), "x.when.kind", "'c' is not an option"),
        (Int(0, 3, when={"kind": []}), "x.when.kind", "at least one value"),
        (Int(0, 3, when={"depth": 9}), "x.when.depth", "outside [1, 4]"),
        (Int(0, 3, when={"depth": True}), "x.when.depth", "whole number"),
        (Int(0, 3, when={"rate": 0.5}), "x.when.rate", "this is a float"),
        (Int(0, 3, when={"x": 1}), "x.when", "hangs on itself"),
        (Int(0, 3, when={}), "x.when", "must name a parameter"),
        (Int(0, 3, when="kind"), "x.when", "must name a parameter"),  # type: ignore[arg-type]
    ],
)
def test_a_condition_must_name_a_parent_and_its_values(child: Parameter, where: str, says: str) -> None:
    parents = {"kind": Choice(("a", "b")), "depth": Int(1, 4), "rate": Float(0, 1)}
    (problem,) = problems_of(Space, {**parents, "x": child})
    assert problem.startswith(f"{where}: ")
    assert says in problem


def test_conditions_must_not_go_round_and_only_the_circle_is_named() -> None:
    circle = {"a": Int(0, 1, when={"b": 1}), "b": Int(0, 1, when={"a": 1}), "tail": Int(0, 1, when={"a": 0})}
    assert [problem.partition(":")[0] for problem in problems_of(Space, circle)] == ["a.when", "b.when"]


def test_all_problems_are_told_at_once() -> None:
    found = problems_of(Space, {"lr": Float(1, 0), "width": Int(0, 9, log=True), "2nd": Int(0, 1), "z": 3})
    assert [problem.partition(":")[0] for problem in found] == ["lr.float", "width.int", "'2nd'", "z"]


@pytest.mark.parametrize(
    "content", [{}, None, [("lr", Float(0, 1))], {f"p{i}": Int(0, 1) for i in range(201)}]
)
def test_a_space_is_a_mapping_of_some_parameters(content: Any) -> None:
    assert len(problems_of(Space, content)) == 1


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"lr": {"flaot": [0, 1]}}, "lr.flaot: is not known here; did you mean 'float'?"),
        ({"lr": {"float": [0, 1], "logs": True}}, "lr.logs: is not known here; did you mean 'log'?"),
        ({"lr": {"choice": [0, 1], "step": 1}}, "lr.step: is not known here"),
        ({"lr": {"float": [0, 1], "int": [0, 1]}}, "lr: needs exactly one of float, int and choice"),
        ({"lr": {}}, "lr: needs exactly one of float, int and choice"),
        ({"lr": [0, 1]}, "lr: must be a mapping such as {float: [0.1, 1.0]}"),
        ({"lr": {"float": [0]}}, "lr.float: needs [low, high], not [0]"),
        ({"lr": {"float": "0..1"}}, "lr.float: needs [low, high]"),
        ({"lr": {"choice": "abc"}}, "lr.choice: needs a list of options"),
        ({1: {"float": [0, 1]}}, "1: cannot name a parameter"),
        ([], "must be a mapping of parameter names"),
    ],
)
def test_the_form_of_a_file_is_checked(form: Any, says: str) -> None:
    assert any(problem.startswith(says) for problem in problems_of(Space.from_dict, form))


def test_a_broken_parent_does_not_hide_other_problems_nor_make_new_ones() -> None:
    form = {"a": {"int": 3}, "b": {"float": [1, 0]}, "c": {"int": [0, 1], "when": {"a": 1}}}
    assert [problem.partition(":")[0] for problem in problems_of(Space.from_dict, form)] == [
        "a.int",
        "b.float",
    ]


# Parameters that fit, and that do not


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


def test_a_child_of_a_wrong_parent_is_not_blamed() -> None:
    assert problems_of(DIGITS.validate, {**SGD, "optimizer": "x"}) == [
        "optimizer: 'x' is not an option of ['sgd', 'adam']"
    ]


def test_active_follows_nested_conditions() -> None:
    assert DIGITS.names == ("lr", "optimizer", "momentum", "nesterov", "damping", "width")
    assert set(DIGITS.active(SGD)) == set(SGD)
    assert DIGITS.active({**SGD, "nesterov": True}) == ("lr", "optimizer", "momentum", "nesterov", "width")
    assert DIGITS.active({}) == ("lr", "optimizer", "width")


# The unit box


def test_places_in_the_unit_box() -> None:
    assert DIGITS.to_unit(ADAM)[1:5] == [0.75, INACTIVE, INACTIVE, INACTIVE]
    box = Space(
        {"a": Float(1e-4, 1e-2, log=True), "b": Int(0, 4, step=2), "c": Choice(("x", "y", "z", None))}
    )
    assert box.to_unit({"a": 1e-3, "b": 2, "c": "z"}) == pytest.approx([0.5, 0.5, 0.625])
    assert box.from_unit([0.0, 0.0, 0.0]) == {"a": 1e-4, "b": 0, "c": "x"}
    assert box.from_unit([1.0, 1.0, 1.0]) == {"a": 1e-2, "b": 4, "c": None}
    assert box.from_unit([-3.0, 7.0, 1.5]) == {"a": 1e-4, "b": 4, "c": None}


def test_a_vector_must_have_the_boxs_columns_and_no_nan() -> None:
    assert "6 columns, the vector 2" in problems_of(DIGITS.from_unit, [0.1, 0.2])[0]
    assert problems_of(DIGITS.from_unit, [math.nan] * 6) == ["lr: NaN is no place in the unit box"]


def test_a_stepped_float_writes_decimals() -> None:
    space = Space({"x": Float(0, 1, step=0.1)})
    assert [p["x"] for p in space.grid()] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    thirds = Space({"x": Float(0, 1, step=1 / 3)})
    assert [p["x"] for p in thirds.grid()] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [p["x"] for p in thirds.grid()][-1] == 1.0


def test_every_integer_of_a_log_range_has_a_place_and_sampling_favours_the_small() -> None:
    space = Space({"n": Int(1, 1000, log=True)})
    assert [space.from_unit(space.to_unit({"n": n}))["n"] for n in range(1, 1001)] == list(range(1, 1001))
    rng = random.Random(3)
    small = sum(space.sample(rng)["n"] <= 31 for _ in range(2000))
    assert 900 < small < 1250  # about half lies below the geometric middle


def test_sampling_is_uniform_over_options_and_repeats_with_its_seed() -> None:
    space = Space({"c": Choice((1, 2, 3, 4)), "i": Int(0, 4)})
    rng = random.Random(0)
    drawn = [space.sample(rng) for _ in range(2000)]
    for number in range(5):
        assert 300 < sum(params["i"] == number for params in drawn) < 500
    assert drawn[0] == space.sample(random.Random(0))


# The grid


def test_the_grid_of_floats_is_lazy_and_has_both_ends() -> None:
    space = Space({"lr": Float(1e-4, 1e-1, log=True), "n": Int(1, 2**40)})
    assert space.cardinality() is None
    assert next(space.grid()) == {"lr": 1e-4, "n": 1}
    values = [params["lr"] for params in Space({"lr": Float(1e-4, 1e-1, log=True)}).grid(4)]
    assert values == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert (values[0], values[-1]) == (1e-4, 1e-1)
    assert [params["x"] for params in Space({"x": Float(0, 1)}).grid(1)] == [0.5]
    assert "at least 1 point" in problems_of(space.grid, 0)[0]


def test_a_range_with_fewer_doubles_than_points_repeats_none() -> None:
    space = Space({"x": Float(1.0, math.nextafter(1.0, 2.0))})
    assert [params["x"] for params in space.grid(10)] == [1.0, math.nextafter(1.0, 2.0)]


def test_cardinality_counts_conditional_spaces_exactly() -> None:
    space = Space(
        {
            "kind": Choice(("a", "b", "c")),
            "n": Int(1, 1000),
            "big": Choice((1, 2), when={"n": [10, 20]}),
            "deep": Int(0, 4, when={"kind": ["a", "b"], "big": 2}),
        }
    )
    # n: 998 values without big; for 2 values, big=1 and (big=2 with 5 deep for kinds a and b, 1 for c)
    assert space.cardinality() == 998 * 3 + 2 * (3 + 5 + 5 + 1)
    assert space.cardinality() == sum(1 for _ in space.grid())
    never = Choice(("x",), when={"kind": "a"})
    unreachable = Space(
        {"kind": Choice(("a", "b")), "k2": never, "f": Float(0, 1, when={"k2": "x", "kind": "b"})}
    )
    assert unreachable.cardinality() == 2  # a continuous parameter that no configuration has does not count


def test_many_conditional_families_are_counted_without_walking_their_product() -> None:
    families: dict[str, Parameter] = {}
    for i in range(50):
        families[f"parent{i}"] = Choice(("on", "off"))
        families[f"child{i}"] = Int(1, 10, when={f"parent{i}": "on"})
    assert Space(families).cardinality() == 11**50


# Identity and forms


def test_keys_are_equal_for_equal_points_only() -> None:
    assert DIGITS.key(SGD) == DIGITS.key(dict(reversed(list(SGD.items()))) | {"width": 64.0})
    assert DIGITS.key(SGD) != DIGITS.key({**SGD, "width": 65})
    assert DIGITS.key(ADAM) == '{"lr":0.01,"optimizer":"adam","width":64}'
    zero = Space({"x": Float(-1, 1)})
    assert zero.key({"x": -0.0}) == zero.key({"x": 0})


def test_the_order_of_writing_changes_nothing() -> None:
    """A JSON database returns keys in an order of its own."""
    form = DIGITS.to_dict()
    turned = Space.from_dict(dict(reversed(list(form.items()))))
    assert turned == DIGITS
    assert turned.names == DIGITS.names
    assert turned.sample(random.Random(5)) == DIGITS.sample(random.Random(5))
    assert list(itertools.islice(turned.grid(2), 9)) == list(itertools.islice(DIGITS.grid(2), 9))


def test_the_canonical_form() -> None:
    space = Space(
        {
            "a": Float(0, 1, step=0.5),
            "b": Int(1, 5, step=1, when={"c": ["y", "x", "y"]}),
            "c": Choice(("x", "y")),
            "d": Int(1, 8, log=True, when={"c": "x"}),
        }
    )
    assert space.to_dict() == {
        "a": {"float": [0.0, 1.0], "step": 0.5},
        "b": {"int": [1, 5], "when": {"c": ["x", "y"]}},
        "c": {"choice": ["x", "y"]},
        "d": {"int": [1, 8], "log": True, "when": {"c": "x"}},
    }
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


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


def test_nearest_offers_a_word_or_all() -> None:
    assert nearest("max", ["maximize", "minimize"]) == "did you mean 'maximize'?"
    assert nearest("zzz", ["a", "b"]) == "known: a, b"
    assert nearest("zzz", []) == "known: none"


# What holds for any space

options = st.one_of(
    st.booleans(),
    st.integers(-5, 5),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3),
    st.none(),
    st.floats(-2, 2),
)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    if draw(st.booleans()):  # a grid
        start, step = draw(st.integers(-50, 50)), draw(st.sampled_from([0.1, 0.25, 0.3, 2.0, 1 / 3]))
        return Float(start, start + step * draw(st.integers(1, 6)), step=step)
    log = draw(st.booleans())
    bound = st.floats(1e-9, 1e9) if log else st.floats(-1e6, 1e6)
    low, high = sorted((draw(bound), draw(bound)))
    assume(high - low > 1e-6 * max(abs(low), abs(high)))
    return Float(low, high, log=log)


@st.composite
def ints(draw: st.DrawFn, largest: int = 2**40) -> Int:
    if draw(st.booleans()):
        low = draw(st.integers(1, largest - 1))
        return Int(low, draw(st.integers(low + 1, largest)), log=True)
    step = draw(st.integers(1, 7))
    low = draw(st.integers(-20, 20))
    return Int(low, low + step * draw(st.integers(1, 6)), step=step)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    unique = draw(st.lists(options, min_size=1, max_size=4, unique_by=lambda o: (isinstance(o, bool), o)))
    return Choice(tuple(unique))


@st.composite
def spaces(draw: st.DrawFn, finite: bool = False) -> Space:
    kinds: list[st.SearchStrategy[Any]] = (
        [ints(largest=8), choices()] if finite else [ints(), choices(), floats()]
    )
    parameters: dict[str, Parameter] = {}
    for i in range(draw(st.integers(1, 4 if finite else 6))):
        parameter: Parameter = draw(st.one_of(kinds))
        parents = [name for name, p in parameters.items() if not isinstance(p, Float)]
        conditional = draw(st.booleans())
        if parents and conditional:
            parent: str = draw(st.sampled_from(parents))
            values = list(itertools.islice(parameters[parent].points(1), 3))
            wanted = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
            parameter = replace(parameter, when={parent: wanted})
        # Names that sort against the order of making, so that columns must be put in order.
        parameters["zyxwvu"[i]] = parameter
    return Space(parameters)


seeds = st.integers(0, 2**32)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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


@many
@given(spaces(finite=True))
def test_the_grid_of_a_finite_space_is_each_configuration_once(space: Space) -> None:
    count = space.cardinality()
    assert count is not None
    assume(count <= 3000)
    keys = [space.key(params) for params in space.grid()]
    assert len(keys) == len(set(keys)) == count


@many
@given(spaces())
def test_a_space_is_its_form(space: Space) -> None:
    form = json.loads(json.dumps(space.to_dict()))
    again = Space.from_dict(form)
    assert again == space
    assert json.dumps(again.to_dict()) == json.dumps(form)
