"""The model behind the bayesian sampler: which unseen candidate promises the largest improvement?

The Gaussian process is built on at most KEPT observations, with hyperparameters fitted on at most FITTED of them and only when a
tenth more are there; pending trials are believed to score as expected. The winner is the best of some 1,500 candidates, spread
over the space and close around the best points, that no trial has had. All a pure function of its arguments.
"""

from collections.abc import Sequence
from functools import cache
from math import ceil
from typing import Any

import numpy as np
from skopt.acquisition import gaussian_ei, gaussian_lcb
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from celeriac.space import Space
from coordinator.samplers.box import Array, Box
from coordinator.samplers.gp import BelievingGP, believing, fitted
from coordinator.samplers.seam import Observation, Point, Proposal

FITTED = 150
KEPT = 300
FIRST_FITS = 10
GLOBAL_CANDIDATES = 1000
REFINEMENTS = (0.05, 0.015)


@cache
def _threads() -> ThreadpoolController:
    """Looking for the loaded BLAS libraries takes milliseconds: once a process is enough."""
    return ThreadpoolController()


class Improvement:
    """The model of one moment; raises ValueError or ArithmeticError where the numbers do not allow one."""

    def __init__(
        self, space: Space, telling: Sequence[Observation], pending: Sequence[Point], seed: int
    ) -> None:
        self._space, self._seed, self._box = space, seed, Box(space)
        # One thread: the same sums in the same order on every host, and trials need the other cores.
        with _threads().limit(limits=1, user_api="blas"):
            self._build(telling, pending)

    def believe(self, point: Point) -> None:
        """Count one more pending point."""
        with _threads().limit(limits=1, user_api="blas"):
            self._model.believe(self._box.encoded(self._box.units([point.unit])))

    def best(self, number: int, seen: set[str]) -> Proposal | None:
        """The candidate with the largest gain whose key is not in `seen`; None when all are."""
        with _threads().limit(limits=1, user_api="blas"):
            places, gains = self._searched(np.random.default_rng([self._seed, number]))
        for row in np.argsort(-gains, kind="stable"):
            params = self._box.params(places[row])
            if self._space.key(params) not in seen:
                return Proposal(params, {**self._how, "gain": float(gains[row])})
        return None

    def _build(self, telling: Sequence[Observation], pending: Sequence[Point]) -> None:
        """Fit on the kept observations, and believe all pending points."""
        rung = _refit_at(len(telling))
        rng = np.random.default_rng([self._seed, rung])
        places, losses = self._data(telling[:rung], FITTED, rng)
        theta = fitted(self._box.encoded(places), losses)
        places, losses = self._data(telling, KEPT, rng)
        self._model: BelievingGP = believing(theta, self._box.encoded(places), losses)
        if pending:
            self._model.believe(self._box.encoded(self._box.units([p.unit for p in pending])))
        self._best = float(losses.min())
        self._centres = places[np.argsort(losses, kind="stable")[:5]]
        self._how: dict[str, Any] = {"by": "expected improvement", "fitted_on": rung, "kept": len(losses)}

    def _data(
        self, telling: Sequence[Observation], most: int, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Places and standardised losses of the rows that are kept, in the order of their ends."""
        losses = _losses(telling)
        rows = _kept(losses, most, rng)
        return self._box.units([telling[row].point.unit for row in rows]), _standard(losses[rows])

    def _searched(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Candidates and their gains: anywhere, around the best points, then closer and closer around the best candidates."""
        anywhere = self._box.snapped(rng.random((GLOBAL_CANDIDATES, self._box.columns)))
        near = [self._box.around(self._centres, 60, scale, rng) for scale in (0.2, 0.04)]
        places = np.vstack([anywhere, *near])
        gains = self._gain(places)
        for scale in REFINEMENTS:
            top = places[np.argsort(-gains, kind="stable")[:4]]
            closer = self._box.around(top, 30, scale, rng)
            places, gains = np.vstack([places, closer]), np.concatenate([gains, self._gain(closer)])
        return places, gains

    def _gain(self, places: Array) -> Array:
        """Expected improvement; where it is too small for a double everywhere, the (negative) lower confidence bound orders."""
        encoded = self._box.encoded(places)
        gains: Array = gaussian_ei(encoded, self._model, y_opt=self._best, xi=0.0)
        if gains.max() > 0.0:
            return gains
        bounds: Array = gaussian_lcb(encoded, self._model)
        ordered: Array = -1e-9 * (1.0 + bounds - bounds.min())
        return ordered


def _refit_at(observations: int) -> int:
    """On how many of the first observations the hyperparameters are fitted: a tenth more each time, so the fits stay few."""
    rung = min(observations, FIRST_FITS)
    while (following := ceil(rung * 1.1)) <= observations and following > rung:
        rung = following
    return rung


def _losses(telling: Sequence[Observation]) -> Array:
    """Losses with the outliers pulled in, and the infeasible as bad as the worst that remains."""
    known = np.array([o.loss for o in telling if o.loss is not None])
    known = known / (np.abs(known).max() or 1.0)  # scores near the end of a double's range must not overflow
    low, middle, high = np.percentile(known, [25, 50, 75])
    # Winsorised above only: a wildly bad score must not flatten the model, a wildly good one is what is looked for.
    known = np.minimum(known, middle + 2.5 * max(high - middle, middle - low, 1e-12))
    losses = np.full(len(telling), known.max())
    losses[[o.loss is not None for o in telling]] = known
    return losses


def _kept(losses: Array, most: int, rng: np.random.Generator) -> list[int]:
    """All rows, or `most` of them: a third the best, a third the newest, the rest at random; in order."""
    rows = len(losses)
    if rows <= most:
        return list(range(rows))
    third = most // 3
    chosen = set(np.argsort(losses, kind="stable")[:third].tolist()) | set(range(rows - third, rows))
    others = [row for row in range(rows) if row not in chosen]
    chosen.update(rng.choice(others, most - len(chosen), replace=False).tolist())
    return sorted(chosen)


def _standard(losses: Array) -> Array:
    """Mean 0 and deviation 1, or all 0 when they do not differ."""
    spread = losses.std()
    centred: Array = losses - losses.mean()
    return centred / spread if spread > 1e-12 * max(1.0, float(np.abs(losses).max())) else centred * 0.0
