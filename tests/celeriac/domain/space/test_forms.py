"""The forms of a study file: what is refused, and that a space is its form."""

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given

from celeriac.domain.space import Choice, Float, Int, Space
from tests.celeriac.domain.space.spaces import DIGITS, many, problems_of, spaces


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


def test_the_order_of_writing_changes_nothing() -> None:
    """A JSON database returns keys in an order of its own."""
    form = DIGITS.to_dict()
    turned = Space.from_dict(dict(reversed(list(form.items()))))
    assert turned == DIGITS
    assert turned.names == DIGITS.names
    assert turned.sample(random.Random(5)) == DIGITS.sample(random.Random(5))
    assert list(itertools.islice(turned.grid(2), 9)) == list(itertools.islice(DIGITS.grid(2), 9))


@many
@given(spaces())
def test_a_space_is_its_form(space: Space) -> None:
    form = json.loads(json.dumps(space.to_dict()))
    again = Space.from_dict(form)
    assert again == space
    assert json.dumps(again.to_dict()) == json.dumps(form)
