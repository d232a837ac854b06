"""The model behind the bayesian sampler: which unseen candidate promises the largest improvement?

The Gaussian process is built on at most KEPT observations; its hyperparameters are fitted on at most FITTED of them,
whenever a tenth more are there, and used from one observation later on (`fit_ahead` makes them while that one trains).
Pending trials are believed to score as expected. The gain of a candidate is the logarithm of the expected improvement
on the best expected loss, times the probability that the candidate runs at all (squared, as it were, where that is
unlikely: a boundary is not to be probed over and over). The winner is the best of some 1,500 candidates, spread over
the space and close around the best points, or of all points of a small space, that no trial has had. All a pure
function of its arguments.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import ceil
from threading import RLock
from typing import Any

import numpy as np
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from celeriac.domain.provenance import By
from celeriac.domain.space import Space
from coordinator.samplers.api import Kind, Observation, Point, Proposal
from coordinator.samplers.encoding import Array, Box
from coordinator.samplers.feasible import Feasibility
from coordinator.samplers.gp import GaussianProcess, Prior, Rows, fitted
from coordinator.samplers.training_rows import Lessons, lessons
from coordinator.samplers.warp import Warp, warp_of

FITTED = 150
KEPT = 300
FIRST_FITS = 10
GROWTH = 1.1
ANYWHERE = 1000
CENTRES, COPIES, SCALES = 5, 60, (0.2, 0.04)
REFINED, REFINED_COPIES, REFINEMENTS = 4, 30, (0.05, 0.015)
SMALL_SPACE = 2000
LIKELY, CAUTION = 0.75, 1.0


_alone = RLock()


@cache
def _threads() -> ThreadpoolController:
    """Looking for the loaded BLAS libraries takes milliseconds: once a process is enough."""
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread at a time, and BLAS on one: the same sums in the same order on every host, and trials need the other
    cores.

    The limit is the process's, so that two threads which each set it would undo each other's.
    """
    with _alone, _threads().limit(limits=1, user_api="blas"):
        yield


def fit_ahead(space: Space, observations: Sequence[Observation], seed: int) -> None:
    """Fit the hyperparameters that a suggestion after the next observation will use; nothing where they cannot be
    fitted.
    """
    with one_thread():
        try:
            _theta(Box(space), observations, seed, _fitted_on(len(observations) + 1))
        except (ValueError, ArithmeticError):
            return  # the suggestion will meet the same error, and say so


