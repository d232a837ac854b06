"""The space a study searches: parameters, when each of them counts, and the unit box that samplers see.

Promise: what `Space` hands out (`validate`, `sample`, `from_unit`, `grid`) always fits it: in range, on its grid,
every active parameter there and no inactive one. Nothing depends on the order in which parameters were written,
since a database does not keep it: columns are `Space.names`, parents before what hangs on them, else by name.

`Float`, `Int` and `Choice` only describe; `Space` checks them all at once and names each one that is wrong.
"""

import difflib
import json
import math
import random
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from celeriac.errors import SpaceInvalid

Option = str | int | float | bool | None
When = Mapping[str, Any]

# Beyond this many values, or so far from 0, a place in the unit box (a double) no longer names one integer.
MOST_VALUES = 2**40
MOST_PARAMETERS = 200
MOST_OPTIONS = 1000
_RANGE_TOLERANCE = 1e-9  # of the range: what printing and reading a bound may cost
_STEP_TOLERANCE = 1e-6  # of a step
INACTIVE = (
    0.5  # an inactive parameter's place in the unit box: the middle, as far from "known" as from any edge
)

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 60


def show(value: object) -> str:
    """A value for a message: its repr, cut short."""
    return _repr.repr(value)


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, else all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known) or 'none'}"


def is_name(value: object) -> bool:
    """Whether this can name a parameter or a slice: a letter or `_`, then letters, digits, `_`, `.`, `-`; 100 at most."""
    if not isinstance(value, str) or not 1 <= len(value) <= 100:
        return False
    return (value[0].isalpha() or value[0] == "_") and all(c.isalnum() or c in "_.-" for c in value)


