"""The error of the mean gain, where seeds move many blocks together."""

import random

import pytest

from celeriac.decide.gate.estimate import look_at
from celeriac.decide.gate.records import Pair, Run
from tests.celeriac.decide.gate.worlds import night

#: How far a seed moves each block: half of a run's variance is how its blocks differ, as with the flights.
LOADS = [1 + 3.2 * (-1) ** block for block in range(20)]


def tilted(rng: random.Random) -> list[Pair]:
    """Equal trainings, on a hold-out without noise of its own. A pair's difference has a variance of 2."""

    def run() -> Run:
        level = rng.gauss(0, 1)
        return Run(level, tuple(load * level for load in LOADS))

    return [Pair(seed, run(), run()) for seed in range(9)]


def test_the_error_is_right_in_the_mean_where_seeds_move_blocks_together() -> None:
    rng = random.Random(20)
    variances = [look_at(tilted(rng), "maximize", None).error ** 2 for _ in range(3000)]
    # A blocks' part that is cut off at 0 makes this a fifth too large; the mean of 3,000 is sure to 1.6 %.
    assert sum(variances) / len(variances) == pytest.approx(2 / 9, rel=0.05)


def test_blocks_never_make_the_error_less_than_the_seeds_allow() -> None:
    rng = random.Random(21)
    shares = []
    for _ in range(200):
        pairs = tilted(rng)
        alone = [Pair(pair.seed, Run(pair.champion.score), Run(pair.challenger.score)) for pair in pairs]
        seeds, both = look_at(alone, "maximize", None), look_at(pairs, "maximize", None)
        assert both.error**2 >= 0.5 * seeds.error**2 * (1 - 1e-9)
        assert both.df >= 8
        shares.append(both.holdout_share)
    assert min(shares) == 0.0  # also where the blocks' part is negative
    assert max(shares) > 0.3


def test_the_hold_outs_own_noise_is_in_the_error() -> None:
    rng = random.Random(22)
    looks = [look_at(night(rng, shared=0.5), "maximize", None) for _ in range(300)]
    # 18 pairs' seeds, and a quarter of a difference's variance that no pair averages away.
    assert sum(look.error**2 for look in looks) / 300 == pytest.approx(2 / 18 + 0.25 * 2, rel=0.06)
