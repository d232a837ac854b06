"""`optuna:<Class>`: any sampler of Optuna's that can be made from a seed, asked as Optuna would ask it.

What Optuna is told: a score as a complete trial; a pruned trial as pruned, with its values at the rungs; a point that
failed by its own fault, or whose score is no finite number, as a complete trial of value infinity, which is worse than
any score (Optuna's own "failed" teaches its samplers nothing, so that they would come back); open trials as running.
All by number of option or step where the parameter has such, under the parameter's own name, and a conditional
parameter only where it is active.

Samplers that follow from their trials' parameters and values alone get them as they are. Those that remember more with
each trial (the generations of CMA-ES and of the genetic ones, the place in a quasi-random sequence) get every trial
asked again, in the order of the ends, with its parameters fixed. Each new trial is then asked on a copy of that past,
by a sampler whose seed is made of the study's seed and the trial's number: so the rows alone decide. The past itself
is kept as a cache, and read on from where it was.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import inf, isfinite
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from celeriac.domain.provenance import By
from celeriac.domain.sampler_names import class_flaw
from celeriac.domain.space import Choice, Int, Parameter, Space
from coordinator.adapters.numbered import number_of, value_of
from coordinator.samplers.api import Kind, Observation, Point, Proposal, dice, one_by_one
from coordinator.samplers.dedupe import untried

MOST_PASTS = 8
_STUDY = "study"

optuna.logging.set_verbosity(optuna.logging.ERROR)


def suggest(
    option: str, space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`; `option` is the class's name. Raises ValueError for one that cannot be used."""
    present = _past(option, space, seed, observations).present(pending)

    def suggested(number: int, seen: set[str]) -> Proposal | None:
        asked = Proposal(present.asked(number), {"by": str(By.OPTUNA)})
        found = untried(space, asked, seen, seed, number, "Optuna")
        if found is not None and found is not asked:
            present.replace(found.params)
        return found

    return one_by_one(suggested, space, observations, pending, count)


def _past(option: str, space: Space, seed: int, observations: Sequence[Observation]) -> "_Past":
    """The kept past that these observations continue, or a new one; it knows them all then."""
    key = f"{option} {seed} {sorted(space.to_dict().items())}"
    past = _pasts.pop(key, None)
    if past is None or not past.is_continued_by(observations):
        past = _Past(option, space, seed)
    past.read_on(observations)
    _pasts[key] = past
    while len(_pasts) > MOST_PASTS:
        _pasts.popitem(last=False)
    return past


_pasts: "OrderedDict[str, _Past]" = OrderedDict()


class _View:
    """A space as Optuna sees it: a distribution for each parameter, and its values there."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._distributions = {name: _distribution(space.parameters[name]) for name in space.names}

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Optuna's values of a configuration."""
        return {name: number_of(self._space.parameters[name], value) for name, value in params.items()}

    def distributions(self, params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
        """The distributions of the parameters that are active in a configuration."""
        return {name: self._distributions[name] for name in params}

    def suggested(self, trial: optuna.Trial) -> dict[str, Any]:
        """The configuration that Optuna gives a trial, parents before what hangs on them."""
        params: dict[str, Any] = {}
        while waiting := [name for name in self._space.active(params) if name not in params]:
            for name in waiting:
                params[name] = _suggested(trial, name, self._space.parameters[name])
        return self._space.validate(params)


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(range(parameter.count))  # by number: 1, 1.0 and True may all be options
    if parameter.log and isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=True)
    if parameter.count is not None:
        return IntDistribution(0, parameter.count - 1)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _suggested(trial: optuna.Trial, name: str, parameter: Parameter) -> Any:
    """The parameter's value that Optuna gives a trial."""
    number: Any
    if isinstance(parameter, Choice):
        number = trial.suggest_categorical(name, range(parameter.count))
    elif parameter.log and isinstance(parameter, Int):
        number = trial.suggest_int(name, parameter.low, parameter.high, log=True)
    elif parameter.count is not None:
        number = trial.suggest_int(name, 0, parameter.count - 1)
    else:
        number = trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    return value_of(parameter, number)


