"""Random search: each proposal uniform in the unit box (so log-uniform where the space says log), none twice."""

from collections.abc import Sequence

from celeriac.domain.provenance import By
from celeriac.domain.space import Space
from coordinator.samplers.api import Observation, Point, Proposal, dice, next_number, seen_keys, unseen


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`."""
    seen = seen_keys(observations, pending)
    proposals: list[Proposal] = []
    for number in range(next_number(observations, pending), next_number(observations, pending) + count):
        params = unseen(space, seen, dice(seed, number, "random"))
        if params is None:
            break
        seen.add(space.key(params))
        proposals.append(Proposal(params, {"by": By.RANDOM}))
    return proposals
