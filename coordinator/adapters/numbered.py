"""A parameter's values as other libraries shall see them: by number where they can be counted, else as they are.

By number, so that 1, 1.0 and True may all be options of one choice, and a grid's values are exact on the way back.
"""

from typing import Any

from celeriac.domain.space import Choice, Int, Parameter


def is_numbered(parameter: Parameter) -> bool:
    """Whether values go by number: choices, ints and stepped floats. An int of a log range is not, whose values
    matter.
    """
    return isinstance(parameter, Choice) or (parameter.count is not None and not parameter.log)


def number_of(parameter: Parameter, value: Any) -> Any:
    """The number of a value, from 0, or the value itself."""
    return int(parameter.to_unit(value) * (parameter.count or 1)) if is_numbered(parameter) else value


def value_of(parameter: Parameter, number: Any) -> Any:
    """The value of a number; what is not numbered in plain Python, within its range."""
    if isinstance(parameter, Choice) or is_numbered(parameter):
        return parameter.from_unit((int(number) + 0.5) / (parameter.count or 1))
    plain = int(number) if isinstance(parameter, Int) else float(number)
    return min(max(plain, parameter.low), parameter.high)
