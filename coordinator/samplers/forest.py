"""Extra-trees search: a forest of the trials so far, and the point with the lowest confidence bound of the loss.

It assumes no smoothness and no meaning of distance between two configurations. It grows on at most KEPT rows, so a
suggestion costs the same however long the study is.
"""

from collections.abc import Sequence

from celeriac.domain.space import Space
from coordinator.samplers.api import Observation, Point, Proposal
from coordinator.samplers.lazy_import import load_ahead, loaded
from coordinator.samplers.model_based import Model, propose

KEPT = 500
_TREES = "coordinator.samplers.trees"


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`."""

    def grow(waiting: Sequence[Point]) -> Model | None:
        model: Model | None = loaded(_TREES).grown(space, observations, waiting, KEPT, seed)
        return model

    load_ahead(_TREES)
    return propose(grow, space, observations, pending, count, seed)
