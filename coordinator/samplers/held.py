"""A space of which some parameters are held to given values: what is suggested in it has exactly these.

A model knows the whole space all the same, and looks for the best point of this part of it: columns, encoding and keys
are those of the whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.space import Space


@dataclass(frozen=True, slots=True)
class HeldSpace(Space):
    """The part of a space in which `held` is so. What a held parameter hangs on must be held as well."""

    held: Mapping[str, Any] = field(default_factory=dict)

    def __reduce__(self) -> tuple[type["HeldSpace"], tuple[dict[str, Any], dict[str, Any]]]:
        return HeldSpace, (dict(self.parameters), dict(self.held))

    @property
    def columns(self) -> dict[int, float]:
        """Of the unit box: the columns that are held, each with its place."""
        return {
            column: self.parameters[name].to_unit(self.held[name])
            for column, name in enumerate(self.names)
            if name in self.held
        }

    def from_unit(self, vector: Sequence[float]) -> dict[str, Any]:
        """As `Space.from_unit`, whatever the held columns say."""
        columns = self.columns
        return Space.from_unit(self, [columns.get(column, unit) for column, unit in enumerate(vector)])

    def grid(self, points_per_float: int = 10) -> Iterator[dict[str, Any]]:
        """The configurations of the grid that are held so; a held float that no point of it has, has none."""
        for params in Space.grid(self, points_per_float):
            if all(params.get(name) == value for name, value in self.held.items()):
                yield params


def held(space: Space, values: Mapping[str, Any]) -> Space:
    """The space with these parameters held."""
    return HeldSpace(space.parameters, dict(values)) if values else space
