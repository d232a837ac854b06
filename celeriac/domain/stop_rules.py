"""The rules by which trials, and the study itself, end early: what a study file's `stop_early` and `stop_study` say.

Data only: `celeriac.decide.stop_early` and `celeriac.decide.stop_study` judge by them.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

#: The resource that every report has, and the one that the runner measures where the script does not report it.
STEP, SECONDS = "step", "seconds"


@dataclass(frozen=True, slots=True)
class Asha:
    """Rungs at min, min·eta, min·eta², … below max; at each, all but the best 1/eta of those seen there so far are
    stopped.

    The stopping kind of asynchronous successive halving (Li et al., A System for Massively Parallel Hyperparameter
    Tuning, MLSys 2020, arXiv:1810.05934): a trial is judged when it reports, and never waits for others.
    """

    rule: ClassVar[str] = "asha"
    min: int
    max: int
    eta: int = 3
    resource: str = STEP


@dataclass(frozen=True, slots=True)
class Hyperband:
    """Brackets of `Asha`: the b-th leaves out the b lowest rungs, the last one all; a trial's number says which is its
    own.

    Brackets get trials as Hyperband hands them out (Li et al., JMLR 18, 2018): many to those that stop early, few to
    the others.
    """

    rule: ClassVar[str] = "hyperband"
    min: int
    max: int
    eta: int = 3
    resource: str = STEP


@dataclass(frozen=True, slots=True)
class Median:
    """At min, min + every, …: a trial is stopped whose best so far is worse than the median of what at least `trials`
    others had there.

    As in Vizier (Golovin et al., KDD 2017), with the best so far on both sides instead of a running mean on one.
    """

    rule: ClassVar[str] = "median"
    min: int = 1
    every: int = 1
    trials: int = 5
    resource: str = STEP


@dataclass(frozen=True, slots=True)
class Patience:
    """A trial is stopped when `reports` reports in a row, from `min` on, did not improve on its best by more than
    `min_delta`.
    """

    rule: ClassVar[str] = "patience"
    reports: int
    min_delta: float = 0.0
    min: int = 0
    resource: str = STEP


@dataclass(frozen=True, slots=True)
class Threshold:
    """A trial is stopped whose value at the resource `at` is worse than `bound`."""

    rule: ClassVar[str] = "threshold"
    at: int
    bound: float
    resource: str = STEP


@dataclass(frozen=True, slots=True)
class Pbt:
    """At every, 2·every, … below max: a trial of the last `quantile` seen there so far is stopped. An heir takes its
    place, which goes on from the checkpoint of one of the first `quantile` with other parameters.

    Population based training (Jaderberg et al. 2017, arXiv:1711.09846). `population`: the trials that are open at once.
    Of the heir's parameters each is drawn anew with the chance `resample`, else multiplied or divided by `perturb`;
    where `change` names any, all others stay as they are.
    """

    rule: ClassVar[str] = "pbt"
    resource: ClassVar[str] = STEP
    every: int
    max: int
    population: int = 8
    quantile: float = 0.25
    perturb: float = 1.2
    resample: float = 0.25
    change: tuple[str, ...] = ()


StopRule = Asha | Hyperband | Median | Patience | Threshold | Pbt

RULES: dict[str, type[StopRule]] = {each.rule: each for each in (Asha, Hyperband, Median, Patience, Threshold, Pbt)}


def to_dict(rule: StopRule) -> dict[str, Any]:
    """The canonical form: `stop_early` of a study file, every default filled in."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rule).items()}
    return {"rule": rule.rule, **plain}


@dataclass(frozen=True, slots=True)
class StopStudy:
    """When a study ends before its budget; what is None is no reason.

    target: the best score is at least as good. min_gain: each of the last `suggestions` suggestions was expected to
    gain less, in units of the score. max_regret: at each of them the best was at most so far from the optimum, as far
    as its sampler held possible.
    """

    target: float | None = None
    min_gain: float | None = None
    max_regret: float | None = None
    suggestions: int = 10

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: `stop_study` of a study file."""
        form = {key: value for key, value in asdict(self).items() if value is not None}
        if self.min_gain is None and self.max_regret is None:
            del form["suggestions"]
        return form
