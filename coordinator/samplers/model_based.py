"""A search that a model leads: the first INITIAL trials from a Latin hypercube, the others from the model, and from
chance where it cannot.

What every such sampler has in common; what differs is the model. Whatever is not the model's says so with its reason,
so that the trial's `why` tells how it was found.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from celeriac.domain.provenance import By
from celeriac.domain.space import Space
from coordinator.samplers.api import Observation, Point, Proposal, at_random, next_number, proposed, seen_keys
from coordinator.samplers.design import latin_hypercube

INITIAL = 10


class Model(Protocol):
    """What a study looks like at one moment, with all pending trials counted in."""

    def best(self, number: int, seen: set[str]) -> Proposal | None:
        """What it proposes for the trial of this number, no key of `seen`; None when it has nothing else."""

    def believe(self, point: Point) -> None:
        """Count one more pending trial."""


Build = Callable[[Sequence[Point]], Model | None]


def scored_in(observations: Sequence[Observation]) -> int:
    """How many of them have a score."""
    return sum(each.loss is not None for each in observations)


def propose(
    build: Build,
    space: Space,
    observations: Sequence[Observation],
    pending: Sequence[Point],
    count: int,
    seed: int,
    *,
    designed: int = INITIAL,
    probes: Collection[int] = (),
) -> list[Proposal]:
    """See `coordinator.samplers.api`. `build` makes the model of the observations and the pending points that it is
    given.

    It is called at most once, when the first proposal needs a model; None from it means that too few trials are scored
    to learn from. A ValueError or an ArithmeticError, of it or of the model, gives way to chance. The first `designed`
    trials come from the design, and those of the numbers `probes`.
    """
    search = _Search(build, space, observations, list(pending), seed, {*range(designed), *probes})
    first = next_number(observations, pending)
    proposals: list[Proposal] = []
    for number in range(first, first + count):
        proposal = search.proposal(number)
        if proposal is None:
            break
        proposals.append(proposal)
        search.add(proposed(space, proposal.params, number))
    return proposals


class _Search:
    """One call's work: the model is built when the first proposal needs it and kept for the others."""

    def __init__(
        self,
        build: Build,
        space: Space,
        observations: Sequence[Observation],
        pending: list[Point],
        seed: int,
        designed: Collection[int],
    ) -> None:
        self._build, self._space, self._seed = build, space, seed
        self._observations, self._pending, self._designs = observations, pending, designed
        self._seen = seen_keys(observations, pending)
        self._model: Model | None = None
        self._believed = 0
        self._obstacle = ""

    def proposal(self, number: int) -> Proposal | None:
        """The proposal for one trial number; None when the space has no further point."""
        if number in self._designs:
            return self._designed(number)
        try:
            return self._modelled(number) or self._random(number, self._obstacle or "every candidate was tried already")
        except (ValueError, ArithmeticError) as error:  # numpy's LinAlgError is a ValueError
            self._obstacle = f"the model failed: {error}"
            return self._random(number, self._obstacle)

    def add(self, point: Point) -> None:
        """Count a proposal among the pending trials."""
        self._pending.append(point)
        self._seen.add(point.key)

    def _modelled(self, number: int) -> Proposal | None:
        if self._obstacle:
            return None
        if self._model is None:
            self._model = self._build(tuple(self._pending))
            self._believed = len(self._pending)
        if self._model is None:
            self._obstacle = _too_few(scored_in(self._observations))
            return None
        # Not before another proposal is wanted: it may cost a fit.
        for point in self._pending[self._believed :]:
            self._model.believe(point)
        self._believed = len(self._pending)
        return self._model.best(number, self._seen)

    def _designed(self, number: int) -> Proposal | None:
        params = self._space.from_unit(latin_hypercube(len(self._space.names), INITIAL, self._seed)[number])
        if self._space.key(params) in self._seen:
            return self._random(number, "the design's point was tried already")
        return Proposal(params, {"by": By.LATIN_HYPERCUBE})

    def _random(self, number: int, reason: str) -> Proposal | None:
        return at_random(self._space, self._seen, self._seed, number, reason)


def _too_few(scored: int) -> str:
    if scored == 0:
        return "no trial is scored"
    return f"only {scored} trials are scored" if scored > 1 else "only one trial is scored"
