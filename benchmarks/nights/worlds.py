"""Nights whose truth is known: trainings with normal, heavy-tailed and real noise, on a hold-out of some blocks.

A training's standard deviation is 1. `shared`: how far the hold-out's own noise, the same for all seeds of a night,
moves the mean difference, in standard deviations of a pair's difference.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.nights.flights_seeds import FILE
from celeriac.decide.gate import Evidence, GateDecision, GateRules, Pair, Past, Run, decide_gate, open_gate

BLOCKS, PAIRS = 20, 18
#: The standard deviation of one training's score on one block around its mean, in the noises that are drawn.
ON_A_BLOCK = 0.5
RULES = GateRules("maximize")


@dataclass(frozen=True)
class Noise:
    """`seeds(rng, correlation)`: (pairs, 2, blocks), the scores' noise by training; `blocks(rng)`: (blocks,), the
    hold-out's, with a mean square of 1 and an expectation of 0.
    """

    seeds: Callable[[np.random.Generator, float], np.ndarray]
    blocks: Callable[[np.random.Generator], np.ndarray]


def normal(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Standard normal."""
    return rng.standard_normal(size)


def heavy(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Student's t with 3 degrees of freedom, of variance 1."""
    return rng.standard_t(3, size) / 3**0.5


def drawn(kind: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Noise:
    """Noise of such a kind, in the trainings and in the blocks."""

    def seeds(rng: np.random.Generator, correlation: float) -> np.ndarray:
        level = (1 - correlation) ** 0.5 * kind(rng, (PAIRS, 2)) + correlation**0.5 * kind(rng, (PAIRS, 1))
        return np.asarray(level[:, :, None] + ON_A_BLOCK * kind(rng, (PAIRS, 2, BLOCKS)))

    return Noise(seeds, lambda rng: kind(rng, (BLOCKS,)))


def resampled() -> Noise:
    """The flights' own: seeds drawn with replacement from a night's trainings, and blocks from how the two sets of
    parameters differ on them.
    """
    loss = np.load(FILE)["loss"].astype(float)  # (nights, who, seeds, blocks)
    nights, _, seeds, blocks = loss.shape
    around = (loss - loss.mean(2, keepdims=True)) * (seeds / (seeds - 1)) ** 0.5
    scale = np.sqrt((around.mean(3) ** 2).mean(2))  # (nights, who): of a training's mean
    odd = loss[:, 1].mean(1) - loss[:, 0].mean(1)
    odd = odd - odd.mean(1, keepdims=True)
    odd /= np.sqrt((odd**2).mean(1, keepdims=True))

    def of_seeds(rng: np.random.Generator, correlation: float) -> np.ndarray:
        # Both contestants are trained with one set of parameters: they are equal.
        night, who = rng.integers(nights), rng.integers(2)
        return np.asarray(around[night, who][rng.integers(seeds, size=(PAIRS, 2))] / scale[night, who])

    def of_blocks(rng: np.random.Generator) -> np.ndarray:
        return np.asarray(odd[rng.integers(nights)][rng.integers(blocks, size=blocks)])

    return Noise(of_seeds, of_blocks)


def night(
    rng: np.random.Generator, noise: Noise, gain: float, shared: float = 0.0, correlation: float = 0.0
) -> list[Pair]:
    """As many pairs as a night may have."""
    scores = noise.seeds(rng, correlation)
    scores[:, 1] += gain
    if shared:
        of_difference = (2 * (1 - correlation)) ** 0.5
        odd = noise.blocks(rng)
        scores[:, 1] += shared * of_difference * len(odd) ** 0.5 * odd
    means = scores.mean(2)
    return [
        Pair(i, *(Run(float(means[i, who]), tuple(map(float, scores[i, who]))) for who in (0, 1))) for i in range(PAIRS)
    ]


def without_blocks(pairs: list[Pair]) -> list[Pair]:
    """The same trainings, judged by their mean alone."""
    return [Pair(pair.seed, Run(pair.champion.score), Run(pair.challenger.score)) for pair in pairs]


def played(
    pairs: list[Pair], rules: GateRules, past: Past | None = None, before: Evidence | None = None
) -> GateDecision:
    """The gate's last word on a night, asked as the coordinator asks."""
    brought = Evidence() if before is None else before
    decided = open_gate(rules, past, before=brought)
    while decided.verdict == "more":
        decided = decide_gate(pairs[: decided.wanted], rules, past, before=brought)
    return decided
