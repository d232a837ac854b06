"""Samplers: one file per way of proposing, behind one seam (`coordinator.samplers.seam`).

A sampler is a pure function of (space, observations, pending, count, seed): the same rows give the same suggestions, for
ever and on any host of one kind. What it keeps between calls is a cache that may vanish at any moment.
"""

from importlib import import_module

from celeriac.errors import SamplerFailed
from coordinator.samplers.seam import Sampler

_HOME = {
    "random": "coordinator.samplers.random",
    "grid": "coordinator.samplers.grid",
    "bayesian": "coordinator.samplers.bayesian",
}


def sampler_for(name: str) -> Sampler:
    """The sampler of a study file's `sampler: name`; its libraries are loaded when first used. Raises SamplerFailed."""
    if name not in _HOME:
        raise SamplerFailed(f"no sampler is called {name!r} here (known: {', '.join(_HOME)})")
    suggest: Sampler = import_module(_HOME[name]).suggest
    return suggest
