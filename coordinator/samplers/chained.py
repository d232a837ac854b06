"""The model of a night that has earlier nights: one Gaussian process over points and nights.

Two nights' functions are correlated by r to the power of the nights between them (a time-varying Gaussian process:
Bogunovic et al. 2016, arXiv 1601.06650); a sister's by SISTER of that. Each earlier night counts with its trials'
standings (`coordinator.samplers.standing`); tonight's warped losses enter times an unknown scale and plus an unknown
level. The scale's best value has a closed form. r is the most likely of WEIGHTS, given tonight's scores and a prior
that expects nights to be alike.

Before that, the past has to agree with itself and with tonight. With itself: each trial's standing, foretold from all
others, must be correlated with what it was (ITSELF); this is known before the night begins, and a past without any
order is dropped at once. With tonight: what the earlier nights alone expect of tonight's trials must be positively
correlated with their losses. While the past does not agree, tonight is searched as if there were none.

No trial is spent closer to another one of tonight than APART of the distance that tonight's trials would have if they
were spread evenly: a few trials a night are not for the last digits. A place of an earlier night is a candidate as it
is, since it is the past's best guess without any error of a model.

Length scales and noise are fitted on the earlier nights, and again on these and tonight's first trials when there are
as many as FITS says; between two fits a suggestion adds a solve with the earlier nights' factor to the usual cost.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize

from celeriac.domain.provenance import By
from celeriac.domain.space import Space
from coordinator.samplers.api import Kind, Observation, Point
from coordinator.samplers.earlier import EarlierStudy
from coordinator.samplers.encoding import Array, Box
from coordinator.samplers.feasible import Feasibility
from coordinator.samplers.gp import cholesky, matern, squared_distances
from coordinator.samplers.model import CENTRES, SMALL_SPACE, Improvement, incumbent_of
from coordinator.samplers.standing import Standings, agreeing, standings
from coordinator.samplers.training_rows import Lessons, lessons
from coordinator.samplers.warp import Warp, warp_of

WEIGHTS = (0.3, 0.6, 0.8, 0.9, 0.97)
_EXPECTED = (-1.5, -1.0, -0.5, 0.0, 0.0)  # logarithms of the prior of each
_USUAL = -2  # the one that is taken before anything is known of tonight
#: How well the past must foretell itself, as a correlation; fewer rows than RATHER_FEW say nothing of that. On the
#: published tables (`benchmarks.nights.tables`) a true past has 0.54 to 0.98, a shuffled one -0.2 to 0.53.
ITSELF, RATHER_FEW = 0.5, 8
#: Fewer scored trials of tonight say nothing about the past.
TELLING = 2
#: A share of the spacing that is even.
APART = 0.2
_TOO_NEAR = 1e6
SISTER = 0.7
#: At so many scored trials tonight, the hyperparameters are fitted anew.
FITS = (10, 30, 90)
#: Variances of what a night's standings, and tonight's level, may be off by.
_OFFSET, _LEVEL = 0.1, 0.1
#: The prior of tonight's scale: so many observations' worth of this.
_SCALE_ROWS, _SCALE = 2.0, 0.5
_JITTER = 1e-8
_KEPT = 16

_known: "OrderedDict[tuple[int, int, tuple[int, ...]], tuple[tuple[EarlierStudy, ...], _Past | None]]" = OrderedDict()


class Spread(Improvement):
    """As a cold search's model, but no trial is spent close to another one of tonight (APART), unless nothing else is
    left.
    """

    def __init__(self, space: Space, observations: Sequence[Observation], pending: Sequence[Point], seed: int) -> None:
        super().__init__(space, observations, pending, seed)
        self._tonight = self._encoded([*(o.point for o in observations if o.kind is not Kind.PRIOR), *pending])

    def believe(self, point: Point) -> None:
        """Count one more pending point."""
        super().believe(point)
        self._tonight = np.vstack([self._tonight, self._encoded([point])])

    def _gain(self, places: Array) -> Array:
        gain = super()._gain(places)
        if not len(self._tonight):
            return gain
        apart = APART * len(self._tonight) ** (-1.0 / self._box.columns)
        nearest = squared_distances(self._box.encoded(places), self._tonight).min(axis=1)
        return np.asarray(np.where(nearest < apart**2, gain - _TOO_NEAR, gain))


class Chained(Spread):
    """The model of one moment. `weight`: how much an earlier night counts, 0 when the past is not to be used, and then
    this is no model.

    Raises ValueError or ArithmeticError where the numbers do not allow a model.
    """

    anywhere = 500  # the past says where to look

    def __init__(
        self,
        space: Space,
        observations: Sequence[Observation],
        earlier: tuple[EarlierStudy, ...],
        pending: Sequence[Point],
        seed: int,
    ) -> None:
        self._earlier, self.weight = earlier, 0.0
        super().__init__(space, observations, pending, seed)

    def _build(self, observations: Sequence[Observation], pending: Sequence[Point]) -> None:
        kept = agreeing(self._box, self._earlier, tuple(observations))
        own = lessons(observations)
        places = self._box.units([o.point.unit for o in own.observations])
        x, scored = self._box.encoded(places), len(own.losses) > 0
        warp = warp_of(own.losses if scored else np.zeros(1))
        alone = _cached(self._box, self._earlier, kept, ())
        if alone is None or not agrees(alone, x, warp(own.losses)):
            return  # before anything is fitted for tonight
        past = _past(self._box, self._earlier, kept, tuple(observations)) or alone
        night = _tonight(past, x, own, warp)
        self.weight = night.weight
        self._model, self._warp = night, warp  # type: ignore[assignment] # it answers what a GaussianProcess does
        self._scored = scored
        self._tried_before = np.unique(past.rows.places, axis=0)
        every = np.vstack([x, past.rows.x])
        expected = self._model.predict(every)
        self._best = float(np.min(expected[: len(x)] if scored else expected))
        order = np.argsort(expected, kind="stable")[:CENTRES]
        self._centres = np.vstack([places, past.rows.places])[order]
        if pending:
            self._model.believe(self._encoded(pending))
        self._feasible = Feasibility(self._box, observations, np.random.default_rng([self._seed, len(observations)]))
        self._how: dict[str, Any] = {
            "by": By.EXPECTED_IMPROVEMENT,
            **incumbent_of(own),
            "kept": len(x),
            "kept_earlier": len(past.rows.x),
            "weight": self.weight,
            "counted": sorted(each.study_id for each in kept),
        }

    def _searched(self, rng: np.random.Generator) -> tuple[Array, Array]:
        places, gains = super()._searched(rng)
        if self._box.all_places(SMALL_SPACE) is not None:
            return places, gains
        before = self._tried_before
        return np.vstack([places, before]), np.concatenate([gains, self._gain(before)])

    def _expected(self, place: Array) -> dict[str, float]:
        return super()._expected(place) if self._scored else {}


class _Past:
    """The earlier nights' rows, with the factor of their kernel for each weight."""

    def __init__(self, box: Box, rows: Standings, fitted_on: Standings) -> None:
        self.rows = rows
        theta = _fitted(box.groups, fitted_on, float(np.log(0.25 * np.sqrt(box.columns))))
        self.scale = np.exp(-theta[:-1])[list(box.groups)]
        self.noise = float(np.exp(theta[-1])) + _JITTER
        self.x = rows.x * self.scale
        alike = matern(squared_distances(self.x, self.x))
        self.factors, self.alphas = [], []
        for weight in WEIGHTS:
            kernel = alike * _linked(rows, weight) + _same_study(rows)
            kernel[np.diag_indices(len(kernel))] += self.noise
            self.factors.append(cholesky(kernel))
            self.alphas.append(cho_solve((self.factors[-1], True), rows.standing, check_finite=False))
        self.shares = [_to_tonight(rows, weight) for weight in WEIGHTS]
        self.foretold = self._foretold()

    def _foretold(self) -> float:
        """How well each own night's row (a sister's, when there are only sisters) is foretold from all others: the
        correlation of its standing with the leave-one-out mean (Rasmussen & Williams 2006, 5.4.2); 1 when the rows are
        too few to say.
        """
        own = int(np.logical_not(self.rows.is_sister).sum()) or len(self.rows.x)  # own nights come first
        standing = self.rows.standing[:own]
        if own < RATHER_FEW or not standing.std() > 0.0:
            return 1.0
        inverse = cho_solve((self.factors[_USUAL][:own, :own], True), np.eye(own), check_finite=False)
        left_out = standing - inverse @ standing / np.diag(inverse)
        return float(np.corrcoef(left_out, standing)[0, 1]) if left_out.std() > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class _Scored:
    """Tonight's scored trials: their scaled points, warped losses with the variance that is known of each, and the
    correlation of their places with the past's rows and with each other, all for any weight.
    """

    x: Array
    values: Array
    noise: Array
    to_past: Array
    alike: Array