class Improvement:
    """The model of one moment; raises ValueError or ArithmeticError where the numbers do not allow one.

    `anywhere`: how many candidates are spread over the space.
    """

    anywhere = ANYWHERE

    def __init__(self, space: Space, observations: Sequence[Observation], pending: Sequence[Point], seed: int) -> None:
        self._seed, self._box = seed, Box(space)
        with one_thread():
            self._build(observations, pending)

    def believe(self, point: Point) -> None:
        """Count one more pending point."""
        with one_thread():
            self._model.believe(self._encoded([point]))

    def best(self, number: int, seen: set[str]) -> Proposal | None:
        """The candidate with the largest gain whose key is not in `seen`; None when all are."""
        with one_thread():
            candidates = self._searched(np.random.default_rng([self._seed, number]))
            found = self._box.most_promising(*candidates, seen)
            return None if found is None else Proposal(found[0], {**self._how, **self._expected(found[1])})

    def _build(self, observations: Sequence[Observation], pending: Sequence[Point]) -> None:
        """Condition on the kept observations, and believe all pending points."""
        known = len(observations)
        theta = _theta(self._box, observations, self._seed, _fitted_on(known))
        rng = np.random.default_rng([self._seed, known])
        kept = lessons(observations).subset(KEPT, rng)
        rows, self._warp = _rows(self._box, kept)
        self._model = GaussianProcess(theta, self._box.groups, rows)
        expected = self._model.predict(rows.x)
        self._best = float(np.min(expected))
        order = np.argsort(expected, kind="stable")[:CENTRES]
        self._centres = self._box.units([kept.observations[row].point.unit for row in order])
        if pending:
            self._model.believe(self._encoded(pending))
        self._feasible = Feasibility(self._box, observations, rng)
        self._how: dict[str, Any] = {
            "by": By.EXPECTED_IMPROVEMENT,
            **incumbent_of(kept),
            "fitted_on": _fitted_on(known),
            "kept": len(kept.losses),
        }

    def _encoded(self, points: Sequence[Point]) -> Array:
        return self._box.encoded(self._box.units([point.unit for point in points]))

    def _searched(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Candidates and their gains: anywhere, around the best points, then closer and closer around the best
        candidates.
        """
        small = self._box.all_places(SMALL_SPACE)
        if small is not None:
            return small, self._gain(small)
        anywhere = self._box.snapped(rng.random((self.anywhere, self._box.columns)))
        near = [self._box.around(self._centres, COPIES, scale, rng) for scale in SCALES]
        places = np.vstack([anywhere, *near])
        gains = self._gain(places)
        for scale in REFINEMENTS:
            top = places[np.argsort(-gains, kind="stable")[:REFINED]]
            closer = self._box.around(top, REFINED_COPIES, scale, rng)
            places, gains = np.vstack([places, closer]), np.concatenate([gains, self._gain(closer)])
        return places, gains

    def _gain(self, places: Array) -> Array:
        x = self._box.encoded(places)
        mean, deviation = self._model.predict(x, return_std=True)
        gain = log_improvement(mean, deviation, self._best)
        if self._feasible.failed:
            chance = np.log(self._feasible(x))
            gain += chance + CAUTION * np.minimum(chance - np.log(LIKELY), 0.0)
        return gain

    def _expected(self, place: Array) -> dict[str, float]:
        """What the model expects at one place, in units of the loss: median, 90 % interval, improvement, chance to
        run.
        """
        x = self._box.encoded(place)
        mean, deviation = (float(each[0]) for each in self._model.predict(x, return_std=True))
        found = self._warp.expected(mean, deviation, self._best)
        if self._feasible.failed:
            found["feasible"] = self._feasible(x)[0]
        return {name: float(f"{value:.6g}") for name, value in found.items()}


def _theta(box: Box, observations: Sequence[Observation], seed: int, rung: int) -> Array:
    """The hyperparameters fitted on (at most FITTED of) the first `rung` observations."""
    kept = lessons(observations[:rung]).subset(FITTED, np.random.default_rng([seed, rung]))
    rows, _ = _rows(box, kept)
    length = float(np.log(0.25 * np.sqrt(box.columns)))
    return fitted(box.groups, rows, Prior(length=(length, 1.0)))


def _rows(box: Box, kept: Lessons) -> tuple[Rows, Warp]:
    warp = warp_of(kept.losses)
    places = box.units([o.point.unit for o in kept.observations])
    noise = kept.noise * warp.slope(kept.losses) ** 2 if kept.noise.any() else kept.noise
    return Rows(box.encoded(places), warp(kept.losses), noise, kept.weight), warp


def incumbent_of(kept: Lessons) -> dict[str, Any]:
    """The best finished trial among the kept (the best ones always are)."""
    done = [(o.loss, o.point.number) for o in kept.observations if o.kind is Kind.FINISHED]
    return {"incumbent": min(done)[0], "incumbent_number": min(done)[1]} if done else {}


def _fitted_on(observations: int) -> int:
    """On how many of the first observations the hyperparameters of a suggestion are fitted, when so many are known.

    One fewer than known, at least, so that the fit is made before the suggestion needs it; a tenth more each time, so
    that fits stay few.
    """
    most = max(observations - 1, 1)
    rung = min(most, FIRST_FITS)
    while (following := ceil(rung * GROWTH)) <= most and following > rung:
        rung = following
    return rung


def log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of the expected improvement below `best`, also where that is too small for a double.

    Ament et al. 2023, "Unexpected Improvements to Expected Improvement for Bayesian Optimization"; far out, its
    asymptote.
    """
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    near = np.log(np.maximum(density + z * ndtr(z), 1e-300))
    far = -0.5 * (z * z + np.log(2.0 * np.pi)) - 2.0 * np.log(np.maximum(-z, 1.0))
    return np.asarray(np.where(z > -6.0, near, far) + np.log(deviation))
