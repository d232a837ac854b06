"""Replaces a duplicate suggestion by the nearest untried point."""

from typing import Any

import numpy as np

from celeriac.domain.space import Space
from coordinator.samplers.api import dice, unseen
from coordinator.samplers.encoding import Box

_SCALES = (0.02, 0.1, 0.3)
_COPIES = 32


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
