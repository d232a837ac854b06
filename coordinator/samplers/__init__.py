"""Samplers: one file per way of proposing, behind one seam (`coordinator.samplers.api`).

A sampler is a pure function of (space, observations, pending, count, seed): the same rows give the same suggestions,
for ever and on any host of one kind. What it keeps between calls is a cache that may vanish at any moment.
"""

from collections.abc import Sequence
from importlib import import_module

from celeriac.domain.errors import SamplerFailed
from celeriac.domain.sampler_names import AUTO, missing, name_flaw
from celeriac.domain.space import Space
from coordinator.samplers import bayesian
from coordinator.samplers.adapter_process import adapted
from coordinator.samplers.api import Observation, Point, Proposal, Sampler
from coordinator.samplers.earlier import EarlierStudy

#: Ours, which run in this process.
_HOME = {
    "random": "coordinator.samplers.random",
    "sobol": "coordinator.samplers.sobol",
    "grid": "coordinator.samplers.grid",
    "bayesian": "coordinator.samplers.bayesian",
    "forest": "coordinator.samplers.forest",
}


def sampler_for(name: str) -> Sampler:
    """The sampler of a study file's `sampler: name`; its libraries are loaded when first used.

    Raises SamplerFailed for a name that is none, and for one whose library is not installed here.
    """
    flaw = "cannot be auto, which is decided before" if name == AUTO else name_flaw(name)
    if flaw:
        raise SamplerFailed(f"the sampler {flaw}")
    lacking = missing(name)
    if lacking:
        raise SamplerFailed(lacking)
    if name not in _HOME:
        return adapted(name)
    suggest: Sampler = import_module(_HOME[name]).suggest
    return suggest


def is_ours(name: str) -> bool:
    """Whether the sampler of that name is one of ours, and not another library's."""
    return name in _HOME


def learns_from_earlier(name: str) -> bool:
    """Whether the sampler of that name knows what to do with earlier nights."""
    return name == "bayesian"


def ask(
    name: str,
    space: Space,
    observations: Sequence[Observation],
    pending: Sequence[Point],
    count: int,
    seed: int,
    earlier: tuple[EarlierStudy, ...] = (),
) -> list[Proposal]:
    """What the sampler of that name proposes; `earlier` is for one that learns from it. Raises SamplerFailed."""
    if earlier and learns_from_earlier(name):
        return bayesian.suggest(space, observations, pending, count, seed, earlier)
    return sampler_for(name)(space, observations, pending, count, seed)
