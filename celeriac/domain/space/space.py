"""The space itself: parameters checked as a whole, and what is drawn from it, placed in its unit box, listed and
written down.

Rule: whatever is handed out fits the space; whatever comes in is checked, but for `to_unit`, which takes what was
handed out.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from celeriac.domain.errors import SpaceInvalid
from celeriac.domain.space.conditions import canonical_when, condition_of, is_active, parents_first, when_problems
from celeriac.domain.space.counting import configurations
from celeriac.domain.space.forms import parameter_from_dict, parameter_to_dict
from celeriac.domain.space.parameters import Choice, Float, Int, Parameter
from celeriac.domain.space.words import is_name, nearest, show

if TYPE_CHECKING:
    import random

MOST_PARAMETERS = 200
#: An inactive parameter's place in the unit box: the middle, as far from "known" as from any edge.
INACTIVE = 0.5


@dataclass(frozen=True, slots=True)
class Space:
    """Named parameters, checked as a whole; the promise of `celeriac.domain.space` is this class's.

    Raises SpaceInvalid with one line for each thing that is wrong, such as `lr.float: the range [1, 0] is inverted`.
    """

    parameters: Mapping[str, Parameter]
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if problems := _problems(self.parameters):
            raise SpaceInvalid(problems)
        plain = {name: parameter.canonical() for name, parameter in self.parameters.items()}
        checked = {name: replace(p, when=canonical_when(p.when, plain)) for name, p in plain.items()}
        object.__setattr__(self, "parameters", MappingProxyType(checked))
        object.__setattr__(self, "names", parents_first(checked))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Space, (dict(self.parameters),)) if self.parameters else (Space.unknown, ())

    @classmethod
    def unknown(cls) -> "Space":
        """A space of which nothing is known yet: no parameter, and the one point without any."""
        space = object.__new__(cls)
        object.__setattr__(space, "parameters", MappingProxyType({}))
        object.__setattr__(space, "names", ())
        return space

    @property
    def shape(self) -> tuple[str, ...]:
        """The names of the parameters that may not differ among the trials of one pack; in column order."""
        return tuple(name for name in self.names if self.parameters[name].shape)

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as this space writes them: ints int, floats float, options as declared, noise of 1e-9 removed.

        Raises SpaceInvalid, one line a parameter: out of range, off its grid, no option, missing, unknown, or given
        though it is not active.
        """
        if not isinstance(params, Mapping):
            raise SpaceInvalid(f"parameters must be a mapping of names to values, not {show(params)}")
        if len(params) > MOST_PARAMETERS:
            raise SpaceInvalid(_too_many(params))
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
            active = is_active(parameter, values)
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
        if problems:
            raise SpaceInvalid(problems)
        return values

    def active(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the parameters that count, given the values of their parents in `params`; in column order."""
        values: dict[str, Any] = {}
        names = []
        for name in self.names:
            if is_active(self.parameters[name], values):
                names.append(name)
                if name in params:
                    values[name] = params[name]
        return tuple(names)

    def sample(self, rng: "random.Random") -> dict[str, Any]:
        """A configuration drawn uniformly from the unit box; one number is drawn a column, active or not."""
        return self.from_unit([rng.random() for _ in self.names])

    def to_unit(self, params: Mapping[str, Any]) -> list[float]:
        """A place in the unit box, one column a name in `names`; an inactive parameter lies at 0.5.

        `params` must fit (`validate`, `sample`, `from_unit` and `grid` hand out such): they are not checked again.
        `from_unit(to_unit(p)) == p`, exactly for ints, choices and stepped floats, to rounding for others.
        """
        return [self.parameters[name].to_unit(params[name]) if name in params else INACTIVE for name in self.names]

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
            if is_active(parameter, values):
                values[name] = parameter.from_unit(min(max(float(unit), 0.0), 1.0))
        return values

    def cardinality(self) -> int | None:
        """How many configurations there are, exactly; None when some parameter that can be active is continuous, or
        when its conditions take too long to count (`counting.MOST_STEPS`).
        """
        return configurations(self.parameters, self.names)

    def grid(self, points_per_float: int = 10) -> Iterator[dict[str, Any]]:
        """Each configuration of the grid once, lazily, the last column changing fastest.

        Continuous floats get `points_per_float` values, both ends among them; all else gets every value it can take.
        """
        if points_per_float < 1:
            raise SpaceInvalid(f"a grid needs at least 1 point a float, not {points_per_float}")
        return self._grid(self.names, {}, points_per_float)

    def _grid(self, names: tuple[str, ...], values: dict[str, Any], per_float: int) -> Iterator[dict[str, Any]]:
        if not names:
            yield dict(values)
            return
        name, rest = names[0], names[1:]
        parameter = self.parameters[name]
        if not is_active(parameter, values):
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
        return {name: parameter_to_dict(parameter) for name, parameter in self.parameters.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Space":
        """The space of a study file's form. Raises SpaceInvalid with all that is wrong, each line led by its key
        path.
        """
        if not isinstance(data, Mapping):
            raise SpaceInvalid(f"must be a mapping of parameter names to parameters, not {show(data)}")
        if len(data) > MOST_PARAMETERS:
            raise SpaceInvalid(_too_many(data))
        parameters: dict[str, Parameter] = {}
        problems: list[str] = []
        for name, form in data.items():
            try:
                parameters[name] = parameter_from_dict(form)
            except SpaceInvalid as error:
                problems += [f"{name}{problem}" for problem in error.problems]
        if problems:
            # The rest is checked too, so that one reading shows all; without what the broken ones were parents of.
            problems += _problems(parameters, elsewhere=set(data) - set(parameters)) if parameters else []
            raise SpaceInvalid(problems)
        return cls(parameters)


def _too_many(given: Mapping[str, Any]) -> str:
    return f"holds {len(given)} parameters, {MOST_PARAMETERS} at most"


def _problems(parameters: object, elsewhere: Iterable[str] = ()) -> list[str]:
    """All that is wrong with a set of parameters; parents named in `elsewhere` are known to be broken already."""
    if not isinstance(parameters, Mapping):
        return [f"must be a mapping of parameter names to parameters, not {show(parameters)}"]
    if not parameters:
        return ["holds no parameter; there is nothing to tune"]
    if len(parameters) > MOST_PARAMETERS:
        return [_too_many(parameters)]
    found = []
    for name, parameter in parameters.items():
        if not is_name(name):
            found.append(f"{show(name)}: cannot name a parameter (a letter or _ first, then letters, digits, _ . -)")
        elif not isinstance(parameter, (Float, Int, Choice)):
            found.append(f"{name}: must be a Float, Int or Choice, not {show(parameter)}")
        else:
            found += [f"{name}.{where}: {text}" for where, text in parameter.flaws()]
    return found or when_problems(parameters, frozenset(elsewhere))