class _Tonight:
    """The posterior of tonight's function under one weight; values are those of tonight's warped losses."""

    def __init__(self, past: _Past, at: int, scored: _Scored) -> None:
        self._past, self._factor, self._alpha, self._share = past, past.factors[at], past.alphas[at], past.shares[at]
        self.weight, self.standing = WEIGHTS[at], np.zeros(0)
        self._x, values = scored.x, scored.values
        self._scale, self.evidence = 1.0, _EXPECTED[at]
        self._own, self._residual = np.zeros((0, 0)), np.zeros(0)
        cross = scored.to_past * self._share[:, None]
        self._half = self._solved(cross)
        if not len(values):
            return
        kernel = scored.alike + _LEVEL - self._half.T @ self._half
        kernel[np.diag_indices(len(values))] += past.noise + scored.noise * _SCALE**2
        self._own = cholesky(kernel)
        expected = cross.T @ self._alpha
        by_value = cho_solve((self._own, True), values, check_finite=False)
        # The most likely scale: of rows log(scale) - (scale * values - expected)' K^-1 (scale * values - expected) / 2.
        square = float(values @ by_value) + _SCALE_ROWS / _SCALE**2
        product, rows = float(expected @ by_value), len(values) - 1 + _SCALE_ROWS
        self._scale = (product + np.sqrt(product**2 + 4.0 * rows * square)) / (2.0 * square)
        off = self._scale * values - expected
        self.standing = self._scale * values - float(off.mean())
        self._residual = cho_solve((self._own, True), off, check_finite=False)
        self.evidence += float(
            rows * np.log(self._scale)
            - np.log(np.diag(self._own)).sum()
            - 0.5 * (off @ self._residual)
            - 0.5 * _SCALE_ROWS * (self._scale / _SCALE) ** 2
        )

    def predict(self, x: Array, return_std: bool = False) -> tuple[Array, Array] | Array:
        """As `coordinator.samplers.gp.GaussianProcess`."""
        x = x * self._past.scale
        cross = self._cross(x)
        half = self._solved(cross)
        own = self._to_own(x, half)
        mean = (cross.T @ self._alpha + own.T @ self._residual) / self._scale
        if not return_std:
            return np.asarray(mean)
        variance = 1.0 + _LEVEL - np.einsum("ij,ij->j", half, half)
        if len(self._own):
            rest = solve_triangular(self._own, own, lower=True, check_finite=False)
            variance -= np.einsum("ij,ij->j", rest, rest)
        return np.asarray(mean), np.sqrt(np.maximum(variance, 1e-12)) / self._scale

    def believe(self, x: Array) -> None:
        """Take it that these pending points score what is expected there."""
        x = x * self._past.scale
        half = self._solved(self._cross(x))
        kernel = matern(squared_distances(x, x)) + _LEVEL - half.T @ half
        known, new = len(self._own), len(x)
        factor = np.zeros((known + new, known + new))
        if known:
            cross = solve_triangular(self._own, self._to_own(x, half), lower=True, check_finite=False)
            kernel -= cross.T @ cross
            factor[:known, :known], factor[known:, :known] = self._own, cross.T
        kernel[np.diag_indices(new)] += self._past.noise
        factor[known:, known:] = cholesky(kernel)
        self._own, self._x, self._half = factor, np.vstack([self._x, x]), np.hstack([self._half, half])
        self._residual = np.concatenate([self._residual, np.zeros(new)])

    def _cross(self, x: Array) -> Array:
        return np.asarray(matern(squared_distances(self._past.x, x)) * self._share[:, None])

    def _solved(self, cross: Array) -> Array:
        return np.asarray(solve_triangular(self._factor, cross, lower=True, check_finite=False))

    def _to_own(self, x: Array, half: Array) -> Array:
        """The covariance of tonight's points with `x`, given the past."""
        return np.asarray(matern(squared_distances(self._x, x)) + _LEVEL - self._half.T @ half)


