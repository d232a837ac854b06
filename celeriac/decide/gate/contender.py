"""A near miss stays a contender, and its evidence counts on, so that the chance of a false promotion holds for the
challenger's whole life and not for each night.

After each night the contender's weight is multiplied by f(p), where p is that night's own p and f falls to 0 at
NEAR_MISS. Its next p is divided by the weight. The weight is an e-value (Vovk and Wang, Annals of Statistics 2021), and
a p divided by an e-value of earlier nights is again a p (Ignatiadis, Wang, Ramdas: E-values as unnormalized weights in
multiple testing, Biometrika 2024). With alpha for the whole life, a night promotes where p <= (1 - SPARED) alpha, and
f's integral over the near misses is SPARED: the chance of a false promotion on the k-th night is then at most
(1 - SPARED) alpha SPARED^(k-1), and their sum alpha. Where the level comes from `fdr_level`, each night is counted
there, and f's integral may be 1.
"""

import math

from celeriac.decide.gate.records import Evidence, GateRules

#: The part of alpha that is left for contenders' later nights.
SPARED = 0.1
NEAR_MISS = 0.2
#: A contender with less weight than this has worse chances than a new challenger.
_LEAST_WEIGHT = 0.5


def night_level(alpha: float) -> float:
    """What a night's p, divided by the weight, must not exceed."""
    return (1.0 - SPARED) * alpha


def after(before: Evidence, own_p: float, rules: GateRules, *, covers: bool, passed: bool) -> Evidence | None:
    """The evidence after a night without promotion, whose own p (not divided by a weight) was `own_p`; None where the
    challenger is no contender any more. Where the hold-out is not covered (`covers`), p does not hold, so it gives no
    weight: `passed` says that this is the first of the two nights that must agree.
    """
    nights = before.nights + 1
    if not covers:
        return Evidence(nights, passed=passed) if passed or own_p < NEAR_MISS else None
    weight = before.weight * factor(own_p, before.weight, rules)
    return Evidence(nights, weight) if weight >= _LEAST_WEIGHT else None


def factor(own_p: float, weight: float, rules: GateRules) -> float:
    """What a night's own p multiplies the weight with, when it was not promoted with the `weight` that it had."""
    if own_p >= NEAR_MISS:
        return 0.0
    if rules.fdr is not None:
        # The integral of log(NEAR_MISS / p) over all p up to NEAR_MISS is NEAR_MISS.
        return math.log(NEAR_MISS / max(own_p, 1e-12)) / NEAR_MISS
    promoted = night_level(rules.alpha) * weight
    if own_p <= promoted:
        return 0.0  # a guard's veto, or too small a gain
    area = NEAR_MISS - promoted - promoted * math.log(NEAR_MISS / promoted)  # f's integral before it is scaled
    return SPARED * math.log(NEAR_MISS / own_p) / area
