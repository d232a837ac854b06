"""What the observations teach about the loss, as rows for a model: which are kept, and what a pruned trial is worth.

A pruned trial's final loss is missing, and it is missing because of its values at the rungs. Both easy answers are
biased: its last value is worse than its final loss would be, and leaving it out keeps only the good trials. So it is
imputed rung by rung. The value at the next rung is regressed on the values at all earlier rungs, over all trials
that reached the next one (whether pruned there or not); after the last rung the final loss is regressed in the same
way. Whether a trial went on depended only on the values that are regressed on, and selection by its regressors does
not bias a regression (missing at random: Rubin 1976; the factored regressions of a monotone pattern: Anderson 1957;
Little & Rubin, Statistical Analysis with Missing Data, 7.4). With few pairs a prior steadies it: the next value is
as much better or worse than usual as the last one. The variances of the steps add up, and the model gets them as the
row's known noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coordinator.samplers.api import Kind, Observation
from coordinator.samplers.encoding import Array

LEAST_PAIRS = 4
_SLOPE_SPREAD = 0.5
_WILD = 10.0  # so many spreads above the median: a diverged training, not a bad one, which the regressions need
_FINAL = -1  # stands for "the end" among rungs, which are numbered from 0


@dataclass(frozen=True, slots=True)
class Lessons:
    """`losses` with the known variance `noise` (squared units of the loss) and `weight` of each, in the order of their
    ends.
    """

    observations: tuple[Observation, ...]
    losses: Array
    noise: Array
    weight: Array

    def subset(self, most: int, rng: np.random.Generator) -> "Lessons":
        """All rows, or `most` of them: a third the best, a third the newest, the rest at random; in order."""
        rows = len(self.losses)
        if rows <= most:
            return self
        third = most // 3
        chosen = set(np.argsort(self.losses, kind="stable")[:third].tolist()) | set(range(rows - third, rows))
        others = [row for row in range(rows) if row not in chosen]
        chosen.update(rng.choice(others, most - len(chosen), replace=False).tolist())
        kept = sorted(chosen)
        return Lessons(
            tuple(self.observations[row] for row in kept), self.losses[kept], self.noise[kept], self.weight[kept]
        )


def lessons(observations: Sequence[Observation]) -> Lessons:
    """The rows that say something about the loss: finished, pruned and prior ones."""
    telling = tuple(o for o in observations if o.loss is not None)
    losses = np.array([o.loss for o in telling], dtype=np.float64)
    noise = np.array([o.noise for o in telling], dtype=np.float64)
    pruned = [row for row, o in enumerate(telling) if o.kind is Kind.PRUNED]
    if pruned:
        steps = _Steps(telling)
        for row in pruned:
            losses[row], noise[row] = steps.end_of(telling[row])
    return Lessons(telling, losses, noise, np.array([o.weight for o in telling], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class _Regression:
    """Of the next rung's value on those before it: `level + slopes · (values - middle)`, with `variance` around it.

    `doubt`: the covariance of the slopes, in units of `variance`.
    """

    middle: Array
    level: float
    slopes: Array
    variance: float
    doubt: Array
    share: float  # 1 / pairs

    def following(self, values: Array, covariance: Array) -> tuple[Array, Array]:
        """The values with the next one appended, and their covariance, when they are known with `covariance`."""
        away = values - self.middle
        own = self.variance * (1.0 + self.share + float(away @ self.doubt @ away))
        across = covariance @ self.slopes
        grown = np.block([[covariance, across[:, None]], [across[None, :], self.slopes @ across + own]])
        return np.append(values, self.level + self.slopes @ away), grown


class _Steps:
    """The regressions from rung to rung, and from each to the end, of one study."""

    def __init__(self, telling: Sequence[Observation]) -> None:
        self._paths = [_path(o) for o in telling if o.rungs]
        finished = np.array([o.loss for o in telling if o.kind is Kind.FINISHED])
        self._doubt = float(finished.var()) if len(finished) > 1 else 1.0
        self._fences: dict[int, float] = {}
        self._regressions: dict[tuple[int, ...], _Regression | None] = {}

    def end_of(self, pruned: Observation) -> tuple[float, float]:
        """The final loss to expect of a pruned trial, and its variance."""
        if not pruned.rungs:
            return float(pruned.loss or 0.0), self._doubt
        rungs = [rung for rung, _ in pruned.rungs]
        values = np.array([min(value, self._fence(rung)) for rung, value in pruned.rungs])
        covariance = np.zeros((len(rungs), len(rungs)))
        while rungs[-1] != _FINAL:
            following = self._following(rungs[-1])
            step = None if following is None else self._regression(rungs, following)
            if following is None or step is None:  # too few went on to tell: a guess that counts little
                return float(values[-1]), float(covariance[-1, -1]) + self._doubt
            used = len(step.middle)
            rungs = [*rungs[-used:], following]
            values, covariance = step.following(values[-used:], covariance[-used:, -used:])
        return float(values[-1]), float(covariance[-1, -1])

    def _following(self, rung: int) -> int | None:
        """The rung after this one, among those that somebody reached; the end after the last; None when nobody went
        on.
        """
        reached = {r for path in self._paths if rung in path for r in path}
        later = [r for r in reached if r > rung]
        return min(later) if later else (_FINAL if _FINAL in reached else None)

    def _regression(self, rungs: Sequence[int], following: int) -> _Regression | None:
        """On as many of `rungs`, the latest, as enough trials have values at; None when not even the last one has."""
        for first in range(len(rungs)):
            columns = (*rungs[first:], following)
            if columns not in self._regressions:
                table = [
                    [path[rung] for rung in columns]
                    for path in self._paths
                    if all(rung in path and path[rung] <= self._fence(rung) for rung in columns)
                ]
                enough = len(table) >= LEAST_PAIRS
                self._regressions[columns] = _regression(np.array(table)) if enough else None
            found = self._regressions[columns]
            if found is not None:
                return found
        return None

    def _fence(self, rung: int) -> float:
        """Beyond this, a training has diverged: it bends no line, and counts as if it were this bad."""
        if rung not in self._fences:
            low, middle, high = np.percentile([p[rung] for p in self._paths if rung in p], [25, 50, 75])
            self._fences[rung] = float(middle + _WILD * max(high - middle, middle - low))
        return self._fences[rung]


def _path(observation: Observation) -> dict[int, float]:
    """The values at the rungs, and the final loss if there is one."""
    path = dict(observation.rungs)
    if observation.kind is Kind.FINISHED and observation.loss is not None:
        path[_FINAL] = observation.loss
    return path


def _regression(table: Array) -> _Regression:
    """Bayesian least squares of the last column on the others; before any row, the slope is 1 on the latest and 0 on
    the rest.
    """
    x, y = table[:, :-1], table[:, -1]
    middle, level = x.mean(axis=0), float(y.mean())
    x, y = x - middle, y - level
    slopes = np.zeros(x.shape[1])
    slopes[-1] = 1.0
    rest = y - x @ slopes
    variance = float(rest @ rest) / len(y)
    for _ in range(3):  # the variance decides how much the prior counts, and the other way round
        inverse = np.linalg.inv(x.T @ x + (variance / _SLOPE_SPREAD**2 + 1e-12) * np.eye(x.shape[1]))
        moved = inverse @ (x.T @ rest)
        left = rest - x @ moved
        variance = float(left @ left) / max(len(y) - 1 - float(np.trace(x @ inverse @ x.T)), 1.0)
    return _Regression(middle, level, slopes + moved, variance, inverse, 1.0 / len(y))
