"""The mean gain of some pairs and how sure it is: the seeds' part of the error, and the hold-out's own.

A pair's difference on block b is gain + seed + block + rest. All pairs of a night share the blocks, so more seeds do
not average the blocks' part away. The variance of the mean is that of a two-way layout with random seeds and random
blocks (Searle, Casella, McCulloch: Variance Components, 1992; for clusters Cameron, Gelbach, Miller 2011):

    variance of pair means / pairs  +  variance of block means / blocks  -  residual / (pairs x blocks)

The last two terms together are not less than 0. Its degrees of freedom are Satterthwaite's (1946).
"""

import math
from collections.abc import Sequence

from celeriac.decide.gate.records import FEWEST_BLOCKS, Look, Pair, Past, Run, blocks_of
from celeriac.decide.gate.student import f_upper_tail, upper_tail
from celeriac.domain.records import Goal

#: Tonight's noise is told from the past's, which then is not used, where so large a ratio of variances is so rare.
_UNLIKE = 0.05


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
    of_blocks, blocks_df = _blocks_part(pairs)
    total = of_seeds + of_blocks
    if total > 0:
        df = total**2 / (of_seeds**2 / pairs_df + (of_blocks**2 / blocks_df if of_blocks else 0.0))
        # The blocks' part is a difference, whose own degrees of freedom may be next to none: a sum has no fewer than
        # the poorer of its parts.
        df = max(df, min(pairs_df, blocks_of(pairs) - 1.0)) if of_blocks else df
        p = upper_tail(gain / math.sqrt(total), df)
    else:  # trainings that no seed changes: the difference is what it is
        df, p = float(pairs_df), (0.0 if gain > 0 else 1.0)
    return Look(n, gain, math.sqrt(total), df, p, of_blocks / total if total > 0 else 0.0)


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


def _blocks_part(pairs: Sequence[Pair]) -> tuple[float, float]:
    """The hold-out's part of the mean gain's variance, with its degrees of freedom; 0 where too few blocks tell."""
    n, blocks = len(pairs), blocks_of(pairs)
    if blocks < FEWEST_BLOCKS:
        return 0.0, 1.0
    table = [
        [new - old for new, old in zip(pair.challenger.holdout, pair.champion.holdout, strict=True)] for pair in pairs
    ]
    mean = math.fsum(map(math.fsum, table)) / (n * blocks)
    table = [[value - mean for value in row] for row in table]  # so that the sums of squares below lose no digits
    rows = [sum(row) / blocks for row in table]
    columns = [sum(column) / n for column in zip(*table, strict=True)]
    of_columns = sum(value * value for value in columns)
    between = of_columns / (blocks - 1) / blocks
    residual_df = (n - 1) * (blocks - 1)
    all_squares = sum(value * value for row in table for value in row)
    left = all_squares - blocks * sum(value * value for value in rows) - n * of_columns
    chance = max(0.0, left) / residual_df / (n * blocks)
    part = between - chance
    if not part > 0:
        return 0.0, 1.0
    return part, part**2 / (between**2 / (blocks - 1) + chance**2 / residual_df)
