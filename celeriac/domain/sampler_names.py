"""The names that a study file's `sampler` may have, and what each of them needs to be installed where the coordinator
runs.

A name is a word, or `optuna:` with a class of `optuna.samplers`. Which classes there are, only an installed Optuna
knows: here the shape is judged, and the name where Optuna is at hand.
"""

import re
from importlib.util import find_spec
from inspect import isabstract, isclass, signature

from celeriac.domain.space import nearest, show

AUTO = "auto"
OPTUNA = "optuna"
#: All but Optuna's.
NAMES = (AUTO, "bayesian", "forest", "sobol", "random", "grid", "skopt", "botorch")
#: Those whose suggestions come with the gain that is expected of them.
EXPECTING = (AUTO, "bayesian", "forest", "botorch")
#: Those that look at no result; auto among them, since it follows the study.
UNLEARNED = (AUTO, "sobol", "random", "grid")

_SHAPE = re.compile(r"optuna:[A-Za-z]\w*")
#: What each imports, beside what every coordinator has, and the extra that brings it.
_NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "bayesian": (("skopt",), "coordinator"),
    "forest": (("skopt",), "coordinator"),
    "sobol": (("scipy",), "coordinator"),
    "skopt": (("skopt",), "coordinator"),
    "botorch": (("botorch", "torch"), "botorch"),
    "optuna": (("optuna",), "optuna"),
    "optuna:CmaEsSampler": (("optuna", "cmaes"), "optuna"),
    "optuna:GPSampler": (("optuna", "torch"), "optuna,botorch"),
}


def name_flaw(value: object) -> str:
    """What is wrong with a sampler's name, "" when nothing is."""
    if value in NAMES or (isinstance(value, str) and _SHAPE.fullmatch(value)):
        return ""
    if isinstance(value, str) and value.partition(":")[0] == OPTUNA:
        return f"cannot be {show(value)}; name a class of optuna.samplers, such as optuna:TPESampler"
    return f"cannot be {show(value)}; {nearest(value, [*NAMES, 'optuna:TPESampler'])}"


def missing(name: str) -> str:
    """What this Python lacks to run the sampler of that name, with the next step; "" when it has all."""
    modules, extra = _NEEDS.get(name) or _NEEDS.get(name.partition(":")[0]) or ((), "")
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return ""
    lacking = " and ".join(absent)
    return f"the sampler {name} needs {lacking}, not installed here: `pip install 'celeriac[{extra}]'`"


def class_flaw(name: str) -> str:
    """Why the class of `optuna:<Class>` cannot be used, "" when it can (and for every other name). Optuna must be
    installed.
    """
    kind, _, found = name.partition(":")
    known = optuna_classes() if kind == OPTUNA else []
    return (
        ""
        if kind != OPTUNA or found in known
        else f"optuna.samplers has no {found} that can be used; {nearest(found, known)}"
    )


def optuna_classes() -> list[str]:
    """The classes of `optuna.samplers` that can be made from a seed alone. Loads Optuna, which must be there."""
    from optuna import samplers  # a fifth of a second; only its own users pay for it

    found = []
    for name in samplers.__all__:
        each = getattr(samplers, name)
        if isclass(each) and issubclass(each, samplers.BaseSampler) and not isabstract(each):
            needed = [p for p in signature(each).parameters.values() if p.default is p.empty]
            if not needed and "seed" in signature(each).parameters:
                found.append(name)
    return found
