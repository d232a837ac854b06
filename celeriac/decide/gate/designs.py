"""When the gate looks, when it gives up, and what p a night's looks amount to.

A design looks after n_1 < n_2 < ... pairs. Its statistic is the least of p_k / w_k, with the weights w_k in proportion
to n_k squared and their sum 1. The night's p is the chance of so small a statistic when the challenger equals the
champion: simulated once (`benchmarks/nights/designs.py`), and by the union bound never above the statistic itself. It
is a sequential p-value (Liu and Anderson, On adaptive extensions of group sequential trials, JASA 2008): the test may
end at any look and p still holds, for every level at once. The designs are group sequential t tests with a binding stop
for futility (Jennison and Turnbull, Group Sequential Methods, 2000).
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

from celeriac.decide.gate.records import Past
from celeriac.decide.gate.table import DESIGNS, PAST_DF, STATISTICS

#: Down here the union bound is as good as exact.
_BOUND = 1e-7


@dataclass(frozen=True, slots=True)
class Design:
    """`stops[k]`: the test gives up where the k-th look's p is larger. `effect`: the gain found with 80 % power, in
    standard deviations of a pair's difference. `past`: the noise is known from earlier nights.
    """

    looks: tuple[int, ...]
    stops: tuple[float, ...]
    past: bool
    effect: float
    chances: tuple[float, ...]

    @property
    def name(self) -> str:
        """Such as `4-6-9-13-18`, or `known-2-3-4-6-9`."""
        return ("known-" if self.past else "") + "-".join(map(str, self.looks))

    def weight(self, k: int) -> float:
        """Of the k-th look."""
        return self.looks[k] ** 2 / sum(n * n for n in self.looks)

    def p(self, statistic: float) -> float:
        """The night's p of such a statistic."""
        if statistic <= _BOUND:
            return statistic
        at = bisect_left(STATISTICS, statistic)
        if at == len(STATISTICS):
            return 1.0
        x0, y0 = (STATISTICS[at - 1], self.chances[at - 1]) if at else (_BOUND, _BOUND)
        return min(statistic, math.exp(_between(statistic, x0, STATISTICS[at], y0, self.chances[at])))

    def statistic(self, p: float) -> float:
        """The largest statistic whose p is at most `p`, for p < 1."""
        return _statistic(self, p)


def _between(x: float, x0: float, x1: float, y0: float, y1: float) -> float:
    share = math.log(x / x0) / math.log(x1 / x0)
    return (1.0 - share) * math.log(y0) + share * math.log(y1)


_ALL = tuple(Design(*row) for row in DESIGNS)
BY_NAME = {design.name: design for design in _ALL}


@lru_cache(maxsize=4096)
def _statistic(design: Design, p: float) -> float:
    low, high = 0.0, 1.0
    while high < STATISTICS[-1] and design.p(high) <= p:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if design.p(middle) <= p else (low, middle)
    return low


def choose(most_pairs: int, past: Past | None) -> Design:
    """The shortest design that finds a gain of one training's standard deviation with 80 % power, within `most_pairs`;
    else the longest that fits, else the shortest there is (whose later looks are then left out).
    """
    known = past is not None and past.df >= PAST_DF
    designs = sorted((each for each in _ALL if each.past == known), key=lambda each: each.looks[-1])
    fitting = [each for each in designs if each.looks[-1] <= most_pairs] or designs[:1]
    wanted = past.training_sd / past.difference_sd if known and past and past.difference_sd > 0 else 0.0
    return next((each for each in fitting if each.effect <= wanted), fitting[-1])
