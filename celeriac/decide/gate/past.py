"""The noise of a slice's earlier nights, pooled: then fewer pairs say as much tonight."""

import math
from collections.abc import Sequence

from celeriac.decide.gate.estimate import check, value_of
from celeriac.decide.gate.records import Pair, Past


def pool_past(nights: Sequence[Sequence[Pair]]) -> Past | None:
    """The pooled noise of earlier nights' pairs, each night around its own mean: what the nights' gains were does not
    matter. A night of one pair says nothing. None where no night has two pairs. Raises ValueError for pairs that
    cannot be compared (see `check`).
    """
    squares = trainings = 0.0
    df = used = 0
    for pairs in nights:
        if len(pairs) < 2:
            continue
        check(pairs)
        old = [value_of(pair.champion) for pair in pairs]
        new = [value_of(pair.challenger) for pair in pairs]
        squares += _around_mean([b - a for a, b in zip(old, new, strict=True)])
        trainings += 0.5 * (_around_mean(old) + _around_mean(new))
        df += len(pairs) - 1
        used += 1
    return Past(used, df, math.sqrt(squares / df), math.sqrt(trainings / df)) if df else None


def _around_mean(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)
