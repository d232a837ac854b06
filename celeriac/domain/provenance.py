"""How a trial's parameters came about: the one place that knows the keys of a trial's `why`.

`why` is written once, by whoever added the trial, and kept small: numbers and places, never copies of rows. Any key
may be absent, since samplers know different things, and one that is not known here is kept (`more`). The keys are
listed in docs/explanation/search.md. SQL reads one of them by itself, `observed` (`Store.pending`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from math import isfinite
from typing import Any


class By(StrEnum):
    """How a point was found. Samplers of other libraries, and older rows, may say something else."""

    STUDY_FILE = "the study file"
    NIGHT = "the night"
    CHAMPION = "the champion"
    EARLIER = "an earlier night"
    LATIN_HYPERCUBE = "latin hypercube"
    SOBOL = "sobol"
    GRID = "grid"
    POPULATION = "population based training"
    RANDOM = "random"
    EXPECTED_IMPROVEMENT = "log expected improvement"
    CONFIDENCE_BOUND = "lower confidence bound"
    OPTUNA = "Optuna"
    SKOPT = "scikit-optimize"
    BOTORCH = "BoTorch"
    PROPOSER = "a proposer"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the model said of the point before it was tried. All but `feasible` are in units of the score.

    `low` to `high` is the interval that should hold nine scores in ten; `expected_gain` is by how much the score was
    expected to beat `incumbent`, the best score then; `feasible` is the probability that the trial does not fail.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    incumbent: float | None = None
    incumbent_number: int | None = None
    expected_gain: float | None = None
    feasible: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """A trial's `why`, read. `by` and `reason`: how the point was found, and why so; `expected`: None where no model
    was asked; `more`: what only its sampler knows.

    `sampler` and `seed` say who was asked; `observed`: how many ended trials it knew; `index`: the place in its answer;
    `best`: the trial with the best score then. All five are None where no sampler was asked.
    `earlier`: the earlier studies that it knew, each as (id, nights before, whether a sister slice's, how many of its
    ends). How much they counted stands in `more`: `weight` (0 to 1, for one night), and `counted`, their ids.
    """

    by: str = ""
    reason: str | None = None
    sampler: str | None = None
    seed: int | None = None
    observed: int | None = None
    best: int | None = None
    index: int | None = None
    expected: Expectation | None = None
    earlier: tuple[tuple[int, int, bool, int], ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, why: Mapping[str, Any]) -> "Provenance":
        """What a row says. `pending`, which rows of version 0.1 have, follows from the others."""
        expected = {name: why[name] for name in _EXPECTED if why.get(name) is not None}
        return cls(
            by=str(why.get("by", "")),
            reason=why.get("reason"),
            **{name: why.get(name) for name in _ASKED},
            expected=Expectation(**expected) if expected else None,
            earlier=tuple(
                (int(i), int(gap), bool(sister), int(ended)) for i, gap, sister, ended in why.get("earlier", ())
            ),
            more={name: value for name, value in why.items() if name not in _KNOWN},
        )

    def written(self) -> dict[str, Any]:
        """What is kept with the trial."""
        asked = {name: getattr(self, name) for name in _ASKED} if self.sampler is not None else {}
        if self.earlier:
            asked["earlier"] = [list(each) for each in self.earlier]
        found = {"by": str(self.by) or None, "reason": self.reason, **(asdict(self.expected) if self.expected else {})}
        return {**asked, **{name: value for name, value in found.items() if value is not None}, **self.more}

    def in_scores(self, goal: str) -> "Provenance":
        """The same with the losses that it expects turned into scores, for people."""
        said = self.expected
        if said is None or goal == "minimize":
            return self
        mean, low, high, incumbent = (
            None if loss is None else -loss for loss in (said.mean, said.high, said.low, said.incumbent)
        )
        return replace(self, expected=replace(said, mean=mean, low=low, high=high, incumbent=incumbent))

    @property
    def is_replayable(self) -> bool:
        """Whether it holds what is needed to ask the sampler again."""
        return None not in (self.sampler, self.seed, self.observed)

    @property
    def is_designed(self) -> bool:
        """Whether the point was found without a look at any result."""
        return self.by in (By.LATIN_HYPERCUBE, By.SOBOL, By.GRID)

    def known_then(self, number: int) -> tuple[int, int] | None:
        """The `observed` and `below` that `Store.pending` takes to tell which trials were pending when trial `number`
        was suggested; None where no sampler suggested it. Its question began `index` numbers before it.
        """
        return None if self.observed is None or self.index is None else (self.observed, number - self.index)

    @property
    def gain(self) -> float | None:
        """By how much it was expected to beat the best score then."""
        return None if self.expected is None else _number(self.expected.expected_gain)

    def regret_bound(self, goal: str) -> float | None:
        """How far from the optimum the best may have been: as the sampler says; else by the favourable end of the
        interval.
        """
        if "regret_bound" in self.more:
            return _number(self.more["regret_bound"])
        said = self.expected or Expectation()
        possible, best = _number(said.high if goal == "maximize" else said.low), _number(said.incumbent)
        if possible is None or best is None:
            return None
        return max(0.0, possible - best if goal == "maximize" else best - possible)


_ASKED = ("sampler", "seed", "observed", "best", "index")
_EXPECTED = tuple(each.name for each in fields(Expectation))
_KNOWN = frozenset({"by", "reason", "pending", "earlier", *_ASKED, *_EXPECTED})


def _number(value: Any) -> float | None:
    """What may be anything in a row, where it is a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if is_number else None
