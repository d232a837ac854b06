"""Numbers and ranges: what may be a bound, a step or a value, and what can be wrong with any range.

Rule: a bool is no number, whatever Python says; a number is one that a double can hold.
"""

import math
from numbers import Integral, Real
from typing import Any

from celeriac.domain.space.words import show


def is_finite(value: object) -> bool:
    """Whether this is a real number (a bool is none) that a double can hold."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_whole(value: object) -> bool:
    """Whether this is an integer, also one that came back as 64.0; a bool is none."""
    if isinstance(value, Integral):
        return not isinstance(value, bool)
    return is_finite(value) and float(value).is_integer()  # type: ignore[arg-type]


def shown_range(low: object, high: object) -> str:
    """A range for a message: `[0.1, 1.0]`, each bound as it was given."""
    return f"[{show(low)}, {show(high)}]"


def range_flaws(kind: str, low: Any, high: Any, log: object) -> list[tuple[str, str]]:
    """What can be wrong with any range, as (field, text): no numbers, not finite, empty, inverted, or a logarithm of 0
    or less.
    """
    found = [(kind, f"needs finite numbers, not {show(bound)}") for bound in (low, high) if not is_finite(bound)]
    if not isinstance(log, bool):
        found.append(("log", f"must be true or false, not {show(log)}"))
    if found:
        return found
    shown = shown_range(low, high)
    if low == high:
        return [(kind, f"the range {shown} is empty; for a constant, write a choice of one option")]
    if low > high:
        return [(kind, f"the range {shown} is inverted: write the lower bound first")]
    if log and not low > 0:
        return [(kind, f"a log range must lie above 0, and {shown} does not")]
    return []


def cell(unit: float, count: int) -> int:
    """In which of `count` equal cells of [0, 1] a place lies, the first being 0."""
    return min(int(unit * count), count - 1)
