"""Bayesian optimisation: a Gaussian process of what was seen, and the point where it expects the largest improvement.

The first INITIAL trials come from a Latin hypercube (fewer where priors are known); after that each comes from the model
(`coordinator.samplers.model`). What failed by its own fault teaches where trials fail, what was pruned counts with what it would have
come to; cancelled trials, and those lost to the infrastructure, count nothing. When the model cannot be built, the suggestion is
random and says why.

This file loads no numerical library, so that a study's first trials start at once; the model's libraries are loaded while they train.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING

from celeriac.space import Space
from coordinator.samplers.design import latin_hypercube
from coordinator.samplers.seam import (
    Kind,
    Observation,
    Point,
    Proposal,
    dice,
    next_number,
    proposed,
    seen_keys,
    unseen,
)

if TYPE_CHECKING:
    from coordinator.samplers.model import Improvement

INITIAL = 10
LEAST_DESIGNED = 2
LEAST_SCORED = 3


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.seam`."""
    _load_ahead()
    search = _Search(space, observations, list(pending), seed)
    first = next_number(observations, pending)
    proposals: list[Proposal] = []
    for number in range(first, first + count):
        proposal = search.proposal(number)
        if proposal is None:
            break
        proposals.append(proposal)
        search.add(proposed(space, proposal.params, number))
    if search.has_model:
        _aside().submit(_model().fit_ahead, space, tuple(observations), seed)
    return proposals


class _Search:
    """One call's work: the model is built when the first proposal needs it and kept for the others."""

    def __init__(
        self, space: Space, observations: Sequence[Observation], pending: list[Point], seed: int
    ) -> None:
        self._space, self._seed, self._pending = space, seed, pending
        self._seen = seen_keys(observations, pending)
        self._observations = observations
        self._scored = sum(o.loss is not None for o in observations)
        priors = sum(o.kind is Kind.PRIOR for o in observations)
        self._designed_until = max(INITIAL - priors, LEAST_DESIGNED)
        self._model: Improvement | None = None

    @property
    def has_model(self) -> bool:
        """Whether a proposal came from the model."""
        return self._model is not None

    def add(self, point: Point) -> None:
        """Count a proposal among the pending trials."""
        self._pending.append(point)
        self._seen.add(point.key)
        if self._model is not None:
            self._model.believe(point)

    def proposal(self, number: int) -> Proposal | None:
        """The proposal for one trial number; None when the space has no further point."""
        if number < self._designed_until:
            return self._designed(number)
        if self._scored < LEAST_SCORED:
            return self._random(number, f"only {self._scored} trials are scored")
        try:
            return self._improving(number) or self._random(number, "every candidate was tried already")
        except (ValueError, ArithmeticError) as error:  # numpy's LinAlgError is a ValueError
            self._model = None
            return self._random(number, f"the model failed: {error}")

    def _designed(self, number: int) -> Proposal | None:
        params = self._space.from_unit(latin_hypercube(len(self._space.names), INITIAL, self._seed)[number])
        if self._space.key(params) in self._seen:
            return self._random(number, "the design's point was tried already")
        return Proposal(params, {"by": "latin hypercube"})

    def _random(self, number: int, reason: str) -> Proposal | None:
        params = unseen(self._space, self._seen, dice(self._seed, number, "random"))
        return None if params is None else Proposal(params, {"by": "random", "reason": reason})

    def _improving(self, number: int) -> Proposal | None:
        """The unseen candidate with the largest expected improvement, if there is an unseen one."""
        if self._model is None:
            self._model = _model().Improvement(self._space, self._observations, self._pending, self._seed)
        return self._model.best(number, self._seen)


@cache
def _aside() -> ThreadPoolExecutor:
    """One thread a process for what a later suggestion will need."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="fit ahead")


@cache
def _load_ahead() -> None:
    """Load the model's libraries in the background, once a process: it takes a second or two."""
    Thread(target=_model, name="load the model", daemon=True).start()


@cache
def _model() -> ModuleType:
    """`coordinator.samplers.model`, loaded when it is needed."""
    return import_module("coordinator.samplers.model")