def _linked(rows: Standings, weight: float) -> Array:
    """How each two rows' functions are correlated."""
    between = np.abs(rows.gap[:, None] - rows.gap[None, :])
    # Own nights are one slice, and each sister's studies are taken for another slice's.
    slices = np.where(rows.is_sister, rows.study + 1, 0)
    return np.asarray(weight**between * np.where(slices[:, None] == slices[None, :], 1.0, SISTER))


def _to_tonight(rows: Standings, weight: float) -> Array:
    share = weight**rows.gap * np.where(rows.is_sister, SISTER, 1.0)
    return np.asarray(np.where(rows.gap > 0, share, share * float(weight > 0.0)))


def _same_study(rows: Standings) -> Array:
    return np.asarray(_OFFSET * (rows.study[:, None] == rows.study[None, :]))


def _tonight(past: _Past, x: Array, own: Lessons, warp: Warp) -> _Tonight:
    """Tonight under the most likely weight; `x`: its scored trials' encoded points."""
    noise = own.noise * warp.slope(own.losses) ** 2
    scaled = x * past.scale
    to_past, alike = (matern(squared_distances(each, scaled)) for each in (past.x, scaled))
    scored = _Scored(scaled, warp(own.losses), noise, to_past, alike)
    return max((_Tonight(past, at, scored) for at in range(len(WEIGHTS))), key=lambda night: night.evidence)


