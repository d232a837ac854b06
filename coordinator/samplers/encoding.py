"""A space as arrays: snaps, varies and encodes thousands of points of the unit box at once.

It agrees with `Space.to_unit` and `Space.from_unit` (a test compares them); columns are `Space.names`. A model sees
the points `encoded`, so that distances mean something; `groups` names each column's parameter:

a number               its place in [0, 1]
a choice               one column for each option (two options: one column): any two options have distance 1
a conditional number   a point of an arc of radius ½: two active ones differ by (nearly) their difference, two inactive
                       ones by nothing, an active and an inactive one by ½, whatever the active one's value is
a conditional choice   as a choice, with inactive at the origin

The arc is Swersky et al. 2014, "Raiders of the Lost Architecture: Kernels for Bayesian Optimization in Conditional
Parameter Spaces".
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeriac.domain.space import INACTIVE, Choice, Float, Int, Space
from coordinator.samplers.held import HeldSpace

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SAME = 1e-9


class Box:
    """The arrays' view of one space."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._parameters = [space.parameters[name] for name in space.names]
        self._held = space.columns if isinstance(space, HeldSpace) else {}
        self._column = {name: column for column, name in enumerate(space.names)}

    @property
    def columns(self) -> int:
        """How many columns the unit box has."""
        return len(self._parameters)

    def units(self, units: Sequence[tuple[float, ...]]) -> Array:
        """Places as one array, a row each."""
        return np.array(units, dtype=np.float64).reshape(len(units), self.columns)

    def snapped(self, places: Array) -> Array:
        """The places of the configurations that `Space.from_unit` makes of these."""
        out = np.clip(places, 0.0, 1.0)
        for column, unit in self._held.items():
            out[:, column] = unit
        for column, parameter in enumerate(self._parameters):
            out[:, column] = _on_grid(parameter, out[:, column])
        out[~self._active(out)] = INACTIVE
        return out

    def _active(self, places: Array) -> Mask:
        """Which parameters count at each snapped place."""
        active = np.ones(places.shape, dtype=bool)
        for column, parameter in enumerate(self._parameters):
            if parameter.when:
                active[:, column] = self._is_active(parameter, places, active)
        return active

    @property
    def groups(self) -> tuple[int, ...]:
        """For each column of `encoded`, the place of its parameter in `Space.names`."""
        wide = [self._width(parameter) for parameter in self._parameters]
        return tuple(place for place, width in enumerate(wide) for _ in range(width))

    def encoded(self, places: Array) -> Array:
        """What a model sees of snapped places: shape (places, len(groups))."""
        active = self._active(places)
        blocks = [
            self._encoded(parameter, places[:, column], active[:, column])
            for column, parameter in enumerate(self._parameters)
        ]
        return np.hstack(blocks)

    def _width(self, parameter: Float | Int | Choice) -> int:
        if isinstance(parameter, Choice):
            return 1 if parameter.count <= 2 and not parameter.when else parameter.count
        return 2 if parameter.when else 1

    def _encoded(self, parameter: Float | Int | Choice, place: Array, active: Mask) -> Array:
        """The columns of one parameter."""
        if not isinstance(parameter, Choice):
            if not parameter.when:
                return place[:, None]
            angle = 2.0 * place
            return 0.5 * np.column_stack([np.cos(angle), np.sin(angle)]) * active[:, None]
        cell = np.minimum(np.floor(place * parameter.count), parameter.count - 1)
        if self._width(parameter) == 1:
            return cell[:, None]
        one_of: Mask = (cell[:, None] == np.arange(parameter.count)) & active[:, None]
        return np.asarray(one_of * math.sqrt(0.5))

    def around(self, centres: Array, copies: int, scale: float, rng: np.random.Generator) -> Array:
        """`copies` variations of each centre: at least one column each moved by about `scale`, or a step, or to any
        option.
        """
        base = np.repeat(centres, copies, axis=0)
        moved = rng.random(base.shape) < max(1.0 / self.columns, 0.35)
        moved[np.arange(len(base)), rng.integers(self.columns, size=len(base))] = True
        new = base.copy()
        for column, parameter in enumerate(self._parameters):
            if isinstance(parameter, Choice):
                new[:, column] = rng.random(len(base))
            else:
                reach = max(scale, 1.2 / parameter.count) if parameter.count else scale
                new[:, column] += reach * rng.standard_normal(len(base))
        return self.snapped(np.where(moved, new, base))

    def all_places(self, most: int) -> Array | None:
        """Every point of a finite space of at most `most` points; None for any other."""
        size = self.space.cardinality()
        if size is None or size > most:
            return None
        return self.units([tuple(self.space.to_unit(params)) for params in self.space.grid()])

    def params(self, place: Array) -> dict[str, Any]:
        """The configuration at one place, in plain Python values."""
        return self.space.from_unit([float(u) for u in place])

    def most_promising(self, places: Array, promises: Array, seen: set[str]) -> tuple[dict[str, Any], Array] | None:
        """The configuration of the most promising of these places whose key is not in `seen`, and that place as a row;
        None when all are.
        """
        for row in np.argsort(-promises, kind="stable"):
            params = self.params(places[row])
            if self.space.key(params) not in seen:
                return params, places[row : row + 1]
        return None

    def _is_active(self, parameter: Float | Int | Choice, places: Array, active: Mask) -> Mask:
        """In which rows the parameter counts; its parents' columns are done already."""
        found = np.ones(len(places), dtype=bool)
        for parent, wanted in (parameter.when or {}).items():
            column = self._column[parent]
            allowed = [self._parameters[column].to_unit(value) for value in wanted]
            near = np.abs(places[:, column][:, None] - np.array(allowed)) < _SAME
            found &= active[:, column] & near.any(axis=1)
        return found


def _on_grid(parameter: Float | Int | Choice, place: Array) -> Array:
    if isinstance(parameter, Int) and parameter.log:
        start, end = math.log(parameter.low - 0.5), math.log(parameter.high + 0.5)
        value = np.floor(np.exp(start + place * (end - start)) + 0.5)
        snapped: Array = (np.log(np.clip(value, parameter.low, parameter.high)) - start) / (end - start)
        return snapped
    if parameter.count is None:
        return place
    cell: Array = np.minimum(np.floor(place * parameter.count), parameter.count - 1)
    return (cell + 0.5) / parameter.count
