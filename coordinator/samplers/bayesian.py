"""Bayesian optimisation: a Gaussian process of the trials so far, and the point with the largest expected improvement.

The first INITIAL trials come from a Latin hypercube (fewer when priors are known). Later ones come from the model
(`coordinator.samplers.model`). A trial that failed by its own fault teaches where trials fail; a pruned one counts
with an estimate of its final score; cancelled and lost ones count nothing. When the model cannot be built, the
suggestion is random and says why.

This file loads no numerical library, so a study's first trials start at once; the model's libraries load while they
train.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from celeriac.domain.space import Space
from coordinator.samplers.api import Kind, Observation, Point, Proposal
from coordinator.samplers.lazy_import import load_ahead, loaded
from coordinator.samplers.model_based import INITIAL, Model, propose, scored_in

LEAST_DESIGNED = 2
LEAST_SCORED = 3
_MODEL = "coordinator.samplers.model"


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`."""
    built: list[Model] = []

    def build(waiting: Sequence[Point]) -> Model | None:
        if scored_in(observations) >= LEAST_SCORED:
            built.append(loaded(_MODEL).Improvement(space, observations, waiting, seed))
        return built[0] if built else None

    load_ahead(_MODEL)
    priors = sum(o.kind is Kind.PRIOR for o in observations)
    designed = max(INITIAL - priors, LEAST_DESIGNED)
    proposals = propose(build, space, observations, pending, count, seed, designed=designed)
    if built:
        _aside().submit(loaded(_MODEL).fit_ahead, space, tuple(observations), seed)
    return proposals


@cache
def _aside() -> ThreadPoolExecutor:
    """One thread a process for what a later suggestion will need."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="fit ahead")