def _past(
    box: Box, earlier: tuple[EarlierStudy, ...], kept: tuple[EarlierStudy, ...], tonight: tuple[Observation, ...]
) -> _Past | None:
    """The past of the studies `kept`, with hyperparameters for so much of tonight: a cache, for the same is asked for
    again and again.
    """
    scored = [each for each in tonight if each.loss is not None]
    rung = max((fit for fit in FITS if fit <= len(scored)), default=0)
    return _cached(box, earlier, kept, scored[:rung])


def _cached(
    box: Box, earlier: tuple[EarlierStudy, ...], kept: tuple[EarlierStudy, ...], scored: Sequence[Observation]
) -> _Past | None:
    rung = len(scored)
    key = (id(earlier), rung, tuple(each.study_id for each in kept))
    found = _known.get(key)
    if found is None or found[0] is not earlier:
        found = earlier, _with_tonight(box, earlier, kept, scored) if scored else _alone(box, kept)
        _known[key] = found
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return found[1]


def _alone(box: Box, kept: tuple[EarlierStudy, ...]) -> _Past | None:
    rows = standings(box, kept)
    return None if rows is None else _Past(box, rows, rows)


def _with_tonight(
    box: Box, earlier: tuple[EarlierStudy, ...], kept: tuple[EarlierStudy, ...], scored: Sequence[Observation]
) -> _Past | None:
    """The same rows, fitted together with tonight's, which stand where the model of the rows alone takes them to."""
    past = _cached(box, earlier, kept, ())
    if past is None:
        return None
    own, rows = lessons(scored), past.rows
    places = box.units([o.point.unit for o in own.observations])
    x, new = box.encoded(places), len(places)
    night = _tonight(past, x, own, warp_of(own.losses))
    both = Standings(
        np.vstack([rows.places, places]),
        np.vstack([rows.x, x]),
        np.concatenate([rows.standing, night.standing]),
        np.concatenate([rows.gap, np.zeros(new)]),
        np.concatenate([rows.study, np.full(new, rows.study.max() + 1)]),
        np.concatenate([rows.is_sister, np.zeros(new, dtype=bool)]),
    )
    return _Past(box, rows, both)


