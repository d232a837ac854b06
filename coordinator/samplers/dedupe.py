"""Replaces a duplicate suggestion by the nearest untried point."""

from typing import Any

import numpy as np

from celeriac.domain.space import Space
from coordinator.samplers.api import Proposal, dice, unseen
from coordinator.samplers.encoding import Box

_SCALES = (0.02, 0.1, 0.3)
_COPIES = 32


def untried(space: Space, proposal: Proposal, seen: set[str], seed: int, number: int, whose: str) -> Proposal | None:
    """The proposal of `whose` library, or in place of one in `seen` the nearest that is not, else any; None: the space
    has none left.
    """
    if space.key(proposal.params) not in seen:
        return proposal
    found = untried_near(space, proposal.params, seen, seed, number)
    if found is None:
        return None
    params, instead = found
    return Proposal(params, {**proposal.how, "reason": f"{whose} repeated a point; this is {instead}"})


def untried_near(
    space: Space, params: dict[str, Any], seen: set[str], seed: int, number: int
) -> tuple[dict[str, Any], str] | None:
    """An untried configuration near this one, or else any, and which of the two; None when the space has none left."""
    size = space.cardinality()
    if size is not None and len(seen) >= size:
        return None
    box, rng = Box(space), np.random.default_rng([seed, number, 1])
    place = box.units([tuple(space.to_unit(params))])
    for scale in _SCALES:
        for variation in box.around(place, _COPIES, scale, rng):
            found = box.params(variation)
            if space.key(found) not in seen:
                return found, "the nearest untried point"
    rest = unseen(space, seen, dice(seed, number, "random"))
    return None if rest is None else (rest, "random")
