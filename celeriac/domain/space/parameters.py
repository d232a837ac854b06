"""The three kinds of parameters, side by side: `Float`, `Int` and `Choice`, each of which answers the same questions.

What is wrong with it (`flaws`), how its description and a value are written (`canonical`, `fit`), where a value lies
in [0, 1] and which one lies there (`to_unit`, `from_unit`), how many values there are and which (`count`, `points`).

Rule: a parameter knows itself only. It describes, and checks nothing when it is made: `Space` asks all of them for
their flaws at once. All but `flaws` and `canonical` are asked of a canonical parameter without a flaw.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from celeriac.domain.space.ranges import cell, is_finite, is_whole, range_flaws, shown_range
from celeriac.domain.space.words import same, show

Option = str | int | float | bool | None
When = Mapping[str, Any]

# Beyond this many values, or so far from 0, a place in the unit box (a double) no longer names one integer.
MOST_VALUES = 2**40
MOST_OPTIONS = 1000
_RANGE_TOLERANCE = 1e-9  # of the range: what printing and reading a bound may cost
_STEP_TOLERANCE = 1e-6  # of a step


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in [low, high]: uniform, uniform in its logarithm, or on the grid low, low + step, …, high."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When | None = field(default=None, hash=False)
    shape: bool = False

    def flaws(self) -> list[tuple[str, str]]:
        """What is wrong with this description, as (field, text)."""
        found = range_flaws("float", self.low, self.high, self.log)
        if found:
            return found
        if math.isinf(float(self.high) - float(self.low)):
            return [("float", f"the range {shown_range(self.low, self.high)} is wider than a double can count")]
        if self.log and not math.log(self.high) > math.log(self.low):
            return [("float", f"the log range {shown_range(self.low, self.high)} is too narrow")]
        if self.step is None:
            return []
        if self.log:
            return [("step", "a log range of floats takes no step; leave out one of the two")]
        if not is_finite(self.step) or not self.step > 0:
            return [("step", f"must be a number above 0, not {show(self.step)}")]
        steps = self._decimal(self.high) - self._decimal(self.low)
        steps /= self._decimal(self.step)
        if steps >= MOST_VALUES:
            return [
                (
                    "step",
                    f"{show(self.step)} cuts {shown_range(self.low, self.high)} into more than {MOST_VALUES} values",
                )
            ]
        # Absolute, so that thirds and the like pass while a true remainder never does.
        if round(steps) < 1 or abs(steps - round(steps)) > _STEP_TOLERANCE:
            return [("step", f"{show(self.step)} does not divide the range {shown_range(self.low, self.high)}")]
        return []

    def canonical(self) -> "Float":
        """The same with floats for bounds and step."""
        step = None if self.step is None else float(self.step)
        return replace(self, low=float(self.low) + 0.0, high=float(self.high) + 0.0, step=step)

    @property
    def count(self) -> int | None:
        """How many values it can take; None when continuous."""
        if self.step is None:
            return None
        return round((self._decimal(self.high) - self._decimal(self.low)) / self._decimal(self.step)) + 1

    def fit(self, value: object) -> float:
        """The value as a float of this range and grid, rounding noise removed. Raises ValueError saying what is
        wrong.
        """
        if not is_finite(value):
            raise ValueError(f"needs a finite number, not {show(value)}")
        number = float(value)  # type: ignore[arg-type]
        slack_low, slack_high = (self.low, self.high) if self.log else (self.high - self.low, self.high - self.low)
        if not self.low - _RANGE_TOLERANCE * slack_low <= number <= self.high + _RANGE_TOLERANCE * slack_high:
            raise ValueError(f"{number!r} is outside {shown_range(self.low, self.high)}")
        number = min(max(number, self.low), self.high) + 0.0  # and -0.0 becomes 0.0: one point, one key
        if self.step is None:
            return number
        on_grid = self._at(self._place(number))
        if abs(number - on_grid) > _STEP_TOLERANCE * self.step:
            raise ValueError(f"{number!r} is not on the grid of step {self.step!r} (nearest: {on_grid!r})")
        return on_grid

    def to_unit(self, value: Any) -> float:
        """Where a fitting value lies in [0, 1]; on a grid of n, value k lies in the middle of its cell, (k + 0.5) /
        n.
        """
        if self.step is not None:
            return (self._place(value) + 0.5) / (self.count or 1)
        if self.log:
            low = math.log(self.low)
            unit = (math.log(value) - low) / (math.log(self.high) - low)
        else:
            unit = (value - self.low) / (self.high - self.low)
        return min(max(unit, 0.0), 1.0)

    def from_unit(self, unit: float) -> float:
        """The value at a place in [0, 1]."""
        if self.step is not None:
            return self._at(cell(unit, self.count or 1))
        if unit <= 0.0 or unit >= 1.0:
            return self.low if unit <= 0.0 else self.high
        if self.log:
            low = math.log(self.low)
            value = math.exp(low + unit * (math.log(self.high) - low))
        else:
            value = self.low + unit * (self.high - self.low)
        return min(max(value, self.low), self.high) + 0.0

    def points(self, per_float: int) -> Iterator[float]:
        """Every step; or `per_float` values evenly spread, both ends among them (a single one is the middle)."""
        if self.count is not None:
            yield from (self._at(place) for place in range(self.count))
            return
        before = None
        for i in range(per_float):
            value = self.from_unit(i / (per_float - 1) if per_float > 1 else 0.5)
            if value != before:  # a range of fewer doubles than points
                yield value
            before = value

    def _place(self, value: float) -> int:
        return min(max(round((value - self.low) / (self.step or 1.0)), 0), (self.count or 1) - 1)

    def _at(self, place: int) -> float:
        """The value at a place of the grid, computed in decimals: 0.3, not 0.30000000000000004."""
        if place + 1 == self.count:
            return self.high
        return float(self._decimal(self.low) + place * self._decimal(self.step)) + 0.0

    @staticmethod
    def _decimal(value: float | None) -> Decimal:
        return Decimal(repr(float(value or 0.0)))


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in [low, high], both included: every one, each step-th one, or uniform in its logarithm."""

    low: int
    high: int
    log: bool = False
    step: int | None = None
    when: When | None = field(default=None, hash=False)
    shape: bool = False

    def flaws(self) -> list[tuple[str, str]]:
        """What is wrong with this description, as (field, text)."""
        found = range_flaws("int", self.low, self.high, self.log)
        if found:
            return found
        for bound in (self.low, self.high):
            if not is_whole(bound):
                return [("int", f"{show(bound)} is no whole number; write float, or whole bounds")]
            if abs(bound) > MOST_VALUES:
                return [("int", f"{show(bound)} is beyond {MOST_VALUES}; search its logarithm or exponent")]
        if self.step is None:
            return []
        if not is_whole(self.step) or self.step < 1:
            return [("step", f"must be a whole number above 0, not {show(self.step)}")]
        if self.log and self.step != 1:
            return [("step", "a log range takes no step but 1; leave out one of the two")]
        if (self.high - self.low) % self.step:
            return [("step", f"{show(self.step)} does not divide the range {shown_range(self.low, self.high)}")]
        return []

    def canonical(self) -> "Int":
        """The same with plain ints, and no step where it is 1."""
        step = None if self.step in (None, 1) else int(self.step or 1)
        return replace(self, low=int(self.low), high=int(self.high), step=step)

    @property
    def count(self) -> int:
        """How many values it can take."""
        return (self.high - self.low) // (self.step or 1) + 1

    def fit(self, value: object) -> int:
        """The value as an int of this range and grid. Raises ValueError saying what is wrong."""
        if not is_whole(value):
            raise ValueError(f"needs a whole number, not {show(value)}")
        number = int(value)  # type: ignore[call-overload]
        if not self.low <= number <= self.high:
            raise ValueError(f"{show(number)} is outside {shown_range(self.low, self.high)}")
        off = (number - self.low) % (self.step or 1)
        if off:
            raise ValueError(f"{number} is not on the grid of step {self.step} (below: {number - off})")
        return int(number)

    def to_unit(self, value: Any) -> float:
        """Where a fitting value lies in [0, 1]: the middle of its cell; in a log range, between log(low - ½) and
        log(high + ½).
        """
        if not self.log:
            return (int((value - self.low) // (self.step or 1)) + 0.5) / self.count
        start, end = self._log_ends()
        return (math.log(value) - start) / (end - start)

    def from_unit(self, unit: float) -> int:
        """The value in whose cell a place in [0, 1] lies."""
        if not self.log:
            return self.low + cell(unit, self.count) * (self.step or 1)
        start, end = self._log_ends()
        return min(max(math.floor(math.exp(start + unit * (end - start)) + 0.5), self.low), self.high)

    def points(self, per_float: int) -> Iterator[int]:
        """Every value, however many points a float would get."""
        yield from range(self.low, self.high + 1, self.step or 1)

    def _log_ends(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some options: text, numbers, booleans or null. No order is implied; one option alone is a constant."""

    options: tuple[Option, ...]
    when: When | None = field(default=None, hash=False)
    shape: bool = False

    def flaws(self) -> list[tuple[str, str]]:
        """What is wrong with this description, as (field, text)."""
        options = self.options
        if not isinstance(options, (list, tuple)) or not options:
            shown = "[]" if options == () else show(options)
            return [("choice", f"needs a list of at least one option, not {shown}")]
        if len(options) > MOST_OPTIONS:
            return [
                ("choice", f"has {len(options)} options, {MOST_OPTIONS} at most; write an int if they have an order")
            ]
        found = []
        seen: set[tuple[bool, Option]] = set()
        for option in options:
            if not _is_option(option):
                found.append(("choice", f"{show(option)} cannot be an option (text, number, boolean or null can)"))
            elif (isinstance(option, bool), option) in seen:  # as `same` has it, in one look
                found.append(("choice", f"the option {show(option)} is there twice"))
            else:
                seen.add((isinstance(option, bool), option))
        return found

    def canonical(self) -> "Choice":
        """The same with a tuple of options."""
        return replace(self, options=tuple(self.options))

    @property
    def count(self) -> int:
        """How many options there are."""
        return len(self.options)

    def fit(self, value: object) -> Option:
        """The option itself, as declared. Raises ValueError when it is none."""
        try:
            if _is_option(value):
                return self.options[self._place(value)]
        except ValueError:
            pass
        raise ValueError(f"{show(value)} is not an option of {show(list(self.options))}")

    def _place(self, value: Any) -> int:
        """Which option it is. Raises ValueError when it is none."""
        place = self.options.index(value)
        while not same(self.options[place], value):  # it takes False for 0
            place = self.options.index(value, place + 1)
        return place

    def to_unit(self, value: Any) -> float:
        """Option k of n lies at (k + 0.5) / n."""
        return (self._place(value) + 0.5) / self.count

    def from_unit(self, unit: float) -> Option:
        """The option in whose cell a place in [0, 1] lies."""
        return self.options[cell(unit, self.count)]

    def points(self, per_float: int) -> Iterator[Option]:
        """Every option, in order."""
        yield from self.options


Parameter = Float | Int | Choice


def _is_option(value: object) -> bool:
    """Whether this can be an option: JSON and the database can hold it, and it equals itself."""
    if isinstance(value, str):
        # A lone surrogate or NUL is text to Python and no text to Postgres.
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    return value is None or isinstance(value, bool) or is_finite(value)
