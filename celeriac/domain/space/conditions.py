"""When a parameter counts: the conditions of a space (`when`), what they hang on, and what they mean for one
configuration.

Rule: a condition names parents and, for each, the values of which one must be there; a parent that does not count
itself has no value. All but `when_problems` are asked of conditions without a flaw, and `is_active` and `condition_of`
of canonical ones.
"""

import json
from collections.abc import Mapping
from typing import Any

from celeriac.domain.space.parameters import Float, Parameter, When
from celeriac.domain.space.words import nearest, same, show


def when_problems(parameters: Mapping[str, Parameter], elsewhere: frozenset[str]) -> list[str]:
    """What is wrong with the conditions of parameters that are sound by themselves, a line each, led by its key path.

    Parents named in `elsewhere` are known to be broken already: what a condition says of them is not judged.
    """
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
                found += [f"{name}.when.{parent}: {text}" for text in _parent_flaws(name, parent, values, parameters)]
    if found or elsewhere:
        return found
    if loose := _loose_shapes(parameters):
        return loose
    return [
        f"{name}.when: hangs on itself, through {', '.join(map(str, parameter.when or ()))}"
        for name, parameter in parameters.items()
        if name in _ancestors(name, parameters)
    ]


def _loose_shapes(parameters: Mapping[str, Parameter]) -> list[str]:
    """Parameters of the shape that hang on others: trials of equal shape would not have the same parameters."""
    return [
        f"{name}.shape: hangs on {parent}, which is not marked `shape: true`; mark it too"
        for name, parameter in parameters.items()
        for parent in parameter.when or ()
        if parameter.shape and not parameters[parent].shape
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


def canonical_when(when: When | None, parameters: Mapping[str, Parameter]) -> dict[str, tuple[Any, ...]] | None:
    """The same condition, each parent's values as that parent writes them, once each and in its order."""
    if when is None:
        return None
    return {parent: _ordered(parameters[parent], _listed(values)) for parent, values in sorted(when.items())}


def _ordered(parent: Parameter, values: tuple[Any, ...]) -> tuple[Any, ...]:
    by_place = {parent.to_unit(fitting): fitting for fitting in map(parent.fit, values)}
    return tuple(by_place[place] for place in sorted(by_place))


def parents_first(parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    """The names, parents before their children and else by name; conditions must not go round."""
    placed: list[str] = []
    waiting = sorted(parameters)
    while waiting:
        ready = next(name for name in waiting if all(p in placed for p in parameters[name].when or ()))
        placed.append(ready)
        waiting.remove(ready)
    return tuple(placed)


def is_active(parameter: Parameter, values: Mapping[str, Any]) -> bool:
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
