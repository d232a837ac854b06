"""The methods of the comparison behind one small interface: `ask(ended, running) -> params`, one object for each
study.

`ours` is the sampler of the service, called through its seam just as the coordinator calls it; `ours:NAME` is any
other of them; `random` is uniform and knows nothing. The peers stand in `benchmarks.search.peers` and need their own
environment.
"""

import ast
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.search.clock import Ask, Ended, Trial
from celeriac.domain.space import Space
from coordinator.samplers import sampler_for
from coordinator.samplers.api import Kind, Observation, Point, proposed

Make = Callable[[Space, int], Ask]

#: Peers by name, with the package whose version they go by.
PEERS = {"tpe": "optuna", "gp": "optuna", "skopt": "scikit-optimize", "botorch": "botorch"}
NAMES = ("ours", *PEERS, "random")


def method(name: str, space: Space, seed: int) -> Ask:
    """A fresh method for one study. Raises ValueError naming the known ones."""
    if name == "random":
        return _random(space, seed)
    if name == "ours" or name.startswith("ours:"):
        return _ours(sampler_name(name), space, seed)
    if name not in PEERS:
        raise ValueError(f"no method is called {name!r} (known: {', '.join(NAMES)}, ours:SAMPLER)")
    from benchmarks.search import peers

    return peers.MAKERS[name](space, seed)


@cache
def version_of(name: str) -> str:
    """What tells two versions of a method apart: a peer's package, or the code of our samplers and the space."""
    if name in PEERS:
        return f"{PEERS[name]} {version(PEERS[name])}"
    return "1" if name == "random" else _code()


def installed() -> dict[str, str]:
    """The versions of the packages that decide what a suggestion is; those that are there."""
    found = {}
    for package in ("numpy", "scipy", "scikit-learn", "scikit-optimize", "torch", "optuna", "botorch"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _code() -> str:
    """A hash of what the code says; comments and layout do not count."""
    root = Path(__file__).parents[2]
    rooms = (root / "coordinator" / "samplers", root / "celeriac" / "space")
    files = [path for room in rooms for path in sorted(room.rglob("*.py"))]
    texts = [f"{path.name} {ast.dump(ast.parse(path.read_text()))}" for path in files]
    return sha256("\n".join(texts).encode()).hexdigest()[:12]


def sampler_name(name: str) -> str:
    """The name of our sampler in a study file, of `ours` or `ours:NAME`."""
    return "bayesian" if name == "ours" else name.removeprefix("ours:")


def _random(space: Space, seed: int) -> Ask:
    rng = Random(f"random/{seed}")
    return lambda ended, running: space.sample(rng)


def _ours(sampler: str, space: Space, seed: int) -> Ask:
    suggest = sampler_for(sampler)
    observations: list[Observation] = []
    points: dict[int, Point] = {}

    def point(trial: Trial) -> Point:
        if trial.number not in points:
            points[trial.number] = proposed(space, trial.params, trial.number)
        return points[trial.number]

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        for end in ended[len(observations) :]:
            observations.append(_observed(point(end.trial), end))
        pending = [point(trial) for trial in running]
        proposals = suggest(space, tuple(observations), pending, 1, seed)
        if not proposals:
            raise RuntimeError(f"the {sampler} sampler has no further point after {len(ended)} trials")
        return proposals[0].params

    return ask


def _observed(point: Point, end: Ended) -> Observation:
    if end.fault is None:
        return Observation(point, Kind.FINISHED, end.loss)
    return Observation(point, Kind.INFEASIBLE, fault=end.fault)
