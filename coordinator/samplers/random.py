"""Random search: each proposal uniform in the unit box (so log-uniform where the space says log), none twice."""

from collections.abc import Sequence

from celeriac.domain.space import Space
from coordinator.samplers.api import Observation, Point, Proposal, at_random, one_by_one


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`."""
    return one_by_one(lambda number, seen: at_random(space, seen, seed, number), space, observations, pending, count)
