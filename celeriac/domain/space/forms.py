"""A parameter as a study file writes it: `{float: [0.0001, 0.1], log: true}`.

Rule: here the form is judged, its keys and shapes; what it describes, a range or an option, is judged by `Space`.
"""

from collections.abc import Mapping
from typing import Any

from celeriac.domain.errors import SpaceInvalid
from celeriac.domain.space.parameters import Choice, Float, Int, Parameter
from celeriac.domain.space.words import nearest, show

_KINDS: Mapping[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}


def parameter_to_dict(parameter: Parameter) -> dict[str, Any]:
    """The form of a parameter of a space, canonical: what is not set is left out, and `parameter_from_dict` gives it
    back.
    """
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
            parent: values[0] if len(values) == 1 else list(values) for parent, values in parameter.when.items()
        }
    if parameter.shape:
        form["shape"] = True
    return form


def parameter_from_dict(form: object) -> Parameter:
    """The parameter of a form, its ranges, options and condition unchecked. Raises SpaceInvalid whose lines start with
    `: ` or `.key: `.
    """
    example = "such as {float: [0.1, 1.0]}, {int: [1, 9]} or {choice: [a, b]}"
    if not isinstance(form, Mapping):
        raise SpaceInvalid(f": must be a mapping {example}, not {show(form)}")
    kinds = [key for key in form if key in _KINDS]
    extras = {"when", "shape"} if kinds == ["choice"] else {"log", "step", "when", "shape"}
    known = extras | set(kinds or _KINDS)
    problems = [f".{key}: is not known here; {nearest(key, known)}" for key in form if key not in known]
    if len(kinds) != 1:
        problems.append(f": needs exactly one of float, int and choice, {example}")
    if problems:
        raise SpaceInvalid(problems)
    if not isinstance(form.get("shape", False), bool):
        raise SpaceInvalid(f".shape: must be true or false, not {show(form['shape'])}")
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