def same(a: object, b: object) -> bool:
    """Whether two options are one: 1 and 1.0 are (a database may return either for the other), 1 and True are not."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in [low, high]: uniform, uniform in its logarithm, or on the grid low, low + step, …, high."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When | None = field(default=None, hash=False)

    def flaws(self) -> list[tuple[str, str]]:
        """What is wrong with this description, as (field, text)."""
        found = _range_flaws("float", self.low, self.high, self.log)
        if found:
            return found
        if math.isinf(float(self.high) - float(self.low)):
            return [("float", f"the range {_range(self)} is wider than a double can count")]
        if self.log and not math.log(self.high) > math.log(self.low):
            return [("float", f"the log range {_range(self)} is too narrow")]
        if self.step is None:
            return []
        if self.log:
            return [("step", "a log range of floats takes no step; leave out one of the two")]
        if not _is_finite(self.step) or not self.step > 0:
            return [("step", f"must be a number above 0, not {show(self.step)}")]
        steps = self._decimal(self.high) - self._decimal(self.low)
        steps /= self._decimal(self.step)
        if steps >= MOST_VALUES:
            return [("step", f"{show(self.step)} cuts {_range(self)} into more than {MOST_VALUES} values")]
        # Absolute, so that thirds and the like pass while a true remainder never does.
        if round(steps) < 1 or abs(steps - round(steps)) > _STEP_TOLERANCE:
            return [("step", f"{show(self.step)} does not divide the range {_range(self)}")]
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
        """The value as a float of this range and grid, rounding noise removed. Raises ValueError saying what is wrong."""
        if not _is_finite(value):
            raise ValueError(f"needs a finite number, not {show(value)}")
        number = float(value)  # type: ignore[arg-type]
        slack_low, slack_high = (
            (self.low, self.high) if self.log else (self.high - self.low, self.high - self.low)
        )
        if not self.low - _RANGE_TOLERANCE * slack_low <= number <= self.high + _RANGE_TOLERANCE * slack_high:
            raise ValueError(f"{number!r} is outside {_range(self)}")
        number = min(max(number, self.low), self.high) + 0.0  # and -0.0 becomes 0.0: one point, one key
        if self.step is None:
            return number
        on_grid = self._at(self._place(number))
        if abs(number - on_grid) > _STEP_TOLERANCE * self.step:
            raise ValueError(f"{number!r} is not on the grid of step {self.step!r} (nearest: {on_grid!r})")
        return on_grid

    def to_unit(self, value: Any) -> float:
        """Where a fitting value lies in [0, 1]; on a grid of n, value k lies in the middle of its cell, (k + 0.5) / n."""
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
            return self._at(_cell(unit, self.count or 1))
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

    def flaws(self) -> list[tuple[str, str]]:
        """What is wrong with this description, as (field, text)."""
        found = _range_flaws("int", self.low, self.high, self.log)
        if found:
            return found
        for bound in (self.low, self.high):
            if not _is_whole(bound):
                return [("int", f"{show(bound)} is no whole number; write float, or whole bounds")]
            if abs(bound) > MOST_VALUES:
                return [("int", f"{show(bound)} is beyond {MOST_VALUES}; search its logarithm or exponent")]
        if self.step is None:
            return []
        if not _is_whole(self.step) or self.step < 1:
            return [("step", f"must be a whole number above 0, not {show(self.step)}")]
        if self.log and self.step != 1:
            return [("step", "a log range takes no step but 1; leave out one of the two")]
        if (self.high - self.low) % self.step:
            return [("step", f"{show(self.step)} does not divide the range {_range(self)}")]
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
        if not _is_whole(value):
            raise ValueError(f"needs a whole number, not {show(value)}")
        number = int(value)  # type: ignore[call-overload]
        if not self.low <= number <= self.high:
            raise ValueError(f"{show(number)} is outside {_range(self)}")
        off = (number - self.low) % (self.step or 1)
        if off:
            raise ValueError(f"{number} is not on the grid of step {self.step} (below: {number - off})")
        return int(number)

    def to_unit(self, value: Any) -> float:
        """Where a fitting value lies in [0, 1]: the middle of its cell; in a log range, between log(low - ½) and log(high + ½)."""
        if not self.log:
            return (int((value - self.low) // (self.step or 1)) + 0.5) / self.count
        start, end = self._log_ends()
        return (math.log(value) - start) / (end - start)

    def from_unit(self, unit: float) -> int:
        """The value in whose cell a place in [0, 1] lies."""
        if not self.log:
            return self.low + _cell(unit, self.count) * (self.step or 1)
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

    def flaws(self) -> list[tuple[str, str]]:
        """What is wrong with this description, as (field, text)."""
        options = self.options
        if not isinstance(options, (list, tuple)) or not options:
            return [("choice", f"needs a list of at least one option, not {show(options)}")]
        if len(options) > MOST_OPTIONS:
            return [
                (
                    "choice",
                    f"has {len(options)} options, {MOST_OPTIONS} at most; write an int if they have an order",
                )
            ]
        found = []
        for i, option in enumerate(options):
            if not _is_option(option):
                found.append(
                    ("choice", f"{show(option)} cannot be an option (text, number, boolean or null can)")
                )
            elif any(same(option, earlier) for earlier in options[:i]):
                found.append(("choice", f"the option {show(option)} is there twice"))
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
        if _is_option(value):
            for option in self.options:
                if same(option, value):
                    return option
        raise ValueError(f"{show(value)} is not an option of {show(list(self.options))}")

    def to_unit(self, value: Any) -> float:
        """Option k of n lies at (k + 0.5) / n."""
        # Not `index`, which takes False for 0.
        place = next(i for i, option in enumerate(self.options) if same(option, value))
        return (place + 0.5) / self.count

    def from_unit(self, unit: float) -> Option:
        """The option in whose cell a place in [0, 1] lies."""
        return self.options[_cell(unit, self.count)]

    def points(self, per_float: int) -> Iterator[Option]:
        """Every option, in order."""
        yield from self.options


Parameter = Float | Int | Choice
_KINDS: Mapping[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}


@dataclass(frozen=True, slots=True)
class Space:
    """Named parameters, checked as a whole; see the module's promise.

    Raises SpaceInvalid with one line for each thing that is wrong, such as `lr.float: the range [1, 0] is inverted`.
    """

    parameters: Mapping[str, Parameter]
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _raise_if(_problems(self.parameters))
        plain = {name: parameter.canonical() for name, parameter in self.parameters.items()}
        checked = {name: replace(p, when=_canonical_when(p.when, plain)) for name, p in plain.items()}
        object.__setattr__(self, "parameters", MappingProxyType(checked))
        object.__setattr__(self, "names", _parents_first(checked))

    def __reduce__(self) -> tuple[type["Space"], tuple[dict[str, Parameter]]]:
        return Space, (dict(self.parameters),)

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as this space writes them: ints int, floats float, options as declared, noise of 1e-9 removed.

        Raises SpaceInvalid, one line a parameter: out of range, off its grid, no option, missing, unknown, or given
        though it is not active.
        """
        if not isinstance(params, Mapping):
            raise SpaceInvalid(f"parameters must be a mapping of names to values, not {show(params)}")
        problems = [
            f"{key}: is no parameter of this space; {nearest(key, self.names)}"
            for key in params
            if key not in self.parameters
        ]
        values: dict[str, Any] = {}
        unclear: set[str] = set()  # wrong or missing, and what hangs on it
        for name in self.names:
            parameter = self.parameters[name]
            if unclear.intersection(parameter.when or ()):
                unclear.add(name)
                continue
            active = _is_active(parameter, values)
            try:
                if active and name in params:
                    values[name] = parameter.fit(params[name])
                elif active:
                    raise ValueError("is missing")
                elif name in params:
                    problems.append(f"{name}: is not active here ({condition_of(parameter)}); leave it out")
            except ValueError as problem:
                problems.append(f"{name}: {problem}")
                unclear.add(name)
        _raise_if(problems)
        return values

    def active(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the parameters that count, given the values of their parents in `params`; in column order."""
        values: dict[str, Any] = {}
        names = []
        for name in self.names:
            if _is_active(self.parameters[name], values):
                names.append(name)
                if name in params:
                    values[name] = params[name]
        return tuple(names)

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """A configuration drawn uniformly from the unit box; one number is drawn a column, active or not."""
        return self.from_unit([rng.random() for _ in self.names])

    def to_unit(self, params: Mapping[str, Any]) -> list[float]:
        """A place in the unit box, one column a name in `names`; an inactive parameter lies at 0.5.

        `params` must fit (`validate`, `sample`, `from_unit` and `grid` hand out such): they are not checked again.
        `from_unit(to_unit(p)) == p`, exactly for ints, choices and stepped floats, to rounding for others.
        """
        return [
            self.parameters[name].to_unit(params[name]) if name in params else INACTIVE for name in self.names
        ]

    def from_unit(self, vector: Sequence[float]) -> dict[str, Any]:
        """The configuration at a place in the unit box, snapped to its grid; what lies outside is moved to the edge.

        Raises SpaceInvalid for a vector of another length than `names`, or with a NaN.
        """
        if len(vector) != len(self.names):
            raise SpaceInvalid(f"the unit box has {len(self.names)} columns, the vector {len(vector)}")
        values: dict[str, Any] = {}
        for name, unit in zip(self.names, vector, strict=True):
            if math.isnan(unit):
                raise SpaceInvalid(f"{name}: NaN is no place in the unit box")
            parameter = self.parameters[name]
            if _is_active(parameter, values):
                values[name] = parameter.from_unit(min(max(float(unit), 0.0), 1.0))
        return values

    def cardinality(self) -> int | None:
        """How many configurations there are, exactly; None when some parameter that can be active is continuous."""
        total = 1
        for family in _families(self.parameters, self.names):
            count = _count(self.parameters, family, _mentioned(self.parameters), {})
            if count is None:
                return None
            total *= count
        return total

    def grid(self, points_per_float: int = 10) -> Iterator[dict[str, Any]]:
        """Each configuration of the grid once, lazily, the last column changing fastest.

        Continuous floats get `points_per_float` values, both ends among them; all else gets every value it can take.
        """
        if points_per_float < 1:
            raise SpaceInvalid(f"a grid needs at least 1 point a float, not {points_per_float}")
        return self._grid(self.names, {}, points_per_float)

    def _grid(
        self, names: tuple[str, ...], values: dict[str, Any], per_float: int
    ) -> Iterator[dict[str, Any]]:
        if not names:
            yield dict(values)
            return
        name, rest = names[0], names[1:]
        parameter = self.parameters[name]
        if not _is_active(parameter, values):
            yield from self._grid(rest, values, per_float)
            return
        for value in parameter.points(per_float):
            yield from self._grid(rest, {**values, name: value}, per_float)

    def key(self, params: Mapping[str, Any]) -> str:
        """The configuration as one canonical text: equal for equal points, however they were written or stored.

        Raises SpaceInvalid when `params` do not fit.
        """
        return json.dumps(self.validate(params), sort_keys=True, separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """The form of a study file, canonical: `{"lr": {"float": [0.0001, 0.1], "log": True}}`."""
        return {name: _parameter_to_dict(parameter) for name, parameter in self.parameters.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Space":
        """The space of a study file's form. Raises SpaceInvalid with all that is wrong, each line led by its key path."""
        if not isinstance(data, Mapping):
            raise SpaceInvalid(f"must be a mapping of parameter names to parameters, not {show(data)}")
        parameters: dict[str, Parameter] = {}
        problems: list[str] = []
        for name, form in data.items():
            try:
                parameters[name] = _parameter_from_dict(form)
            except SpaceInvalid as error:
                problems += [f"{name}{problem}" for problem in error.problems]
        if problems:
            # The rest is checked too, so that one reading shows all; without what the broken ones were parents of.
            problems += _problems(parameters, elsewhere=set(data) - set(parameters)) if parameters else []
            raise SpaceInvalid(problems)
        return cls(parameters)


def _raise_if(problems: list[str]) -> None:
    if problems:
        raise SpaceInvalid(problems)


def _is_finite(value: object) -> bool:
    """Whether this is a real number (a bool is none) that a double can hold."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_whole(value: object) -> bool:
    """Whether this is an integer, also one that came back as 64.0; a bool is none."""
    if isinstance(value, Integral):
        return not isinstance(value, bool)
    return _is_finite(value) and float(value).is_integer()  # type: ignore[arg-type]


def _is_option(value: object) -> bool:
    """Whether this can be an option: JSON and the database can hold it, and it equals itself."""
    if isinstance(value, str):
        # A lone surrogate or NUL is text to Python and no text to Postgres.
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    return value is None or isinstance(value, bool) or _is_finite(value)


def _cell(unit: float, count: int) -> int:
    """In which of `count` equal cells of [0, 1] a place lies."""
    return min(int(unit * count), count - 1)


def _range(parameter: Float | Int) -> str:
    return f"[{show(parameter.low)}, {show(parameter.high)}]"


def _range_flaws(kind: str, low: Any, high: Any, log: object) -> list[tuple[str, str]]:
    """What can be wrong with any range: no numbers, not finite, empty, inverted, or a logarithm of 0 or less."""
    found = [
        (kind, f"needs finite numbers, not {show(bound)}") for bound in (low, high) if not _is_finite(bound)
    ]
    if not isinstance(log, bool):
        found.append(("log", f"must be true or false, not {show(log)}"))
    if found:
        return found
    shown = f"[{show(low)}, {show(high)}]"
    if low == high:
        return [(kind, f"the range {shown} is empty; for a constant, write a choice of one option")]
    if low > high:
        return [(kind, f"the range {shown} is inverted: write the lower bound first")]
    if log and not low > 0:
        return [(kind, f"a log range must lie above 0, and {shown} does not")]
    return []


def _problems(parameters: object, elsewhere: Iterable[str] = ()) -> list[str]:
    """All that is wrong with a set of parameters; parents named in `elsewhere` are known to be broken already."""
    if not isinstance(parameters, Mapping):
        return [f"must be a mapping of parameter names to parameters, not {show(parameters)}"]
    if not parameters:
        return ["holds no parameter; there is nothing to tune"]
    if len(parameters) > MOST_PARAMETERS:
        return [f"holds {len(parameters)} parameters, {MOST_PARAMETERS} at most"]
    found = []
    for name, parameter in parameters.items():
        if not is_name(name):
            found.append(
                f"{show(name)}: cannot name a parameter (a letter or _ first, then letters, digits, _ . -)"
            )
        elif not isinstance(parameter, (Float, Int, Choice)):
            found.append(f"{name}: must be a Float, Int or Choice, not {show(parameter)}")
        else:
            found += [f"{name}.{where}: {text}" for where, text in parameter.flaws()]
    return found or _when_problems(parameters, frozenset(elsewhere))


def _when_problems(parameters: Mapping[str, Parameter], elsewhere: frozenset[str]) -> list[str]:
    """What is wrong with the conditions of parameters that are sound by themselves."""
    found = []
    for name, parameter in parameters.items():
        when = parameter.when
        if when is None:
            continue
        if not isinstance(when, Mapping) or not when:
            found.append(
                f"{name}.when: must name a parameter and its values, such as {{optimizer: sgd}}, not {show(when)}"
            )
            continue
        for parent, values in when.items():
            if parent not in elsewhere:
                found += [
                    f"{name}.when.{parent}: {text}"
                    for text in _parent_flaws(name, parent, values, parameters)
                ]
    if found or elsewhere:
        return found
    return [
        f"{name}.when: hangs on itself, through {', '.join(map(str, parameter.when or ()))}"
        for name, parameter in parameters.items()
        if name in _ancestors(name, parameters)
    ]


def _ancestors(name: str, parameters: Mapping[str, Parameter]) -> set[str]:
    """All that its condition hangs on, at any distance; itself among them where conditions go round."""
    found: set[str] = set()
    waiting = list(parameters[name].when or ())
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += parameters[parent].when or ()
    return found


def _parent_flaws(name: str, parent: str, values: object, parameters: Mapping[str, Parameter]) -> list[str]:
    if parent not in parameters:
        others = [other for other in parameters if other != name]
        return [f"is no parameter of this space; {nearest(parent, others)}"]
    found = parameters[parent]
    if isinstance(found, Float):
        return ["a condition needs a choice or an int, and this is a float"]
    wanted = _listed(values)
    if not wanted:
        return ["needs at least one value"]
    flaws = []
    for value in wanted:
        try:
            found.fit(value)
        except ValueError as problem:
            flaws.append(str(problem))
    return flaws


def _listed(values: object) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, (list, tuple, set, frozenset)) else (values,)


def _canonical_when(
    when: When | None, parameters: Mapping[str, Parameter]
) -> dict[str, tuple[Any, ...]] | None:
    """The same condition, each parent's values as that parent writes them, once each and in its order."""
    if when is None:
        return None
    return {parent: _ordered(parameters[parent], _listed(values)) for parent, values in sorted(when.items())}


def _ordered(parent: Parameter, values: tuple[Any, ...]) -> tuple[Any, ...]:
    by_place = {parent.to_unit(fitting): fitting for fitting in map(parent.fit, values)}
    return tuple(by_place[place] for place in sorted(by_place))


def _parents_first(parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    """The names, parents before their children and else by name; conditions must not go round."""
    placed: list[str] = []
    waiting = sorted(parameters)
    while waiting:
        ready = next(name for name in waiting if all(p in placed for p in parameters[name].when or ()))
        placed.append(ready)
        waiting.remove(ready)
    return tuple(placed)


def _is_active(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether it counts, `values` holding the active parents decided so far."""
    if not parameter.when:
        return True
    return all(
        parent in values and any(same(values[parent], wanted) for wanted in wanteds)
        for parent, wanteds in parameter.when.items()
    )


def condition_of(parameter: Parameter) -> str:
    """When the parameter exists, in words: `only when optimizer is 'sgd'`; "" for always."""
    if not parameter.when:
        return ""
    parts = [
        f"{parent} is {' or '.join(show(v) if isinstance(v, str) else json.dumps(v) for v in values)}"
        for parent, values in parameter.when.items()
    ]
    return "only when " + " and ".join(parts)


def _families(parameters: Mapping[str, Parameter], names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The names grouped so that conditions never cross a group: what can be counted apart and multiplied."""
    family = {name: {name} for name in names}
    for name in names:
        for parent in parameters[name].when or ():
            merged = family[name] | family[parent]
            family.update(dict.fromkeys(merged, merged))
    return sorted({tuple(name for name in names if name in group) for group in family.values()})


def _mentioned(parameters: Mapping[str, Parameter]) -> dict[str, list[Any]]:
    """The values of each parent that some condition names."""
    found: dict[str, list[Any]] = {}
    for parameter in parameters.values():
        for parent, values in (parameter.when or {}).items():
            known = found.setdefault(parent, [])
            known += [value for value in values if not any(same(value, other) for other in known)]
    return found


def _count(
    parameters: Mapping[str, Parameter],
    names: tuple[str, ...],
    mentioned: Mapping[str, list[Any]],
    values: Mapping[str, Any],
) -> int | None:
    """How many configurations `names` have, given the parents' `values`; None when one of them is continuous.

    Only parents branch, and only on values that a condition names: the rest of a parent's values count as one
    branch, taken as often as there are such values.
    """
    if not names:
        return 1
    name, rest = names[0], names[1:]
    parameter = parameters[name]
    if not _is_active(parameter, values):
        return _count(parameters, rest, mentioned, values)
    if parameter.count is None:
        return None
    branches = [(1, {**values, name: value}) for value in mentioned.get(name, [])]
    others = parameter.count - len(branches)
    if others:
        # A parent whose value no condition names reads, to every child, like one that has no value.
        branches.append((others, dict(values)))
    total = 0
    for times, chosen in branches:
        count = _count(parameters, rest, mentioned, chosen)
        if count is None:
            return None
        total += times * count
    return total


def _parameter_to_dict(parameter: Parameter) -> dict[str, Any]:
    form: dict[str, Any]
    if isinstance(parameter, Choice):
        form = {"choice": list(parameter.options)}
    else:
        form = {type(parameter).__name__.lower(): [parameter.low, parameter.high]}
        if parameter.log:
            form["log"] = True
        if parameter.step is not None:
            form["step"] = parameter.step
    if parameter.when:
        form["when"] = {
            parent: values[0] if len(values) == 1 else list(values)
            for parent, values in parameter.when.items()
        }
    return form


def _parameter_from_dict(form: object) -> Parameter:
    """One parameter of a study file. Raises SpaceInvalid whose lines start with `: ` or `.key: `."""
    example = "such as {float: [0.1, 1.0]}, {int: [1, 9]} or {choice: [a, b]}"
    if not isinstance(form, Mapping):
        raise SpaceInvalid(f": must be a mapping {example}, not {show(form)}")
    kinds = [key for key in form if key in _KINDS]
    extras = {"when"} if kinds == ["choice"] else {"log", "step", "when"}
    known = extras | set(kinds or _KINDS)
    problems = [f".{key}: is not known here; {nearest(key, known)}" for key in form if key not in known]
    if len(kinds) != 1:
        problems.append(f": needs exactly one of float, int and choice, {example}")
    _raise_if(problems)
    kind, rest = kinds[0], {key: form[key] for key in extras if form.get(key) is not None}
    content = form[kind]
    if kind == "choice":
        if not isinstance(content, (list, tuple)):
            raise SpaceInvalid(f".choice: needs a list of options, not {show(content)}")
        return Choice(tuple(content), **rest)
    if not isinstance(content, (list, tuple)) or len(content) != 2:
        raise SpaceInvalid(f".{kind}: needs [low, high], not {show(content)}")
    build = Float if kind == "float" else Int
    return build(content[0], content[1], **rest)
