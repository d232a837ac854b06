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

from celeriac.domain.records import Source
from celeriac.domain.space import Space
from coordinator.samplers.api import Kind, Observation, Point, Proposal, next_number, proposed
from coordinator.samplers.earlier import EarlierStudy
from coordinator.samplers.lazy_import import load_ahead, loaded
from coordinator.samplers.model_based import INITIAL, Model, propose, scored_in

LEAST_DESIGNED = 2
LEAST_SCORED = 3
#: From this trial on, every second one is searched by tonight's trials alone: where the optimum has moved, a past that
#: is right about all the rest of the space keeps a search at the old one.
ALONE_FROM = 10
_MODEL, _CHAINED = "coordinator.samplers.model", "coordinator.samplers.chained"


def suggest(
    space: Space,
    observations: Sequence[Observation],
    pending: Sequence[Point],
    count: int,
    seed: int,
    earlier: tuple[EarlierStudy, ...] = (),
) -> list[Proposal]:
    """See `coordinator.samplers.api`. `earlier`: what earlier nights and sister slices found; without them, nothing
    here looks at the past.
    """
    load_ahead(_CHAINED if earlier else _MODEL)
    if earlier and count > 1:
        return _one_after_another(space, observations, pending, count, seed, earlier)
    if earlier and not _is_alone(next_number(observations, pending)):
        chained = _chained(space, observations, pending, seed, earlier)
        if chained is not None:
            probes = _probe(observations, pending)
            return propose(lambda _: chained, space, observations, pending, count, seed, designed=0, probes=probes)
    built: list[Model] = []

    def build(waiting: Sequence[Point]) -> Model | None:
        if scored_in(observations) >= LEAST_SCORED:
            made = loaded(_CHAINED).Spread if earlier else loaded(_MODEL).Improvement
            built.append(made(space, observations, waiting, seed))
        return built[0] if built else None

    priors = sum(o.kind is Kind.PRIOR for o in observations)
    designed = max(INITIAL - priors, LEAST_DESIGNED)
    proposals = propose(build, space, observations, pending, count, seed, designed=designed)
    if built and not earlier:  # with a past, the next suggestion may be the other model's
        _aside().submit(loaded(_MODEL).fit_ahead, space, tuple(observations), seed)
    return proposals


def _one_after_another(
    space: Space,
    observations: Sequence[Observation],
    pending: Sequence[Point],
    count: int,
    seed: int,
    earlier: tuple[EarlierStudy, ...],
) -> list[Proposal]:
    """In a night that has a past, trials of one call may come from two models."""
    waiting, found = list(pending), list[Proposal]()
    for _ in range(count):
        proposals = suggest(space, observations, waiting, 1, seed, earlier)
        if not proposals:
            break
        waiting.append(proposed(space, proposals[0].params, next_number(observations, waiting)))
        found += proposals
    return found


def _is_alone(number: int) -> bool:
    return number >= ALONE_FROM and (number - ALONE_FROM) % 2 == 0


def _probe(observations: Sequence[Observation], pending: Sequence[Point]) -> tuple[int, ...]:
    """With earlier nights, the night's first suggestion comes from the design all the same: only a point that the past
    did not choose can show that it misleads. It is made as early as that, so that such a night loses little.
    """
    points = [*(o.point for o in observations if o.kind is not Kind.PRIOR), *pending]
    begun = any(point.source is Source.SUGGESTED for point in points)
    return () if begun or len(points) >= INITIAL else (len(points),)


def _chained(
    space: Space,
    observations: Sequence[Observation],
    pending: Sequence[Point],
    seed: int,
    earlier: tuple[EarlierStudy, ...],
) -> Model | None:
    """The model that knows the earlier nights; None while they are not to be used."""
    try:
        model = loaded(_CHAINED).Chained(space, observations, earlier, pending, seed)
    except (ValueError, ArithmeticError):
        return None
    return model if model.weight > 0.0 else None


def settle() -> None:
    """Wait until nothing is fitted ahead any more: for measurements."""
    _aside().submit(int).result()


@cache
def _aside() -> ThreadPoolExecutor:
    """One thread a process for what a later suggestion will need."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="fit ahead")
