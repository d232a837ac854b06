"""Bayesian optimisation: a Gaussian process of what was seen, and the point where it expects the largest improvement.

The first INITIAL trials come from a Latin hypercube. After that, for each suggestion: the model is built on at most KEPT
observations with hyperparameters fitted on at most FITTED of them, only when a tenth more are there; pending trials are
believed to score as expected; the winner is the best of some 1,500 candidates, spread over the space and close around the
best points, that no trial has had. A trial that failed by its own fault counts as bad as the worst score that is
not an outlier; cancelled trials, and those lost to the infrastructure, count nothing. When the model cannot be built, the
suggestion is random and says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError
from skopt.acquisition import gaussian_ei, gaussian_lcb
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from celeriac.space import Space
from coordinator.samplers.box import Array, Box
from coordinator.samplers.design import latin_hypercube
from coordinator.samplers.gp import BelievingGP, believing, fitted
from coordinator.samplers.seam import (
    Observation,
    Point,
    Proposal,
    dice,
    next_number,
    proposed,
    seen_keys,
    unseen,
)

INITIAL = 10
LEAST_SCORED = 3
FITTED = 150
KEPT = 300
GLOBAL_CANDIDATES = 1000
REFINEMENTS = (0.05, 0.015)


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.seam`."""
    first = next_number(observations, pending)
    seen = seen_keys(observations, pending)
    search = _Search(space, observations, list(pending), seen, seed)
    proposals: list[Proposal] = []
    with _threads().limit(limits=1, user_api="blas"):  # the same sums in the same order, whatever the host
        for number in range(first, first + count):
            proposal = search.proposal(number)
            if proposal is None:
                break
            proposals.append(proposal)
            search.add(proposed(space, proposal.params, number))
    return proposals


@cache
def _threads() -> ThreadpoolController:
    """Looking for the loaded BLAS libraries takes milliseconds: once a process is enough."""
    return ThreadpoolController()


@dataclass(slots=True)
class _Data:
    """What the model learns from: rows in the order of their ends."""

    places: Array
    losses: Array


class _Search:
    """One call's work: the model is built when the first proposal needs it and kept for the others."""

    def __init__(
        self,
        space: Space,
        observations: Sequence[Observation],
        pending: list[Point],
        seen: set[str],
        seed: int,
    ) -> None:
        self._space, self._seed = space, seed
        self._pending, self._seen = pending, seen
        self._telling = [o for o in observations if o.loss is not None or o.infeasible]
        self._scored = sum(o.loss is not None for o in observations)
        self._box = Box(space)
        self._model: BelievingGP | None = None
        self._how: dict[str, Any] = {}
        self._best = 0.0
        self._centres: Array = np.zeros((0, self._box.columns))

    def add(self, point: Point) -> None:
        """Count a proposal among the pending trials."""
        self._pending.append(point)
        self._seen.add(point.key)
        if self._model is not None:
            self._model.believe(self._box.encoded(self._box.units([point.unit])))

    def proposal(self, number: int) -> Proposal | None:
        """The proposal for one trial number; None when the space has no further point."""
        if number < INITIAL:
            params = self._space.from_unit(latin_hypercube(self._box.columns, INITIAL, self._seed)[number])
            if self._space.key(params) not in self._seen:
                return Proposal(params, {"by": "latin hypercube"})
            return self._random(number, "the design's point was tried already")
        if self._scored < LEAST_SCORED:
            return self._random(number, f"only {self._scored} trials are scored")
        try:
            return self._improving(number)
        except (LinAlgError, ValueError, FloatingPointError) as error:
            self._model = None
            return self._random(number, f"the model failed: {error}")

    def _random(self, number: int, reason: str) -> Proposal | None:
        params = unseen(self._space, self._seen, dice(self._seed, number, "random"))
        return None if params is None else Proposal(params, {"by": "random", "reason": reason})

    def _improving(self, number: int) -> Proposal | None:
        """The unseen candidate with the largest expected improvement."""
        model = self._model or self._built()
        self._model = model
        rng = np.random.default_rng([self._seed, number])
        places = self._candidates(rng)
        gains = self._gain(model, places)
        for scale in REFINEMENTS:
            top = places[np.argsort(-gains, kind="stable")[:4]]
            near = self._box.around(top, 30, scale, rng)
            places, gains = np.vstack([places, near]), np.concatenate([gains, self._gain(model, near)])
        for row in np.argsort(-gains, kind="stable"):
            params = self._box.params(places[row])
            if self._space.key(params) not in self._seen:
                return Proposal(params, {**self._how, "gain": float(gains[row])})
        return self._random(number, "every candidate was tried already")

    def _candidates(self, rng: np.random.Generator) -> Array:
        anywhere = self._box.snapped(rng.random((GLOBAL_CANDIDATES, self._box.columns)))
        near = [self._box.around(self._centres, 60, scale, rng) for scale in (0.2, 0.04)]
        return np.vstack([anywhere, *near])

    def _gain(self, model: BelievingGP, places: Array) -> Array:
        """Expected improvement; where it is too small for a double everywhere, the (negative) lower confidence bound orders."""
        encoded = self._box.encoded(places)
        gains: Array = gaussian_ei(encoded, model, y_opt=self._best, xi=0.0)
        if gains.max() > 0.0:
            return gains
        bounds: Array = gaussian_lcb(encoded, model)
        ordered: Array = -1e-9 * (1.0 + bounds - bounds.min())
        return ordered

    def _built(self) -> BelievingGP:
        """The model on the kept observations, all pending points believed."""
        rung = _refit_at(len(self._telling))
        rng = np.random.default_rng([self._seed, rung])
        past = self._data(self._telling[:rung], FITTED, rng)
        theta = fitted(self._box.encoded(past.places), past.losses)
        data = self._data(self._telling, KEPT, rng)
        encoded = self._box.encoded(data.places)
        model = believing(theta, encoded, data.losses)
        if self._pending:
            model.believe(self._box.encoded(self._box.units([p.unit for p in self._pending])))
        self._best = float(data.losses.min())
        self._centres = data.places[np.argsort(data.losses, kind="stable")[:5]]
        self._how = {"by": "expected improvement", "fitted_on": rung, "kept": len(data.losses)}
        return model

    def _data(self, telling: Sequence[Observation], most: int, rng: np.random.Generator) -> _Data:
        losses = _losses(telling)
        rows = _kept(losses, most, rng)
        return _Data(self._box.units([telling[row].point.unit for row in rows]), _standard(losses[rows]))


def _refit_at(observations: int) -> int:
    """On how many of the first observations the hyperparameters are fitted: a tenth more each time, so the fits stay few."""
    rung = min(observations, INITIAL)
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
