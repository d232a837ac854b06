"""A sweep's overrides as a space, and a trial's parameters as overrides again.

A key such as `db/engine@db` cannot name a parameter: it gets a name of its own, and the table to find the way back.
Options are kept as Hydra writes them, so that what is handed to Hydra is what the user wrote.
Interface: https://hydra.cc/docs/advanced/override_grammar/extended/
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.space import Choice, Float, Int, Parameter, Space

_ESCAPED = re.compile(r"\\(.)")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep asks for. `fixed`: overrides that are the same for all trials. `keys`: each parameter's override
    key. `options`: of a choice, each option as Hydra writes it, in the order of the options.
    """

    space: Space
    fixed: tuple[str, ...]
    keys: Mapping[str, str]
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of one trial."""
        return [*self.fixed, *(f"{self.keys[name]}={self._written(name, value)}" for name, value in params.items())]

    def _written(self, name: str, value: Any) -> str:
        parameter = self.space.parameters[name]
        if isinstance(parameter, Choice):
            return self.options[name][parameter.options.index(value)]
        return repr(value)


def swept(overrides: Iterable[Any]) -> Swept:
    """The space of parsed overrides (`hydra.core.override_parser.types.Override`).

    Raises ValueError where nothing is swept, or by none of a choice, a range or an interval, SpaceInvalid for a range
    that is none.
    """
    parameters: dict[str, Parameter] = {}
    fixed: dict[str, str] = {}
    keys: dict[str, str] = {}
    options: dict[str, Sequence[str]] = {}
    for each in overrides:
        key = each.get_key_element()
        if not each.is_sweep_override():
            fixed[key] = f"{key}={each.get_value_element_as_str()}"
            continue
        name = next((known for known, its in keys.items() if its == key), None) or _name(key, keys)
        keys[name] = key
        parameters[name], options[name] = _parameter(each)
    if not parameters:
        raise ValueError(
            "nothing is swept: write a parameter as 'lr=interval(0.001,0.1)', 'layers=range(1,5)' or"
            " 'opt=choice(sgd,adam)'"
        )
    shadowed = [key for key in fixed if key in keys.values()]
    if shadowed:
        raise ValueError(f"{', '.join(shadowed)}: both swept and fixed; leave out one of the two")
    return Swept(
        Space(parameters), tuple(fixed.values()), keys, {name: known for name, known in options.items() if known}
    )


def _name(key: str, taken: Iterable[str]) -> str:
    """A name for a key: the key itself where that can be one."""
    name = _NOT_IN_A_NAME.sub("_", key.lstrip("+~")).strip("_.-") or "parameter"
    name = name if name[0].isalpha() or name[0] == "_" else f"_{name}"
    return next(each for each in (name, *(f"{name}_{n}" for n in range(2, 1000))) if each not in taken)


def _parameter(override: Any) -> tuple[Parameter, Sequence[str]]:
    """The parameter that an override sweeps, and its options as Hydra writes them."""
    value = override.value()
    if override.is_interval_sweep():
        is_log, is_whole = "log" in value.tags, isinstance(value.start, int) and isinstance(value.end, int)
        return (Int if is_whole else Float)(value.start, value.end, log=is_log), ()
    if override.is_range_sweep():
        return _range(value.start, value.stop, value.step), ()
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line}: only choice, range, glob and interval can be swept")
    written = list(override.sweep_string_iterator())
    return Choice(tuple(_plain(text) for text in written)), written


def _range(start: Any, stop: Any, step: Any) -> Parameter:
    """`range(start, stop, step)` as Python has it: `stop` is not in it."""
    count = math.ceil((stop - start) / step - 1e-9)
    if count <= 1:
        return Choice((start,)) if count == 1 else Choice(())
    last = start + (count - 1) * step
    low, high = min(start, last), max(start, last)
    if all(isinstance(each, int) for each in (start, stop, step)):
        return Int(low, high, step=abs(step))
    return Float(low, round(high, 12), step=abs(step))


def _plain(text: str) -> str | int | float | bool:
    """An option as a number or truth where it is written as one, else as the text without Hydra's backslashes."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return _ESCAPED.sub(r"\1", text)
