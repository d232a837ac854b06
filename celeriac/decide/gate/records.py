"""What the gate is given and what it says.

Scores and gains are in units of the study's metric; a gain is positive where the challenger is better, whatever the
goal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from celeriac.domain.guards import Guard
from celeriac.domain.records import Goal

Verdict = Literal["more", "promote", "keep", "contender"]

#: Fewer blocks than these do not tell how noisy the hold-out is.
FEWEST_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one contestant. `holdout`: its score on each block of the hold-out data, which neither the
    search nor the early stopping saw; the same blocks in the same order for every run of a night. Where there is a
    hold-out the gate judges by its mean, else by `score`. `metrics` are for guards only.
    """

    score: float
    holdout: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """The champion and the challenger, each trained tonight with the same `seed`."""

    seed: int
    champion: Run
    challenger: Run


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a schedule asks of its gate.

    `min_gain`: a smaller gain is not worth a change. `most_pairs`: the limit for one night. `alpha`: the chance at most
    that a challenger which is no better is ever promoted, over all its nights. `fdr`: the share at most of false
    promotions among a schedule's promotions; the level that it leaves for one slice tonight is the argument `level`
    of `open_gate` and `decide_gate` (see `fdr_level`).
    """

    goal: Goal
    min_gain: float = 0.0
    most_pairs: int = 18
    alpha: float = 0.05
    fdr: float | None = None
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """The noise of a slice's earlier nights (see `pool_past`): the standard deviation of a pair's difference, with the
    degrees of freedom behind it, and that of one training.
    """

    nights: int
    df: float
    difference_sd: float
    training_sd: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a contender brings from its earlier nights against the same champion. It is void once the champion changes.

    `weight` is an e-value: its mean is at most 1 when the contender is no better, and tonight's p is divided by it.
    `passed`: without hold-out blocks, whether the night before passed its test.
    """

    nights: int = 0
    weight: float = 1.0
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """The test after `pairs` pairs: the mean gain, its standard error with `df` degrees of freedom, and the one-sided
    p of this look alone. `holdout_share`: how much of the variance is the hold-out's, which no seed can cure.
    """

    pairs: int
    gain: float
    error: float
    df: float
    nominal_p: float
    holdout_share: float


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What the gate says, and all that is needed to compute it again (`write_decision`, `recompute`).

    `wanted`: pairs in all before the next look (those that there are, when the test has ended). `interval`: around the
    gain; it leaves out 0 just where the test passes, and each end is wrong with a chance of at most the level. `p`:
    one-sided, of the night's whole sequence of looks, divided by the evidence's weight; `level`: what p must not
    exceed. `covers_holdout`: whether the error has the hold-out's own part. `evidence`: what a contender takes along
    to its next night, None for others.
    """

    verdict: Verdict
    wanted: int
    gain: float | None
    interval: tuple[float, float] | None
    p: float
    level: float
    covers_holdout: bool
    reason: str
    evidence: Evidence | None
    design: str
    looks: tuple[Look, ...]
    pairs: tuple[Pair, ...]
    rules: GateRules
    past: Past | None
    before: Evidence
    closing: bool
    expected_gain: float | None = None


def blocks_of(pairs: Sequence[Pair]) -> int:
    """How many hold-out blocks each run has. The pairs must have been checked."""
    return len(pairs[0].champion.holdout)
