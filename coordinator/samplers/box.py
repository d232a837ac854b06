"""A space as arrays: thousands of places in its unit box snapped, varied and encoded for a model at once.

Agrees with `Space.to_unit` and `Space.from_unit` (a test compares them); columns are `Space.names`. A model sees a number as
its place in [0, 1], a choice of two as 0 or 1, a choice of more as one column an option, so that any two options lie at
distance 1; an inactive parameter as the middle, so that it adds nothing to a distance between two points without it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeriac.space import INACTIVE, Choice, Float, Int, Space

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SAME = 1e-9


class Box:
    """The arrays' view of one space."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._parameters = [space.parameters[name] for name in space.names]
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
        active = np.ones(out.shape, dtype=bool)
        for column, parameter in enumerate(self._parameters):
            out[:, column] = _on_grid(parameter, out[:, column])
            active[:, column] = self._is_active(parameter, out, active)
            out[~active[:, column], column] = INACTIVE
        return out

    def encoded(self, places: Array) -> Array:
        """What a model sees of snapped places."""
        blocks: list[Array] = []
        for column, parameter in enumerate(self._parameters):
            place = places[:, column]
            if not isinstance(parameter, Choice):
                blocks.append(place[:, None])
            elif parameter.count == 2:
                blocks.append(np.where(place == INACTIVE, INACTIVE, np.floor(place * 2))[:, None])
            elif parameter.count > 2:
                # An inactive choice lies as far from each option, and is told apart by its parent's column.
                cell = np.minimum(np.floor(place * parameter.count), parameter.count - 1)
                blocks.append((cell[:, None] == np.arange(parameter.count)) * math.sqrt(0.5))
        return np.hstack(blocks) if blocks else np.zeros((len(places), 1))

    def around(self, centres: Array, copies: int, scale: float, rng: np.random.Generator) -> Array:
        """`copies` variations of each centre: at least one column each moved by about `scale`, or a step, or to any option."""
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

    def params(self, place: Array) -> dict[str, Any]:
        """The configuration at one place, in plain Python values."""
        return self.space.from_unit([float(u) for u in place])

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
