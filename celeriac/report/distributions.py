"""Parameters as Optuna has them. Rule: what is not in the space is left out; in a space that is learned a trial may
have asked for another range.
"""

from typing import TYPE_CHECKING, Any

from celeriac.domain.records import TrialRecord
from celeriac.domain.space import Choice, Float, Parameter, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def params_of(space: Space, trial: TrialRecord) -> tuple[dict[str, Any], dict[str, "BaseDistribution"]]:
    """A trial's parameters that are in the space, and their ranges."""
    params: dict[str, Any] = {}
    kinds: dict[str, BaseDistribution] = {}
    for name, parameter in space.parameters.items():
        try:
            value = parameter.fit(trial.params[name])
        except (KeyError, ValueError):
            continue
        params[name] = _option(parameter, value) if isinstance(parameter, Choice) else value
        kinds[name] = distribution(parameter)
    return params, kinds


def distribution(parameter: Parameter) -> "BaseDistribution":
    """A parameter's range."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution([_option(parameter, each) for each in parameter.options])
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1)


def _option(parameter: Choice, option: Any) -> Any:
    """An option; as text where Optuna would take two of them for one (1 and true)."""
    return option if len(set(parameter.options)) == len(parameter.options) else repr(option)
