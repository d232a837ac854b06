"""The peers as they come: default settings, their own kinds of parameters, and their own way of knowing what is pending.

Optuna is told by running trials; skopt by the lies of its own `ask` (cl_min, the least value seen, the default); BoTorch by
`X_pending`. What a peer does badly by itself (skopt repeats points) is its behaviour and stays. Log ranges, steps and
names go to each as such. No conditions: no problem here has any.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from benchmarks.search.clock import Ask, Ended, Trial
from celeriac.space import Choice, Int, Parameter, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _tpe(space: Space, seed: int) -> Ask:
    return _optuna(space, optuna.samplers.TPESampler(seed=seed))


def _gp(space: Space, seed: int) -> Ask:
    return _optuna(space, optuna.samplers.GPSampler(seed=seed))


def _optuna(space: Space, sampler: optuna.samplers.BaseSampler) -> Ask:
    """Ask and tell on a study in memory."""
    study = optuna.create_study(direction="minimize", sampler=sampler)
    distributions = {name: _distribution(space.parameters[name]) for name in space.names}
    trials: dict[int, optuna.trial.Trial] = {}
    told = 0

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        nonlocal told
        for end in ended[told:]:
            study.tell(trials[end.trial.number], end.loss)
        told = len(ended)
        trial = study.ask(distributions)
        trials[trial.number] = trial
        return dict(trial.params)

    return ask


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(parameter.options)
    if isinstance(parameter, Int):
        return optuna.distributions.IntDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1
        )
    return optuna.distributions.FloatDistribution(
        parameter.low, parameter.high, log=parameter.log, step=parameter.step
    )


MAKERS: Mapping[str, Callable[[Space, int], Ask]] = {"tpe": _tpe, "gp": _gp}
