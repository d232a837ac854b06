"""What a model gets that knows only points and losses.

A score counts as it is, a pruned trial with its estimated final score (`coordinator.samplers.training_rows`); all
are warped (`coordinator.samplers.warp`). A point that failed by its own fault, or whose score is not finite, counts
as bad as the worst score that is no outlier, so that the search avoids it. Noise and weights are left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coordinator.samplers.api import Kind, Observation, Point
from coordinator.samplers.encoding import Array
from coordinator.samplers.training_rows import Lessons, lessons
from coordinator.samplers.warp import Warp, warp_of


@dataclass(frozen=True, slots=True)
class Targets:
    """Points and their warped losses, in the order of their ends."""

    points: tuple[Point, ...]
    losses: Array
    warp: Warp

    def expected(self, mean: float, deviation: float) -> dict[str, Any]:
        """What a model expects of a proposal, for its `how`: warped values in, losses out."""
        best = self.losses.min()
        found = {**self.warp.expected(mean, deviation, best), "incumbent": self.warp.back(np.array([best]))[0]}
        return {**{name: float(f"{value:.6g}") for name, value in found.items()}, "kept": len(self.points)}


def targets_of(observations: Sequence[Observation], most: int, seed: int) -> Targets | None:
    """At most `most` rows: a third the best, a third the newest, the rest at random; None when nothing has a score."""
    telling = tuple(o for o in observations if o.kind is Kind.INFEASIBLE or o.loss is not None)
    scored = np.array([_is_scored(o) for o in telling], dtype=bool)
    if not scored.any():
        return None
    known = lessons([o for o in telling if _is_scored(o)]).losses
    warp = warp_of(known)
    losses = np.full(len(telling), warp(known).max())
    losses[scored] = warp(known)
    rows = Lessons(telling, losses, np.zeros(len(telling)), np.ones(len(telling)))
    kept = rows.subset(most, np.random.default_rng([seed, len(telling)]))
    return Targets(tuple(o.point for o in kept.observations), kept.losses, warp)


def _is_scored(observation: Observation) -> bool:
    return observation.kind is not Kind.INFEASIBLE and observation.loss is not None and math.isfinite(observation.loss)
