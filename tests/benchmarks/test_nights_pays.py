"""The bench of when tuning pays has the gate test many slices at once: each is what the gate itself says."""

import numpy as np
import pytest

from benchmarks.nights.pays import TRAINING_SD, judged
from celeriac.decide.gate import GateDecision, GateRules, Pair, Run, decide_gate, open_gate

RULES = GateRules("maximize")


def by_the_gate(differences: np.ndarray) -> GateDecision:
    """A night on a hold-out whose 20 blocks all say the same: it has no noise of its own."""
    pairs = [Pair(seed, Run(0.0, (0.0,) * 20), Run(float(d), (float(d),) * 20)) for seed, d in enumerate(differences)]
    decided = open_gate(RULES)
    while decided.verdict == "more":
        decided = decide_gate(pairs[: decided.wanted], RULES)
    return decided


def test_the_tests_of_the_bench_are_the_gates() -> None:
    rng = np.random.default_rng(3)
    noise, gain = rng.standard_normal((80, 18)), rng.choice([0.0, 0.4, 0.9], 80)
    found = judged(gain, noise)
    decided = [by_the_gate(row) for row in gain[:, None] + 2**0.5 * TRAINING_SD * noise]
    assert found.won.tolist() == [each.verdict == "promote" for each in decided]
    assert found.pairs.tolist() == [len(each.pairs) for each in decided]
    assert found.gain.tolist() == pytest.approx([each.gain for each in decided])
    errors = (found.squares / (found.pairs - 1) / found.pairs) ** 0.5
    assert errors.tolist() == pytest.approx([each.looks[-1].error for each in decided])
    assert 10 < found.won.sum() < 70
