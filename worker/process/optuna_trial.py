"""An objective that was written for Optuna, called with a trial that answers as Optuna's does. Optuna itself is not
loaded here: the objective loads it, or nobody.

What `suggest_*` answers: the value that the trial was given, where the study's file has the space. Where the space is
learned, the value that was given if it lies in the range asked for now; else one that is drawn from that range by the
trial's seed, so that every attempt of the trial draws the same. What was asked for is told to the runner at once.

Interface: https://optuna.readthedocs.io/en/stable/reference/generated/optuna.trial.Trial.html
"""

import json
import math
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from celeriac.domain.space import Choice, Float, Int, Parameter, is_name, parameter_to_dict
from celeriac.result import Result, described, number_in
from celeriac.trial import Trial, TrialStopped

#: Metrics that keep user attributes which are no numbers, texts or truths, as JSON.
_PLAIN = (int, float, str, bool)


def called_as_by_optuna(objective: Callable[[Any], Any]) -> Callable[[Trial], Any]:
    """The objective, to be called with a Celeriac trial. Its marks stay."""

    def call(trial: Trial) -> Any:
        asked = OptunaTrial(trial)
        try:
            returned = objective(asked)
        except Exception as error:
            if not _is_pruned(error):
                raise
            return asked.pruned()
        return asked.result(returned)

    call.__dict__.update(getattr(objective, "__dict__", {}))
    return call


def _is_pruned(error: BaseException) -> bool:
    """Whether this is `optuna.TrialPruned`, by name: Optuna may not be loaded, or be of any version."""
    kinds = (each for each in type(error).__mro__ if each.__name__ == "TrialPruned")
    return any(each.__module__.partition(".")[0] == "optuna" for each in kinds)


