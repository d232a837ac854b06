"""The mean gain of some pairs and how sure it is: the seeds' part of the error, and the hold-out's own.

A pair's difference on block b is gain + seed + block + rest. All pairs of a night share the blocks, so more seeds do
not average the blocks' part away. The variance of the mean is that of a two-way layout with random seeds and random
blocks (Searle, Casella, McCulloch: Variance Components, 1992; for clusters Cameron, Gelbach, Miller 2011):

    variance of pair means / pairs  +  variance of block means / blocks  -  residual / (pairs x blocks)

The last two terms together are the blocks' part. By chance they are negative as often as they are too large: cut off at
0 they would make the error too large in the mean, most where seeds change some blocks in the same way. So they count as
they are, and only the sum is held from below. Its degrees of freedom are Satterthwaite's (1946).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.decide.gate.records import FEWEST_BLOCKS, Look, Pair, Past, Run, blocks_of
from celeriac.decide.gate.student import f_upper_tail, upper_tail
from celeriac.domain.records import Goal

#: Tonight's noise is told from the past's, which then is not used, where so large a ratio of variances is so rare.
_UNLIKE = 0.05
#: The variance is at least this share of the seeds' part, whatever the blocks say.
_LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks' part of the mean gain's variance, negative by chance: `between` - `residual`. Both 0 where there are
    too few blocks to tell.
    """

    between: float = 0.0
    between_df: float = 1.0
    residual: float = 0.0
    residual_df: float = 1.0

    @property
    def part(self) -> float:
        return self.between - self.residual


def check(pairs: Sequence[Pair]) -> None:
    """Raise ValueError, with the pair and the flaw, where pairs cannot be compared."""
    if not pairs:
        raise ValueError("there are no pairs to decide on: `open_gate` says how many to run first")
    blocks = len(pairs[0].champion.holdout)
    for pair in pairs:
        for who, run in (("champion", pair.champion), ("challenger", pair.challenger)):
            at = f"the {who}'s run with seed {pair.seed}"
            if len(run.holdout) != blocks:
                raise ValueError(
                    f"{at} has {len(run.holdout)} hold-out blocks where the champion's with seed {pairs[0].seed} has "
                    f"{blocks}: all runs of a night must be judged on the same blocks, in the same order"
                )
            if not math.isfinite(run.score):
                raise ValueError(f"{at} has the score {run.score}: a run without a finite score makes no pair")
            for block, value in enumerate(run.holdout):
                if not math.isfinite(value):
                    raise ValueError(f"{at} has {value} in hold-out block {block}: every block needs a finite score")


def value_of(run: Run) -> float:
    """What a run is judged by: the mean of its hold-out blocks, or its score where there are none."""
    return math.fsum(run.holdout) / len(run.holdout) if run.holdout else run.score


def gains(pairs: Sequence[Pair], goal: Goal) -> list[float]:
    """How much better the challenger was in each pair."""
    sign = 1.0 if goal == "maximize" else -1.0
    return [sign * (value_of(pair.challenger) - value_of(pair.champion)) for pair in pairs]


def look_at(pairs: Sequence[Pair], goal: Goal, past: Past | None) -> Look:
    """The test on these pairs, of which there are at least two and which `check` has passed."""
    n, found = len(pairs), gains(pairs, goal)
    gain = math.fsum(found) / n
    of_pairs, pairs_df = _pooled(_variance(found), n - 1, past)
    of_seeds = of_pairs / n
    blocks = _blocks(pairs)
    total = max(of_seeds + blocks.part, _LEAST_SHARE * of_seeds)
    if total > 0:
        df = _freedom(total, of_seeds, pairs_df, blocks)
        p = upper_tail(gain / math.sqrt(total), df)
    else:  # trainings that no seed changes: the difference is what it is
        df, p = float(pairs_df), (0.0 if gain > 0 else 1.0)
    share = max(0.0, blocks.part) / total if total > 0 else 0.0
    return Look(n, gain, math.sqrt(total), df, p, share)


def _freedom(total: float, of_seeds: float, pairs_df: float, blocks: _Blocks) -> float:
    if not blocks.between > 0:
        return pairs_df
    parts = of_seeds**2 / pairs_df + blocks.between**2 / blocks.between_df + blocks.residual**2 / blocks.residual_df
    # The blocks' part is a difference, whose own degrees of freedom may be next to none: a sum has no fewer than the
    # poorer of its parts.
    return max(total**2 / parts, min(pairs_df, blocks.between_df))


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _pooled(tonight: float, df: int, past: Past | None) -> tuple[float, float]:
    """The variance of a pair's difference with its degrees of freedom: tonight's with the past's, where these agree."""
    if past is None or not past.difference_sd > 0 or not past.df > 0:
        return tonight, df
    before = past.difference_sd**2
    if f_upper_tail(tonight / before, df, past.df) < _UNLIKE:
        return tonight, df
    return (df * tonight + past.df * before) / (df + past.df), df + past.df


def _blocks(pairs: Sequence[Pair]) -> _Blocks:
    n, blocks = len(pairs), blocks_of(pairs)
    if blocks < FEWEST_BLOCKS:
        return _Blocks()
    table = [
        [new - old for new, old in zip(pair.challenger.holdout, pair.champion.holdout, strict=True)] for pair in pairs
    ]
    mean = math.fsum(map(math.fsum, table)) / (n * blocks)
    table = [[value - mean for value in row] for row in table]  # so that the sums of squares below lose no digits
    rows = [sum(row) / blocks for row in table]
    columns = [sum(column) / n for column in zip(*table, strict=True)]
    of_columns = sum(value * value for value in columns)
    residual_df = (n - 1) * (blocks - 1)
    all_squares = sum(value * value for row in table for value in row)
    left = all_squares - blocks * sum(value * value for value in rows) - n * of_columns
    residual = max(0.0, left) / residual_df / (n * blocks)
    return _Blocks(of_columns / (blocks - 1) / blocks, blocks - 1, residual, residual_df)
