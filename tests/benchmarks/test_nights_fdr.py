"""The bench of many slices computes their tests together: each is what the gate itself says."""

import numpy as np
import pytest

from benchmarks.nights.fdr import FDR, GAIN, judged
from celeriac.decide.gate import Evidence, GateDecision, GateRules, Pair, Run, decide_gate, open_gate

RULES = GateRules("maximize", fdr=FDR)


def by_the_gate(differences: np.ndarray, level: float, weight: float) -> GateDecision:
    """A night on a hold-out whose 20 blocks all say the same: it has no noise of its own."""
    pairs = [Pair(seed, Run(0.0, (0.0,) * 20), Run(float(d), (float(d),) * 20)) for seed, d in enumerate(differences)]
    before = Evidence(weight=weight)
    decided = open_gate(RULES, before=before, level=level)
    while decided.verdict == "more":
        decided = decide_gate(pairs[: decided.wanted], RULES, before=before, level=level)
    return decided


def test_the_tests_of_the_bench_are_the_gates() -> None:
    rng = np.random.default_rng(1)
    slices = 80
    differences = rng.standard_normal((slices, 18)) + GAIN * (rng.random(slices) < 0.5)[:, None]
    levels = rng.choice([0.0004, 0.004, 0.02], slices)
    weights = rng.choice([0.7, 1.0, 6.0], slices)
    p, pairs = judged(differences, levels * weights)
    decided = [by_the_gate(*row) for row in zip(differences, levels.tolist(), weights.tolist(), strict=True)]
    assert [len(each.pairs) for each in decided] == pairs.tolist()
    assert [each.p for each in decided] == pytest.approx(np.minimum(1.0, p / weights).tolist(), rel=1e-6)
    promoted = [each.verdict == "promote" for each in decided]
    assert promoted == (p / weights <= levels).tolist()
    assert 10 < sum(promoted) < 70
