"""The peers as they come: default settings, their own kinds of parameters, and their own way of knowing what is
pending.

Optuna is told by running trials; skopt by the lies of its own `ask` (cl_min, the least value seen, the default);
BoTorch by `X_pending`. What a peer does badly by itself (skopt repeats points) is its behaviour and stays. Log ranges,
steps and names go to each as such. No conditions: no problem here has any.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import optuna

from benchmarks.search.clock import Ask, Ended, Trial
from celeriac.domain.space import Choice, Int, Parameter, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _tpe(space: Space, seed: int) -> Ask:
    return _optuna(space, optuna.samplers.TPESampler(seed=seed))


def _gp(space: Space, seed: int) -> Ask:
    _one_thread()
    return _optuna(space, optuna.samplers.GPSampler(seed=seed))


def _one_thread() -> None:
    """Torch as every method here, whatever the environment says: matrices this small only wait for one another's
    threads.
    """
    import torch

    torch.set_num_threads(1)


def _optuna(space: Space, sampler: optuna.samplers.BaseSampler) -> Ask:
    """Ask and tell on a study in memory; a trial that it did not propose is added as one that runs."""
    study = optuna.create_study(direction="minimize", sampler=sampler)
    distributions = {name: _distribution(space.parameters[name]) for name in space.names}
    numbers: dict[int, int] = {}  # by our numbers, theirs
    told = 0

    def add(trial: Trial) -> None:
        if trial.number not in numbers:
            numbers[trial.number] = len(numbers)
            state = optuna.trial.TrialState.RUNNING
            made = optuna.trial.create_trial(state=state, params=trial.params, distributions=distributions)
            study.add_trial(made)

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        nonlocal told
        for end in ended[told:]:
            add(end.trial)
            study.tell(numbers[end.trial.number], end.loss)
        told = len(ended)
        for trial in running:
            add(trial)
        number = len(ended) + len(running)
        asked = study.ask(distributions)
        numbers[number] = asked.number
        return dict(asked.params)

    return ask


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(parameter.options)
    if isinstance(parameter, Int):
        return optuna.distributions.IntDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1
        )
    return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def _skopt(space: Space, seed: int) -> Ask:
    """`skopt.Optimizer` with its defaults; pending points enter a copy as the lie of its `ask(n_points)`, cl_min."""
    import skopt

    dimensions = [_dimension(name, space.parameters[name]) for name in space.names]
    optimizer = skopt.Optimizer(dimensions, random_state=seed)
    told = 0

    def point(trial: Trial) -> list[Any]:
        return [trial.params[name] for name in space.names]

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        nonlocal told
        with warnings.catch_warnings(action="ignore"):  # it warns of its own repeats
            if ended[told:]:
                optimizer.tell([point(end.trial) for end in ended[told:]], [end.loss for end in ended[told:]])
                told = len(ended)
            asked = optimizer
            if running:
                asked = deepcopy(optimizer)
                asked.rng.seed(optimizer.rng.randint(2**31))
                lie = min(optimizer.yi) if optimizer.yi else 0.0
                asked.tell([point(trial) for trial in running], [lie] * len(running))
            values = asked.ask()
        return {name: _plain(value) for name, value in zip(space.names, values, strict=True)}

    return ask


def _dimension(name: str, parameter: Parameter) -> Any:
    from skopt import space as skopt_space

    if isinstance(parameter, Choice):
        return skopt_space.Categorical(parameter.options, name=name)
    kind = skopt_space.Integer if isinstance(parameter, Int) else skopt_space.Real
    prior = "log-uniform" if parameter.log else "uniform"
    return kind(parameter.low, parameter.high, prior=prior, name=name)


def _plain(value: Any) -> Any:
    """Out of numpy's types, which no JSON takes."""
    return value.item() if hasattr(value, "item") else value


_INITIAL = 10
#: BoTorch's search of its acquisition function: a quarter of its default restarts and raw samples, which take seconds.
_RESTARTS, _RAW = 5, 256


def _botorch(space: Space, seed: int) -> Ask:
    """SingleTaskGP and qLogEI (Ament et al. 2023) after ten Sobol points.

    The model sees names one-hot; the search goes through whole numbers and names in steps
    (`optimize_acqf_mixed_alternating`).
    """
    with warnings.catch_warnings(action="ignore"):  # of what it uses of torch
        import torch
        from botorch.acquisition import qLogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from botorch.optim.optimize_mixed import optimize_acqf_mixed_alternating
        from gpytorch.mlls import ExactMarginalLogLikelihood

    _one_thread()
    torch.manual_seed(seed)
    sobol = torch.quasirandom.SobolEngine(len(space.names), scramble=True, seed=seed)
    columns = _Columns(space)

    def places(trials: Sequence[Trial]) -> torch.Tensor:
        return torch.tensor([columns.place(trial.params) for trial in trials], dtype=torch.double)

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        if len(ended) + len(running) < _INITIAL or not ended:
            return space.from_unit(sobol.draw(1)[0].tolist())
        gains = torch.tensor([[-end.loss] for end in ended], dtype=torch.double)
        with warnings.catch_warnings(action="ignore"):
            model = SingleTaskGP(places([end.trial for end in ended]), gains, input_transform=columns.one_hot())
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            pending = places(running) if running else None
            best, _ = optimize_acqf_mixed_alternating(
                qLogExpectedImprovement(model, best_f=gains.max(), X_pending=pending),
                columns.bounds(),
                discrete_dims=columns.whole,
                cat_dims=columns.names,
                num_restarts=_RESTARTS,
                raw_samples=_RAW,
            )
        return columns.params(best[0].tolist())

    return ask


class _Columns:
    """A space as BoTorch takes it: a number's place in [0, 1], of a choice the option's index."""

    def __init__(self, space: Space) -> None:
        self._space = space
        parameters = [space.parameters[name] for name in space.names]
        self._options = [p.count if isinstance(p, Choice) else 0 for p in parameters]
        self.names = {column: list(range(count)) for column, count in enumerate(self._options) if count}
        self.whole = {
            column: [p.to_unit(value) for value in p.points(0)]
            for column, p in enumerate(parameters)
            if not isinstance(p, Choice) and p.count
        }

    def bounds(self) -> Any:
        """The lowest and the highest value of each column."""
        import torch

        ends = [
            (0.0, count - 1.0) if count else (min(self.whole.get(column, [0.0])), max(self.whole.get(column, [1.0])))
            for column, count in enumerate(self._options)
        ]
        return torch.tensor(ends, dtype=torch.double).T

    def one_hot(self) -> Any:
        """What turns a choice's index into one column an option, inside the model; None without choices."""
        from botorch.models.transforms.input import NumericToCategoricalEncoding
        from torch.nn.functional import one_hot

        if not self.names:
            return None
        counts = {column: len(options) for column, options in self.names.items()}
        encoders = {column: partial(one_hot, num_classes=count) for column, count in counts.items()}
        return NumericToCategoricalEncoding(len(self._options), counts, encoders)

    def place(self, params: Mapping[str, Any]) -> list[float]:
        """A point's columns."""
        units = self._space.to_unit(params)
        return [float(int(unit * count)) if count else unit for unit, count in zip(units, self._options, strict=True)]

    def params(self, place: Sequence[float]) -> dict[str, Any]:
        """The point of these columns."""
        units = [(value + 0.5) / count if count else value for value, count in zip(place, self._options, strict=True)]
        return self._space.from_unit(units)


MAKERS: Mapping[str, Callable[[Space, int], Ask]] = {"tpe": _tpe, "gp": _gp, "skopt": _skopt, "botorch": _botorch}
