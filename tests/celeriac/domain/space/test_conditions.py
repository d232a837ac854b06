"""When parameters count: what a condition must say, and which are active."""

import pytest

from celeriac.domain.space import Choice, Float, Int, Parameter, Space
from tests.celeriac.domain.space.spaces import DIGITS, SGD, problems_of


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


def test_a_broken_parent_does_not_hide_other_problems_nor_make_new_ones() -> None:
    form = {"a": {"int": 3}, "b": {"float": [1, 0]}, "c": {"int": [0, 1], "when": {"a": 1}}}
    assert [problem.partition(":")[0] for problem in problems_of(Space.from_dict, form)] == ["a.int", "b.float"]


def test_a_child_of_a_wrong_parent_is_not_blamed() -> None:
    assert problems_of(DIGITS.validate, {**SGD, "optimizer": "x"}) == [
        "optimizer: 'x' is not an option of ['sgd', 'adam']"
    ]


def test_active_follows_nested_conditions() -> None:
    assert DIGITS.names == ("lr", "optimizer", "momentum", "nesterov", "damping", "width")
    assert set(DIGITS.active(SGD)) == set(SGD)
    assert DIGITS.active({**SGD, "nesterov": True}) == ("lr", "optimizer", "momentum", "nesterov", "width")
    assert DIGITS.active({}) == ("lr", "optimizer", "width")