def agrees(past: _Past, x: Array, values: Array) -> bool:
    """Whether the past foretells itself and, of tonight's `values` at `x`, which are better."""
    if past.foretold < ITSELF:
        return False
    if len(values) < TELLING:
        return True
    expected = matern(squared_distances(x * past.scale, past.x)) * past.shares[_USUAL] @ past.alphas[_USUAL]
    if not (expected.std() > 1e-9 and values.std() > 1e-9):
        return False
    return bool(np.corrcoef(expected, values)[0, 1] > 0.0)


def _fitted(groups: tuple[int, ...], rows: Standings, length: float) -> Array:
    """Logarithms of a length for each parameter, then of the noise: the most likely ones of the earlier nights,
    together with a decay from night to night that is not used further.
    """
    likelihood = _Likelihood(groups, rows, length)
    parameters = max(groups) + 1
    limits = [(-4.0, 3.0)] * parameters + [(np.log(1e-6), np.log(0.1)), (np.log(0.005), np.log(3.0))]
    found = minimize(likelihood, likelihood.start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 30})
    return np.asarray(found.x[:-1], dtype=np.float64)


class _Likelihood:
    """The negative log posterior of lengths, noise and decay (logarithms), and its gradient."""

    def __init__(self, groups: tuple[int, ...], rows: Standings, length: float) -> None:
        parameters = max(groups) + 1
        own = [rows.x[:, np.array(groups) == parameter] for parameter in range(parameters)]
        self._parts = np.array([squared_distances(each, each).ravel() for each in own])
        self._y, self._same = rows.standing, _same_study(rows)
        self._away = np.abs(rows.gap[:, None] - rows.gap[None, :])
        self._slices = _linked(rows, 1.0)
        self.start = np.array([length] * parameters + [np.log(1e-3), np.log(0.1)])
        self._deviation = np.array([1.0] * parameters + [1.5, 1.0])

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """At `theta`; hopeless where the kernel matrix cannot be factored."""
        y, n = self._y, len(self._y)
        scale, noise, decay = np.exp(-2.0 * theta[:-2]), np.exp(theta[-2]), np.exp(theta[-1])
        root = np.sqrt(5.0 * (scale @ self._parts).reshape(n, n))
        fall = np.exp(-root)
        linked = self._slices * np.exp(-decay * self._away)
        alike = (1.0 + root + root**2 / 3.0) * fall
        kernel = alike * linked + self._same
        kernel[np.diag_indices(n)] += noise + _JITTER
        factor, info = dpotrf(kernel, lower=1)
        if info:
            return 1e25, np.zeros_like(theta)
        alpha = cho_solve((factor, True), y, check_finite=False)
        inverse = np.tril(dpotri(factor, lower=1)[0])
        slope = 0.5 * (inverse + np.tril(inverse, -1).T - np.outer(alpha, alpha))
        gradient = np.empty_like(theta)
        by_square = slope * linked * (-(5.0 / 6.0) * (1.0 + root) * fall)
        gradient[:-2] = (self._parts @ by_square.ravel()) * scale * -2.0
        gradient[-2] = float(np.trace(slope)) * noise
        gradient[-1] = float((slope * alike * linked * -self._away).sum()) * decay
        off = (theta - self.start) / self._deviation
        value = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum())
        return value + 0.5 * float(off @ off), gradient + off / self._deviation
