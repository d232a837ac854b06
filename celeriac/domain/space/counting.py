"""How many configurations a space has, exactly, without walking through them.

Rule: conditions never cross a family of parameters, so families are counted apart and multiplied; within one, only
parents branch.
"""

from collections.abc import Mapping
from typing import Any

from celeriac.domain.space.conditions import is_active
from celeriac.domain.space.parameters import Parameter
from celeriac.domain.space.words import same


def configurations(parameters: Mapping[str, Parameter], names: tuple[str, ...]) -> int | None:
    """How many there are; None when some parameter that can be active is continuous. `names`: all, parents before
    their children.
    """
    total = 1
    mentioned = _mentioned(parameters)
    for family in _families(parameters, names):
        count = _count(parameters, family, mentioned, {})
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
    if not is_active(parameter, values):
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