class OptunaTrial:
    """What an objective written for Optuna is called with."""

    def __init__(self, trial: Trial) -> None:
        """Around the trial of this attempt."""
        self._trial = trial
        self._asked: dict[str, Any] = {}
        self._kinds: dict[str, Parameter] = {}
        self._attributes: dict[str, Any] = {}
        self._last: float | None = None
        self._began = datetime.now(UTC)

    def __getattr__(self, name: str) -> Any:
        """What is Optuna's and not here is said so; it must not be taken for a mistake of the objective's."""
        raise AttributeError(
            f"`api: optuna` has no trial.{name}; it has suggest_float, suggest_int, suggest_categorical, report,"
            " should_prune, set_user_attr, params, number, user_attrs, distributions and relative_params"
        )

    # -- parameters ---------------------------------------------------------------------------------------------------
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A real number in [low, high]. Raises ValueError for a range that is none."""
        if step is not None and step > 0:  # Optuna lowers a high that is no multiple of the step
            high = low + math.floor((high - low) / step + 1e-9) * step
        found = self._suggest(name, Float(float(low), float(high), log=log, step=step), low == high)
        return float(found)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number in [low, high]. Raises ValueError for a range that is none."""
        high = low + (high - low) // step * step if step > 0 else high
        return int(self._suggest(name, Int(int(low), int(high), log=log, step=step), low == high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices: text, numbers, booleans or None."""
        return self._suggest(name, Choice(tuple(choices)))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """As `suggest_float`; Optuna's old name."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """As `suggest_float` with `log`; Optuna's old name."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """As `suggest_float` with `step`; Optuna's old name."""
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, kind: Parameter, is_point: bool = False) -> Any:
        """The value for a name; one that was asked for before keeps its value, as with Optuna."""
        if name in self._asked:
            return self._asked[name]
        if is_point:  # Optuna takes a range of one value; it is nothing to search
            value: Any = kind.low  # type: ignore[union-attr] # no Choice is a point
            self._asked[name] = value
            return value
        if not is_name(name):
            raise ValueError(f"{name!r} cannot name a parameter (a letter or _ first, then letters, digits, _ . -)")
        if flaws := kind.flaws():
            raise ValueError("; ".join(f"suggest of {name!r}: {text}" for _, text in flaws))
        kind = kind.canonical()
        value = self._value(name, kind)
        self._asked[name], self._kinds[name] = value, kind
        return value

    def _value(self, name: str, kind: Parameter) -> Any:
        given = self._trial.params
        if not self._trial.learns_space:
            if name not in given:
                raise ValueError(
                    f"the objective asks for {name!r}, which is not active in this trial or not in the study's `space`"
                    f" (given: {', '.join(given) or 'none'}): add it there, with the `when` under which it is asked"
                    " for, or write `learn_space: true`"
                )
            return given[name]
        try:
            value = kind.fit(given[name])
        except (KeyError, ValueError):
            value = kind.from_unit(self._dice(name).random())
        self._trial.asked(name, value, parameter_to_dict(kind))
        return value

    def _dice(self, name: str) -> random.Random:
        return random.Random(int.from_bytes(sha256(f"{self._trial.seed}/{name}".encode()).digest()[:8], "big"))

    @property
    def params(self) -> dict[str, Any]:
        """What was asked for so far."""
        return dict(self._asked)

    @property
    def distributions(self) -> dict[str, Any]:
        """The ranges asked for so far, as Optuna's own distributions; loads Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        return {
            name: CategoricalDistribution(kind.options)
            if isinstance(kind, Choice)
            else FloatDistribution(kind.low, kind.high, log=kind.log, step=kind.step)
            if isinstance(kind, Float)
            else IntDistribution(kind.low, kind.high, log=kind.log, step=kind.step or 1)
            for name, kind in self._kinds.items()
        }

    @property
    def relative_params(self) -> dict[str, Any]:
        """What this trial was given before it began."""
        return dict(self._trial.params)

    # -- reports ------------------------------------------------------------------------------------------------------
    def report(self, value: float, step: int) -> None:
        """Record an intermediate value. A step that is not above the last one is passed over with a warning: it
        counts once.
        """
        if self._trial.last_step is not None and step <= self._trial.last_step:
            warnings.warn(f"report of step {step} after step {self._trial.last_step} is passed over", stacklevel=2)
            return
        self._last = number_in(value, "report's value")
        try:
            self._trial.report(value, step=step)
        except TrialStopped:
            return  # the objective asks `should_prune`

    def should_prune(self) -> bool:
        """Whether the trial was asked to stop, by the study's `stop_early` rule or to be handed back."""
        return self._trial.should_stop

    def pruned(self) -> Any:
        """What an objective comes to that raised TrialPruned. Raises TrialStopped where it was asked to.

        One that stops by a rule of its own is scored with its last report, as Optuna does; without one it has no score.
        """
        if self._trial.heeded is not None:
            raise TrialStopped(f"pruned after step {self._trial.last_step}")
        last = math.nan if self._last is None else self._last
        return Result(last, metrics={**self._metrics(), "ended_by": "optuna.TrialPruned"})

    # -- attributes ---------------------------------------------------------------------------------------------------
    def set_user_attr(self, key: str, value: Any) -> None:
        """Kept among the metrics of the trial's score: numbers, texts and truths as they are, all else as JSON."""
        self._attributes[key] = value

    def set_system_attr(self, key: str, value: Any) -> None:
        """Optuna's own; kept for nobody."""

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What was set so far."""
        return dict(self._attributes)

    @property
    def system_attrs(self) -> dict[str, Any]:
        """None are kept."""
        return {}

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self._trial.number

    @property
    def datetime_start(self) -> datetime:
        """When this attempt began."""
        return self._began

    @property
    def celeriac(self) -> Trial:
        """The Celeriac trial: its device, its seed, its checkpoint."""
        return self._trial

    def result(self, returned: Any) -> Any:
        """What the objective returned, a score or a Result, with its attributes. A tuple of one is its score, as with
        Optuna.
        """
        if isinstance(returned, (list, tuple)):
            if len(returned) != 1:
                raise TypeError(
                    f"the objective returned {described(returned)}: one score a study; keep the others by"
                    " trial.set_user_attr"
                )
            returned = returned[0]
        if isinstance(returned, Result):  # what a night's gate judges by, and the model
            return replace(returned, metrics={**self._metrics(), **returned.metrics})
        return Result(returned, metrics=self._metrics()) if self._attributes else returned

    def _metrics(self) -> dict[str, Any]:
        return {str(key): _metric(value) for key, value in self._attributes.items()}


def _metric(value: Any) -> Any:
    if isinstance(value, _PLAIN) and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _metric(value.item())
    return json.dumps(value, default=str)