class _Past:
    """An Optuna study of what ended, in the order of the ends."""

    def __init__(self, option: str, space: Space, seed: int) -> None:
        self._option, self._seed, self._view = option, seed, _View(space)
        self._known: list[Observation] = []
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            study_name=_STUDY, storage=self._storage, sampler=_made(option, _seed(seed, 0, "told"))
        )
        self._remembers = isinstance(self._study.sampler, _REMEMBERING)

    def is_continued_by(self, observations: Sequence[Observation]) -> bool:
        """Whether what is known is the beginning of these observations."""
        return list(observations[: len(self._known)]) == self._known

    def read_on(self, observations: Sequence[Observation]) -> None:
        """Tell the study what is new."""
        for observation in observations[len(self._known) :]:
            _tell(self._study, self._view, observation, again=self._remembers)
            self._known.append(observation)

    def present(self, pending: Sequence[Point]) -> "_Present":
        """A copy to ask on, in which the pending trials run. Trials are replaced, never changed, so they are shared."""
        trials = self._storage.get_all_trials(self._study._study_id, deepcopy=False)
        storage = deepcopy(self._storage, {id(trial): trial for trial in trials})
        study = optuna.load_study(study_name=_STUDY, storage=storage, sampler=self._study.sampler)
        return _Present(self._option, self._seed, self._view, study, self._remembers, pending)


class _Present:
    """One question's copy of the past: pending trials run in it, and each that is asked joins them."""

    def __init__(
        self, option: str, seed: int, view: _View, study: optuna.Study, remembers: bool, pending: Sequence[Point]
    ) -> None:
        self._option, self._seed, self._view, self._study = option, seed, view, study
        self._remembers = remembers
        self._asked: optuna.Trial | None = None
        if remembers:
            study.sampler = _made(option, _seed(seed, 0, "pending"))
        for point in pending:
            self._run(point.params)

    def asked(self, number: int) -> dict[str, Any]:
        """The configuration that Optuna gives the trial of this number."""
        self._study.sampler = _made(self._option, _seed(self._seed, number, "optuna"))
        self._asked = self._study.ask()
        return self._view.suggested(self._asked)

    def replace(self, params: Mapping[str, Any]) -> None:
        """Let the trial that was asked last be one of these parameters."""
        if self._asked is not None:
            self._study.tell(self._asked, state=TrialState.FAIL)
        self._run(params)

    def _run(self, params: Mapping[str, Any]) -> None:
        if self._remembers:
            _ask_again(self._study, self._view, params)
        else:
            self._study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=self._view.values(params),
                    distributions=self._view.distributions(params),
                )
            )


#: What these make of a trial depends on when it was asked, which they note with the trial.
_REMEMBERING = (optuna.samplers.CmaEsSampler, optuna.samplers.BaseGASampler, optuna.samplers.QMCSampler)


def _made(option: str, seed: int) -> BaseSampler:
    flaw = class_flaw(f"optuna:{option}")
    if flaw:
        raise ValueError(flaw)
    sampler: BaseSampler = getattr(optuna.samplers, option)(seed=seed)
    return sampler


def _seed(seed: int, number: int, purpose: str) -> int:
    return dice(seed, number, purpose).randrange(2**32)


def _tell(study: optuna.Study, view: _View, observation: Observation, *, again: bool) -> None:
    """Tell an end. What says nothing is told only where its place in the sequence counts, as failed."""
    state, value, rungs = _outcome(observation)
    params = observation.point.params
    if again:
        trial = _ask_again(study, view, params)
        for step, loss in rungs.items():
            trial.report(loss, step)
        study.tell(trial, None if state is not TrialState.COMPLETE else value, state=state)
    elif state is not TrialState.FAIL:
        study.add_trial(
            create_trial(
                state=state,
                value=value,
                params=view.values(params),
                distributions=view.distributions(params),
                intermediate_values=rungs,
            )
        )


def _outcome(observation: Observation) -> tuple[TrialState, float, dict[int, float]]:
    """State, value and values at the rungs of what ended."""
    loss = observation.loss
    if observation.kind is Kind.VOID:
        return TrialState.FAIL, inf, {}
    if observation.kind is Kind.INFEASIBLE or loss is None or not isfinite(loss):
        return TrialState.COMPLETE, inf, {}
    if observation.kind is Kind.PRUNED:
        rungs = {step: value for step, value in observation.rungs if isfinite(value)}
        return TrialState.PRUNED, loss, rungs or {0: loss}
    return TrialState.COMPLETE, loss, {}


def _ask_again(study: optuna.Study, view: _View, params: Mapping[str, Any]) -> optuna.Trial:
    """A trial asked with all its parameters fixed."""
    study.enqueue_trial(view.values(params))
    trial = study.ask()
    _ = trial.relative_params  # lazy, and where samplers note what they remember
    view.suggested(trial)
    return trial
