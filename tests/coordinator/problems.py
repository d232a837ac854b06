"""Functions whose best value is known, and a study simulated on them without any service."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from celeriac.domain.space import Choice, Float, Int, Space
from coordinator.samplers.api import Kind, Observation, Point, Sampler, proposed

Objective = Callable[[Mapping[str, Any]], float]

BRANIN_SPACE = Space({"x": Float(-5, 10), "y": Float(0, 15)})
BRANIN_BEST = 0.397887

HARTMANN_SPACE = Space({f"x{column}": Float(0, 1) for column in range(6)})
HARTMANN_BEST = -3.32237
_A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
_P = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]
_WEIGHTS = [1.0, 1.2, 3.0, 3.2]

# As a training study has it: a log range, whole numbers, a choice, and a parameter that hangs on the choice.
MIXED_SPACE = Space(
    {
        "lr": Float(1e-4, 1e-1, log=True),
        "width": Int(16, 256, log=True),
        "optimizer": Choice(("sgd", "adam", "rms")),
        "momentum": Float(0.5, 0.99, when={"optimizer": "sgd"}),
        "layers": Int(1, 5),
    }
)


def branin(params: Mapping[str, Any]) -> float:
    x, y = params["x"], params["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def hartmann(params: Mapping[str, Any]) -> float:
    x = [params[f"x{column}"] for column in range(6)]
    return -sum(
        weight * math.exp(-sum(a * (v - p) ** 2 for a, v, p in zip(row, x, centre, strict=True)))
        for weight, row, centre in zip(_WEIGHTS, _A, _P, strict=True)
    )


def mixed(params: Mapping[str, Any]) -> float:
    loss = (math.log10(params["lr"]) + 2.3) ** 2 + 0.1 * (math.log2(params["width"]) - 6.5) ** 2
    loss += {"sgd": 0.1, "adam": 0.0, "rms": 0.5}[params["optimizer"]]
    return float(loss + 5 * (params.get("momentum", 0.9) - 0.9) ** 2 + 0.1 * abs(params["layers"] - 3))


def simulate(
    suggest: Sampler, space: Space, objective: Objective, trials: int, seed: int, *, behind: int = 0
) -> list[Observation]:
    """A study of `trials`, each suggestion knowing all ends but the newest `behind`, as with so many workers."""
    observations: list[Observation] = []
    pending: list[Point] = []
    for number in range(trials):
        [proposal] = suggest(space, observations, pending, 1, seed)
        pending.append(proposed(space, proposal.params, number))
        if len(pending) > behind:
            point = pending.pop(0)
            observations.append(Observation(point, Kind.FINISHED, objective(point.params)))
    return observations + [Observation(point, Kind.FINISHED, objective(point.params)) for point in pending]
