"""Nights with known truth."""

import random

from celeriac.decide.gate import Evidence, GateDecision, GateRules, Pair, Past, Run, decide_gate, open_gate

BLOCKS = 20


def night(
    rng: random.Random, *, gain: float = 0.0, shared: float = 0.0, blocks: int = BLOCKS, pairs: int = 18
) -> list[Pair]:
    """Pairs of trainings with a standard deviation of 1 and no correlation. `shared`: the hold-out's noise, in standard
    deviations of a pair's difference.
    """
    noise = shared * 2**0.5
    if not blocks:
        odd = rng.gauss(0, noise)
        return [Pair(seed, Run(rng.gauss(0, 1)), Run(rng.gauss(gain, 1) + odd)) for seed in range(pairs)]
    odds = [rng.gauss(0, noise * blocks**0.5) for _ in range(blocks)]
    return [Pair(seed, _run(rng, 0.0, [0.0] * blocks), _run(rng, gain, odds)) for seed in range(pairs)]


def _run(rng: random.Random, mean: float, odds: list[float]) -> Run:
    level = rng.gauss(mean, 1)
    blocks = tuple(level + odd + rng.gauss(0, 0.5) for odd in odds)
    return Run(level, blocks)


def played(
    pairs: list[Pair],
    rules: GateRules,
    past: Past | None = None,
    *,
    before: Evidence | None = None,
    level: float | None = None,
) -> GateDecision:
    """The gate's last word on a night, asked as the coordinator asks."""
    first = Evidence() if before is None else before
    decided = open_gate(rules, past, before=first, level=level)
    while decided.verdict == "more":
        decided = decide_gate(pairs[: decided.wanted], rules, past, before=first, level=level)
    return decided
