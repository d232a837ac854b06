"""`botorch`: BoTorch's Gaussian process and batch acquisition, the best per evaluation and a hundred times the
processor time.

SingleTaskGP, its hyperparameters fitted at each question, on at most KEPT rows; qLogEI (Ament et al., NeurIPS 2023)
with the pending trials in its joint expectation. A choice of two is one column, of more one column an option, any two
at distance 1; an inactive parameter lies in the middle of its range. The acquisition is looked for among snapped
candidates, anywhere and around the best points, and from the best of these along the continuous parameters by L-BFGS.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.generation.gen import gen_candidates_scipy
from botorch.models import SingleTaskGP
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from celeriac.domain.provenance import By
from celeriac.domain.space import INACTIVE, Choice, Float, Space
from coordinator.samplers.api import Observation, Point, Proposal, dice
from coordinator.samplers.encoding import Array, Box, Mask
from coordinator.samplers.model_based import Model, propose
from coordinator.samplers.targets import Targets, targets_of

KEPT = 300
GLOBAL_CANDIDATES = 512
CENTRES, COPIES, SCALES = 5, 40, (0.2, 0.04)
STARTS, STEPS = 4, 50
SAMPLES = 128


def suggest(
    option: str, space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`; there are no options."""
    torch.set_num_threads(1)  # the same sums in the same order on every host

    def build(waiting: Sequence[Point]) -> Model | None:
        known = targets_of(observations, KEPT, seed)
        return _Fitted(space, known, waiting, seed) if known else None

    return propose(build, space, observations, pending, count, seed)


class _Features:
    """What the model sees of snapped places, and which of its columns can be moved freely."""

    def __init__(self, space: Space) -> None:
        self._parameters = [space.parameters[name] for name in space.names]
        widths = [self._width(parameter) for parameter in self._parameters]
        starts = np.cumsum([0, *widths[:-1]])
        #: (column of a place, column of the features) of each continuous parameter.
        self.continuous = [
            (column, int(start))
            for column, (parameter, start) in enumerate(zip(self._parameters, starts, strict=True))
            if isinstance(parameter, Float) and parameter.count is None
        ]
        self.columns = sum(widths)

    def __call__(self, places: Array) -> Tensor:
        blocks = [self._block(parameter, places[:, column]) for column, parameter in enumerate(self._parameters)]
        return torch.from_numpy(np.ascontiguousarray(np.hstack(blocks)))

    @staticmethod
    def _width(parameter: object) -> int:
        if not isinstance(parameter, Choice):
            return 1
        return 0 if parameter.count == 1 else 1 if parameter.count == 2 else parameter.count

    def _block(self, parameter: object, place: Array) -> Array:
        width = self._width(parameter)
        if not isinstance(parameter, Choice):
            return place[:, None]
        cell = np.minimum(np.floor(place * parameter.count), parameter.count - 1)
        if width < 2:
            return np.where(place == INACTIVE, INACTIVE, cell)[:, None][:, :width]
        block: Array = (cell[:, None] == np.arange(width)) * np.sqrt(0.5)
        return block


class _Fitted:
    """The process fitted to all rows, and the points that are pending."""

    def __init__(self, space: Space, known: Targets, pending: Sequence[Point], seed: int) -> None:
        self._seed, self._known = seed, known
        self._box, self._features = Box(space), _Features(space)
        if not self._features.columns:
            raise ValueError("there is nothing to vary")
        places = self._box.units([point.unit for point in known.points])
        self._centres = places[np.argsort(known.losses, kind="stable")[:CENTRES]]
        self._gains = torch.from_numpy(-known.losses)[:, None]
        self._pending = self._box.units([point.unit for point in pending])
        torch.manual_seed(dice(seed, len(known.points), "botorch").randrange(2**63))
        try:
            self._model = SingleTaskGP(self._features(places), self._gains)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(self._model.likelihood, self._model))
        except RuntimeError as error:  # what torch and its kin say of numbers that allow no model
            raise ArithmeticError(str(error)) from error

    def believe(self, point: Point) -> None:
        """See `coordinator.samplers.model_based`."""
        self._pending = np.vstack([self._pending, self._box.units([point.unit])])

    def best(self, number: int, seen: set[str]) -> Proposal | None:
        """See `coordinator.samplers.model_based`."""
        rng = np.random.default_rng([self._seed, number])
        try:
            candidates = self._searched(rng, dice(self._seed, number, "botorch").randrange(2**31))
        except RuntimeError as error:
            raise ArithmeticError(str(error)) from error
        found = self._box.most_promising(*candidates, seen)
        return None if found is None else Proposal(found[0], {"by": By.BOTORCH, **self._expected(found[1])})

    def _expected(self, place: Array) -> Mapping[str, Any]:
        with torch.no_grad():
            found = self._model.posterior(self._features(place))
            return self._known.expected(-float(found.mean), float(found.variance) ** 0.5)

    def _searched(self, rng: np.random.Generator, seed: int) -> tuple[Array, Array]:
        """Candidates and the logarithm of their expected improvement."""
        acquisition = self._acquisition(seed)
        anywhere = self._box.snapped(rng.random((GLOBAL_CANDIDATES, self._box.columns)))
        near = [self._box.around(self._centres, COPIES, scale, rng) for scale in SCALES]
        places = np.vstack([anywhere, *near])
        gains = self._gain(acquisition, places)
        refined = self._refined(acquisition, places[np.argsort(-gains, kind="stable")[:STARTS]])
        return np.vstack([places, refined]), np.concatenate([gains, self._gain(acquisition, refined)])

    def _acquisition(self, seed: int) -> qLogExpectedImprovement:
        return qLogExpectedImprovement(
            self._model,
            best_f=self._gains.max(),
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=seed),
            X_pending=self._features(self._pending) if len(self._pending) else None,
        )

    def _gain(self, acquisition: qLogExpectedImprovement, places: Array) -> Array:
        with torch.no_grad():
            gain: Array = acquisition(self._features(places)[:, None, :]).numpy()
        return gain

    def _refined(self, acquisition: qLogExpectedImprovement, places: Array) -> Array:
        """Each place moved uphill along its continuous and active parameters; the others stay."""
        start = self._features(places)
        low, high = start.clone(), start.clone()
        for column, feature in self._features.continuous:
            free = torch.from_numpy(self._is_active(places, column))
            low[free, feature], high[free, feature] = 0.0, 1.0
        found = torch.stack([self._climbed(acquisition, *each) for each in zip(start, low, high, strict=True)])
        moved = places.copy()
        for column, feature in self._features.continuous:
            moved[:, column] = found[:, feature].numpy()
        return self._box.snapped(moved)

    @staticmethod
    def _climbed(acquisition: qLogExpectedImprovement, start: Tensor, low: Tensor, high: Tensor) -> Tensor:
        found, _ = gen_candidates_scipy(
            start[None, None, :], acquisition, lower_bounds=low, upper_bounds=high, options={"maxiter": STEPS}
        )
        climbed: Tensor = found[0, 0]
        return climbed

    def _is_active(self, places: Array, column: int) -> Mask:
        """In which places a parameter counts: where moving it is more than moving it back."""
        moved = places.copy()
        moved[:, column] = 0.25
        active: Mask = self._box.snapped(moved)[:, column] != INACTIVE
        return active
