"""A Hydra sweep as a space, and back; `make test-doors` sweeps with Hydra itself."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from celeriac.doors.hydra.overrides import swept


@dataclass
class Sweep:
    """As Hydra parses a range or an interval."""

    start: Any
    stop: Any = None
    step: Any = 1
    end: Any = None
    tags: set[str] = field(default_factory=set)


@dataclass
class Override:
    """What is asked of a parsed override of Hydra's."""

    key: str
    kind: str
    what: Any

    input_line: str = "key=value"

    def get_key_element(self) -> str:
        return self.key

    def get_value_element_as_str(self) -> str:
        return str(self.what)

    def value(self) -> Any:
        return self.what

    def is_sweep_override(self) -> bool:
        return self.kind != "fixed"

    def is_interval_sweep(self) -> bool:
        return self.kind == "interval"

    def is_range_sweep(self) -> bool:
        return self.kind == "range"

    def is_discrete_sweep(self) -> bool:
        return self.kind in ("range", "choice")

    def sweep_string_iterator(self) -> Any:
        return iter(self.what)


def test_each_kind_of_sweep_is_a_parameter() -> None:
    found = swept(
        [
            Override("lr", "interval", Sweep(0.001, end=1.0, tags={"log"})),
            Override("width", "interval", Sweep(8, end=64)),
            Override("layers", "range", Sweep(1, 6, 2)),
            Override("drop", "range", Sweep(0.0, 0.5, 0.1)),
            Override("down", "range", Sweep(5, 1, -2)),
            Override("+db/engine@main", "choice", ["mysql", r"a\,\ b", "3", "true", "null"]),
            Override("seed", "fixed", 7),
        ]
    )
    assert found.space.to_dict() == {
        "lr": {"float": [0.001, 1.0], "log": True},
        "width": {"int": [8, 64]},
        "layers": {"int": [1, 5], "step": 2},
        "drop": {"float": [0.0, 0.4], "step": 0.1},
        "down": {"int": [3, 5], "step": 2},
        "db_engine_main": {"choice": ["mysql", "a, b", 3, True, "null"]},
    }
    params = {"lr": 0.5, "layers": 3, "db_engine_main": "a, b"}
    assert found.overrides(params) == ["seed=7", "lr=0.5", "layers=3", r"+db/engine@main=a\,\ b"]
    assert found.overrides({"db_engine_main": True}) == ["seed=7", "+db/engine@main=true"]


def test_keys_that_would_have_one_name_have_two() -> None:
    found = swept([Override("a/b", "choice", ["x"]), Override("a@b", "choice", ["y"])])
    assert found.overrides({"a_b": "x", "a_b_2": "y"}) == ["a/b=x", "a@b=y"]


def test_what_is_swept_is_not_fixed_as_well() -> None:
    with pytest.raises(ValueError, match="lr: both swept and fixed"):
        swept([Override("lr", "choice", ["1"]), Override("lr", "fixed", 3)])


def test_a_sweep_over_nothing_says_how_to_write_one() -> None:
    with pytest.raises(ValueError, match=r"nothing is swept: write a parameter as 'lr=interval"):
        swept([Override("lr", "fixed", 3)])
