"""What an objective returns, and how its values are read. Promise: standard library only; the same with and without
the service.
"""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Save = Callable[[str], object]

#: Whole numbers are stored in 64 bits.
MOST_INT = 2**63 - 1
#: A block is a day or a chunk of examples, not an example.
MOST_BLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class Result:
    """A score with more to remember; nothing but the score ever reaches the sampler.

    `metrics`: names with finite numbers or strings. `step`: the score's own step. `holdout`: one finite number a block
    of examples that neither the training nor its early stopping has seen, such as a day each, always the same blocks in
    the same order; the gate of a schedule judges by it. `drift`: how far today's data are from those before, as a
    finite number. `model(path)` writes the trained model, one file; it is called only where the model is to be kept.
    """

    score: Any
    metrics: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    holdout: Sequence[Any] | None = None
    drift: Any = None
    model: Save | None = None


def number_in(value: Any, what: str) -> float:
    """The float in a number, a numpy scalar or a 0-d tensor; NaN and infinities pass. Raises TypeError naming
    `what`.
    """
    plain = value
    if not isinstance(plain, numbers.Real) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        plain = value.item()
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        raise TypeError(f"{what} must be a number, got {described(value)}")
    return float(plain)


def flat(metrics: Mapping[str, Any]) -> dict[str, float | int | str | bool]:
    """`metrics` as plain JSON. Raises TypeError or ValueError naming the entry that is not a finite number or a
    string.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must map names to numbers or strings, got {described(metrics)}")
    return {_name(name): _entry(name, value) for name, value in metrics.items()}


def blocks_in(holdout: Any) -> list[float]:
    """The floats in a list, a tuple or a 1-d array; none in None. Raises TypeError or ValueError naming the block that
    is not a finite number.
    """
    if holdout is None:
        return []
    values = holdout.tolist() if hasattr(holdout, "tolist") else holdout
    if not isinstance(values, list | tuple):
        raise TypeError(f"holdout must be a list of numbers, one a block, got {described(holdout)}")
    if not values:
        raise ValueError("holdout is empty: give one number a block, or leave it out")
    if len(values) > MOST_BLOCKS:
        raise ValueError(f"holdout has {len(values):,} blocks, {MOST_BLOCKS:,} at most: take larger blocks")
    return [finite_in(value, f"holdout[{block}]") for block, value in enumerate(values)]


def finite_in(value: Any, what: str) -> float:
    """The finite float in a number. Raises TypeError or ValueError naming `what`."""
    number = number_in(value, what)
    if not math.isfinite(number):
        raise ValueError(f"{what} is {number}: it must be a finite number")
    return number


def described(value: Any) -> str:
    """A short phrase for an error: the type and the start of the value."""
    if value is None:
        return "nothing (None)"
    try:
        text = repr(value)
    except Exception as error:
        text = f"<its repr raised {type(error).__name__}>"
    return f"{type(value).__name__} {text if len(text) <= 120 else text[:117] + '...'}"


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"metrics: names are strings, got {described(name)}")
    return name


def _entry(name: str, value: Any) -> float | int | str | bool:
    if isinstance(value, str | bool):
        return value
    if type(value) is int and abs(value) > MOST_INT:
        raise ValueError(f"metrics[{name!r}] does not fit into 64 bits: report it as a float or a string")
    number = number_in(value, f"metrics[{name!r}]")
    if not math.isfinite(number):
        raise ValueError(f"metrics[{name!r}] is {number}: metrics are finite numbers or strings")
    return value if type(value) is int else number
