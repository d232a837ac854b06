"""Each kind of parameter by itself: what is refused, and where its values lie."""

import math
import random

import pytest

from celeriac.domain.space import Choice, Float, Int, Parameter, Space
from tests.celeriac.domain.space.spaces import problems_of


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


def test_a_range_with_fewer_doubles_than_points_repeats_none() -> None:
    space = Space({"x": Float(1.0, math.nextafter(1.0, 2.0))})
    assert [params["x"] for params in space.grid(10)] == [1.0, math.nextafter(1.0, 2.0)]
