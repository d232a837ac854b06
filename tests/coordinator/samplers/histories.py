"""150 histories of studies, made from their number alone: what a sampler may be told, in all its kinds.

What the samplers suggested on them is kept in `golden/suggestions.json`. Nothing here may change, or the file says
nothing any more.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from celeriac.domain.records import Fault
from celeriac.domain.space import Choice, Float, Int, Space
from coordinator.samplers.api import Kind, Observation, Point, proposed

SPACES = (
    Space({"x": Float(-5, 10), "y": Float(1e-6, 1e3, log=True)}),
    Space({f"x{column}": Float(0, 1) for column in range(6)}),
    Space(
        {
            "lr": Float(1e-4, 1e-1, log=True),
            "width": Int(16, 256, log=True),
            "optimizer": Choice(("sgd", "adam", "rms")),
            "momentum": Float(0.5, 0.99, when={"optimizer": "sgd"}),
            "layers": Int(1, 5),
        }
    ),
    Space(
        {
            "kind": Choice(("a", "b", 1, True, None)),
            "depth": Int(1, 3, when={"kind": "a"}),
            "rate": Float(1e-3, 1.0, log=True, when={"kind": [1, True]}),
            "step": Float(0.0, 1.0, step=0.25, when={"depth": 2}),
            "one": Choice(("only",)),
        }
    ),
    Space({"n": Int(1, 4), "m": Int(8, 24, log=True), "s": Float(0.1, 0.5, step=0.2)}),
    Space({"n": Int(1, 3), "kind": Choice(("a", "b")), "depth": Int(1, 2, when={"kind": "a"})}),
)

SAMPLERS = (
    *["bayesian"] * 48,
    *["forest"] * 36,
    *["sobol"] * 18,
    *["random"] * 18,
    *["grid"] * 12,
    *["optuna:TPESampler"] * 8,
    *["optuna:CmaEsSampler"] * 4,
    *["optuna:NSGAIISampler"] * 2,
    *["skopt"] * 4,
)

_SIZES = (0, 4, 11, 17, 26, 40)
_KINDS = (*[Kind.FINISHED] * 6, Kind.PRUNED, Kind.PRUNED, Kind.INFEASIBLE, Kind.VOID)
_FAULTS = (Fault.OUT_OF_MEMORY, Fault.NOT_FINITE, Fault.TIMEOUT, Fault.USER_BUG)


@dataclass(frozen=True, slots=True)
class Past:
    """All that a sampler is called with."""

    sampler: str
    space: Space
    observations: list[Observation]
    pending: list[Point]
    count: int
    seed: int


def histories() -> Iterator[Past]:
    """All of them, in order."""
    for number, sampler in enumerate(SAMPLERS):
        rng = random.Random(number)
        space = SPACES[number % len(SPACES)]
        points: dict[str, Point] = {}
        for _ in range(_SIZES[number // len(SPACES) % len(_SIZES)] + rng.randrange(4)):
            point = proposed(space, space.sample(rng), len(points))
            points.setdefault(point.key, point)
        known = list(points.values())
        rng.shuffle(known)  # in the order in which they ended
        running = rng.randrange(min(len(known), 5) + 1)
        ends = [_ended(rng, point) for point in known[running:]]
        if number % 7 == 3:
            ends = [Observation(o.point, Kind.PRIOR, 0.5, noise=0.1, weight=0.5) for o in ends[:2]] + ends
        pending = sorted(known[:running], key=lambda point: point.number)
        yield Past(sampler, space, ends, pending, rng.randint(1, 8) if number % 2 else 1, rng.randrange(2**32))


def _ended(rng: random.Random, point: Point) -> Observation:
    loss = sum((u - 0.3) ** 2 * (column + 1) for column, u in enumerate(point.unit)) + 0.05 * rng.random()
    kind, device = rng.choice(_KINDS), rng.choice(("", "T4", "H200"))
    if kind is Kind.VOID:
        return Observation(point, kind)
    if kind is Kind.INFEASIBLE:
        fault = rng.choice(_FAULTS)
        short = (device or "cpu",) if fault is Fault.OUT_OF_MEMORY else ()
        return Observation(point, kind, fault=fault, device=device, oom_device_kinds=short)
    rungs = tuple((rung, loss + 1 / rung) for rung in (1, 3, 9)[: 3 if kind is Kind.FINISHED else rng.randint(1, 2)])
    last = loss if kind is Kind.FINISHED else rungs[-1][1]
    short = ("T4",) if rng.random() < 0.1 else ()
    return Observation(point, kind, last, rungs=rungs, device=device, oom_device_kinds=short)
