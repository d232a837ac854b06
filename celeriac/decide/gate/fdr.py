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
    """One earlier night of a schedule: what its tests spent, which is the sum of level x weight (`Evidence.weight`, 1
    for a new challenger), and how many slices were promoted.
    """

    spent: float
    promoted: int


@dataclass(frozen=True, slots=True)
class LevelDecision:
    """What a slice's p, divided by its weight, must not exceed tonight, and why."""

    level: float
    reason: str


def fdr_level(nights: Sequence[NightTally], slices: int, fdr: float, weight: float = 1.0) -> LevelDecision:
    """The level of one slice tonight: `nights` before it, oldest first; `slices`: how many the schedule has; `weight`:
    of the slice's contender, 1 without one. A slice is wrongly promoted with a chance of at most level x weight, so
    that is what it spends; all slices together never spend more than there is.

    Raises ValueError for an `fdr` outside (0, 0.5], no slices, or a weight of 0 or less.
    """
    if not 0 < fdr <= 0.5 or slices < 1 or not weight > 0:
        raise ValueError(f"fdr_level needs 0 < fdr <= 0.5, slices and a weight above 0, not {fdr}, {slices}, {weight}")
    pot = _START * fdr
    for night in nights:
        pot += fdr / _FREE_NIGHTS - night.spent + fdr * night.promoted
    level = max(0.0, pot) / slices * min(_NIGHTLY, 1.0 / weight)
    promoted = sum(night.promoted for night in nights)
    why = f"{promoted} promotions in {len(nights)} nights leave {level:.3g} for each of {slices} slices (fdr {fdr:g})"
    return LevelDecision(level, why)
