"""Extra-trees search: a forest of what was seen, and the point where it holds the lowest loss for possible.

It assumes no smoothness, and no meaning of a distance between two configurations. It grows on at most KEPT rows, so that a suggestion
costs the same whatever the study's length.
"""

from collections.abc import Sequence

from celeriac.domain.space import Space
from coordinator.samplers.led import Model, led_by
from coordinator.samplers.loading import load_ahead, loaded
from coordinator.samplers.seam import Observation, Point, Proposal

KEPT = 500
_TREES = "coordinator.samplers.trees"


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.seam`."""

    def grow(waiting: Sequence[Point]) -> Model | None:
        model: Model | None = loaded(_TREES).grown(space, observations, waiting, KEPT, seed)
        return model

    load_ahead(_TREES)
    return led_by(grow, space, observations, pending, count, seed)
