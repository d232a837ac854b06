"""The model behind the forest sampler: extremely randomised trees, whose leaves learn of pending trials without
growing anew.

Geurts, Ernst, Wehenkel, Machine Learning 63 (2006); the deviation is that of Hutter et al., "Algorithm runtime
prediction", arXiv:1211.0906, section 4.3.2, as scikit-optimize's regressor has it. A pending trial is believed to
score what the forest expects: in each tree it falls into its leaf and moves the leaf's mean there, so that trees agree
where a trial is under way already, and the search goes elsewhere. All is a pure function of the arguments.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from skopt.acquisition import gaussian_lcb
from skopt.learning import ExtraTreesRegressor

from celeriac.domain.provenance import By
from celeriac.domain.space import Space
from coordinator.samplers.api import Observation, Point, Proposal
from coordinator.samplers.encoding import Array, Box
from coordinator.samplers.targets import Targets, targets_of

TREES = 60
LEAST_IN_LEAF = 1
KAPPA = 1.0
GLOBAL_CANDIDATES = 1000
CENTRES, COPIES, SCALE = 5, 60, 0.2
REFINED, REFINED_COPIES, REFINEMENTS = 4, 30, 3
_LEAST_VARIANCE = 1e-6


class BelievingTrees(ExtraTreesRegressor):  # type: ignore[misc]
    """skopt's regressor with pending points; `predict` agrees with its own until one is believed (a test compares
    them).
    """

    def fit(self, x: Array, y: Array) -> "BelievingTrees":
        """Grow the trees, and lay their leaves open."""
        super().fit(x, y)
        trees = [each.tree_ for each in self.estimators_]
        shape = (len(trees), max(tree.node_count for tree in trees))
        self._mean, self._variance, self._rows = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for row, tree in enumerate(trees):
            self._mean[row, : tree.node_count] = tree.value[:, 0, 0]
            self._variance[row, : tree.node_count] = tree.impurity
            self._rows[row, : tree.node_count] = tree.weighted_n_node_samples
        return self

    def predict(self, x: Array, return_std: bool = False) -> Any:
        """Mean, and with `return_std` the deviation, at each row of `x`."""
        leaves = self._leaves(x)
        mean = np.take_along_axis(self._mean, leaves, axis=1)
        expected = mean.mean(axis=0)
        if not return_std:
            return expected
        variance = np.maximum(np.take_along_axis(self._variance, leaves, axis=1), _LEAST_VARIANCE)
        spread = (variance + mean**2).mean(axis=0) - expected**2
        return expected, np.sqrt(np.maximum(spread, 0.0))

    def believe(self, x: Array) -> None:
        """Count each row of `x`, one after the other, as a trial that scored what is expected of it."""
        trees = np.arange(len(self._mean))
        for leaf in self._leaves(x).T:
            mean, rows = self._mean[trees, leaf], self._rows[trees, leaf]
            square = self._variance[trees, leaf] + mean**2
            expected = mean.mean()
            moved = (rows * mean + expected) / (rows + 1)
            self._variance[trees, leaf] = (rows * square + expected**2) / (rows + 1) - moved**2
            self._mean[trees, leaf], self._rows[trees, leaf] = moved, rows + 1

    def _leaves(self, x: Array) -> Any:
        """In which leaf of each tree each row lies: shape (trees, rows)."""
        rows = np.ascontiguousarray(x, dtype=np.float32)
        return np.stack([each.tree_.apply(rows) for each in self.estimators_])


def grown(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], most: int, seed: int
) -> "Forest | None":
    """The forest of at most `most` observations, with the pending points believed; None when none has a score."""
    known = targets_of(observations, most, seed)
    return Forest(space, known, pending, seed) if known else None


class Forest:
    """The forest of one moment: built of what is known, with the pending points believed."""

    def __init__(self, space: Space, known: Targets, pending: Sequence[Point], seed: int) -> None:
        self._seed, self._known, self._box = seed, known, Box(space)
        places = self._box.units([point.unit for point in known.points])
        self._model = BelievingTrees(n_estimators=TREES, min_samples_leaf=LEAST_IN_LEAF, random_state=seed % 2**32).fit(
            self._box.encoded(places), known.losses
        )
        self._centres = places[np.argsort(known.losses, kind="stable")[:CENTRES]]
        if pending:
            self._model.believe(self._box.encoded(self._box.units([point.unit for point in pending])))

    def believe(self, point: Point) -> None:
        """Count one more pending point."""
        self._model.believe(self._box.encoded(self._box.units([point.unit])))

    def best(self, number: int, seen: set[str]) -> Proposal | None:
        """The candidate that promises most whose key is not in `seen`; None when all are."""
        found = self._box.most_promising(*self._searched(np.random.default_rng([self._seed, number])), seen)
        return None if found is None else Proposal(found[0], self._how(found[1]))

    def _how(self, place: Array) -> dict[str, Any]:
        mean, deviation = self._model.predict(self._box.encoded(place), return_std=True)
        return {"by": By.CONFIDENCE_BOUND, **self._known.expected(float(mean[0]), float(deviation[0]))}

    def _searched(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Candidates and what they promise: anywhere, around the best points, then around the best candidates."""
        anywhere = self._box.snapped(rng.random((GLOBAL_CANDIDATES, self._box.columns)))
        near = [self._box.around(self._centres, COPIES, SCALE, rng), self._varied(self._centres, COPIES, rng)]
        places = np.vstack([anywhere, *near])
        promises = self._promise(places)
        for _ in range(REFINEMENTS):
            top = places[np.argsort(-promises, kind="stable")[:REFINED]]
            closer = self._varied(top, REFINED_COPIES, rng)
            places, promises = np.vstack([places, closer]), np.concatenate([promises, self._promise(closer)])
        return places, promises

    def _varied(self, centres: Array, copies: int, rng: np.random.Generator) -> Array:
        """Variations of each centre in one or two columns."""
        base = np.repeat(centres, copies, axis=0)
        moved = np.zeros(base.shape, dtype=bool)
        for _ in range(2):
            moved[np.arange(len(base)), rng.integers(self._box.columns, size=len(base))] = True
        return self._box.snapped(np.where(moved, rng.random(base.shape), base))

    def _promise(self, places: Array) -> Array:
        """How low the loss may be, negated. Not the expected improvement: where all trees agree there is none, which
        is nearly everywhere.
        """
        promise: Array = -gaussian_lcb(self._box.encoded(places), self._model, kappa=KAPPA)
        return promise
