"""Quasi-random search: a scrambled Sobol sequence, which fills the unit box more evenly than chance does.

Trial number n takes the sequence's point n or, where that lies on a configuration that was had, the next one that does
not; so a continuous space gets exactly the sequence, and a study that goes on goes on in it. Owen, J. Complexity 14
(1998); scipy's implementation, scrambled by the study's seed.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc

from celeriac.domain.provenance import By
from celeriac.domain.space import Space
from coordinator.samplers.api import Observation, Point, Proposal, at_random, one_by_one

_SKIPS = 256
_USED_UP = f"the next {_SKIPS} points of the sequence were tried already"


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`."""

    def suggested(number: int, seen: set[str]) -> Proposal | None:
        return _next(space, seen, number, seed) or at_random(space, seen, seed, number, _USED_UP)

    return one_by_one(suggested, space, observations, pending, count)


def _next(space: Space, seen: set[str], number: int, seed: int) -> Proposal | None:
    """The sequence's first new configuration from place `number` on; None when there is none nearby."""
    sequence = qmc.Sobol(len(space.names), scramble=True, rng=np.random.default_rng([seed]))
    if number:  # scipy refuses to go forward by nothing
        sequence.fast_forward(number)
    for place in range(number, number + _SKIPS):
        params = space.from_unit(sequence.random(1)[0].tolist())
        if space.key(params) not in seen:
            return Proposal(params, {"by": By.SOBOL, "place": place})
    return None
