"""How sure must one slice be tonight, so that over a schedule's many slices and nights at most the share `fdr` of the
promotions is false?

A night may spend, in expected false promotions, what earlier promotions have earned: each earns `fdr`. Half of `fdr` is
there at the start, and every 60 nights earn `fdr` once more, so that a schedule that never promotes is never shut for
good. The night's level is the same for each of its slices and depends on earlier nights only, so a slice is decided as
soon as its own test ends. How the slices of one night depend on each other does not matter: the expected number of
false promotions is at most the sum of the levels. This is generalised alpha-investing (Foster and Stine, JRSS B 2008;
LORD++, Ramdas et al. 2017) with tests that run at the same time (Zrnic, Ramdas, Jordan: Asynchronous online testing of
multiple hypotheses, JMLR 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: Of what is there, this much may be spent in one night: a good night's earnings last for some nights.
_NIGHTLY = 0.3
_START = 0.5
_FREE_NIGHTS = 60


@dataclass(frozen=True, slots=True)
class NightTally:
    """One earlier night of a schedule: the sum of the weights (`Evidence.weight`, 1 for a new challenger) of the slices
    that had a test, the level, and how many were promoted.
    """

    weight: float
    level: float
    promoted: int


@dataclass(frozen=True, slots=True)
class LevelDecision:
    """What a slice's p, divided by its weight, must not exceed tonight, and why."""

    level: float
    reason: str


def fdr_level(nights: Sequence[NightTally], weights: Sequence[float], fdr: float) -> LevelDecision:
    """The level of each slice tonight: `nights` before it, oldest first; `weights`: those of the slices that may be
    tested tonight, 1 for each without a contender. A slice with weight w is wrongly promoted with a chance of level x w
    at most, so that is what it is charged.

    Raises ValueError for an `fdr` outside (0, 0.5], no slices, or a weight below 0.
    """
    if not 0 < fdr <= 0.5 or not sum(weights) > 0 or min(weights) < 0:
        raise ValueError(f"fdr_level needs 0 < fdr <= 0.5 and slices with weights, not fdr {fdr} and {list(weights)}")
    pot = _START * fdr
    for night in nights:
        pot += fdr / _FREE_NIGHTS - night.weight * night.level + fdr * night.promoted
    level = max(0.0, _NIGHTLY * pot) / sum(weights)
    promoted = sum(night.promoted for night in nights)
    why = f"{promoted} promotions in {len(nights)} nights leave {level:.3g} for each of {len(weights)} slices"
    return LevelDecision(level, f"{why} (fdr {fdr:g})")
