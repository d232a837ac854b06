"""How many configurations a space has, exactly, without walking through them.

Rule: conditions never cross a family of parameters, so families are counted apart and multiplied; within one, only
parents branch. A condition on many parents makes them one family, whose branches double with each: a file of 40 lines
could hold a program up for ever, so nobody counts more than so many.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeriac.domain.space.conditions import is_active
from celeriac.domain.space.parameters import Parameter

MOST_STEPS = 100_000


def configurations(parameters: Mapping[str, Parameter], names: tuple[str, ...]) -> int | None:
    """How many there are; None when some parameter that can be active is continuous, or when a family takes more than
    `MOST_STEPS` to count. `names`: all, parents before their children.
    """
    total = 1
    mentioned = _mentioned(parameters)
    for family in _families(parameters, names):
        try:
            count = _Counter(parameters, mentioned).count(family, {})
        except _Uncounted:
            return None
        if count is None:
            return None
        total *= count
    return total


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
    found: dict[str, dict[tuple[bool, Any], Any]] = {}
    for parameter in parameters.values():
        for parent, values in (parameter.when or {}).items():
            found.setdefault(parent, {}).update({(isinstance(value, bool), value): value for value in values})
    return {parent: list(known.values()) for parent, known in found.items()}


class _Uncounted(Exception):
    """A family takes too many steps."""


@dataclass(slots=True)
class _Counter:
    """Counts one family; `left` steps, each a parameter or a condition that is looked at."""

    parameters: Mapping[str, Parameter]
    mentioned: Mapping[str, list[Any]]
    left: int = MOST_STEPS

    def count(self, names: tuple[str, ...], values: Mapping[str, Any]) -> int | None:
        """How many configurations `names` have, given the parents' `values`; None when one of them is continuous.

        Only parents branch, and only on values that a condition names: the rest of a parent's values count as one
        branch, taken as often as there are such values. Raises _Uncounted.
        """
        if not names:
            return 1
        name, rest = names[0], names[1:]
        parameter = self.parameters[name]
        self.left -= 1 + len(parameter.when or ())
        if self.left < 0:
            raise _Uncounted
        if not is_active(parameter, values):
            return self.count(rest, values)
        if parameter.count is None:
            return None
        branches = [(1, {**values, name: value}) for value in self.mentioned.get(name, [])]
        others = parameter.count - len(branches)
        if others:
            # A parent whose value no condition names reads, to every child, like one that has no value.
            branches.append((others, dict(values)))
        total = 0
        for times, chosen in branches:
            count = self.count(rest, chosen)
            if count is None:
                return None
            total += times * count
        return total
