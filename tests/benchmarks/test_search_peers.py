"""The peers of `benchmarks.search`: each minimises, stays in the space, and is told what runs."""

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pytest

from benchmarks.search.clock import Ended, Trial, duration, study
from benchmarks.search.methods import PEERS, method
from celeriac.domain.space import Choice, Float, Int, Space

SPACE = Space({"x": Float(0.0, 1.0), "rate": Float(1e-4, 1.0, log=True), "k": Int(1, 5), "c": Choice(("a", "b", "c"))})


def _loss(trial: Trial) -> float:
    params = trial.params
    return float(params["x"] + params["rate"] + params["k"] + {"a": 2.0, "b": 0.0, "c": 1.0}[params["c"]])


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_minimises_within_the_space(name: str) -> None:
    ends = list(study(method(name, SPACE, 1), _loss, lambda n: duration("p", 1, n), 2, 18))
    for end in ends:
        assert SPACE.validate(end.trial.params) == end.trial.params
        assert json.loads(json.dumps(end.trial.params)) == end.trial.params
    by_number = [end.loss for end in sorted(ends, key=lambda end: end.trial.number)]
    assert fmean(by_number[-4:]) < fmean(by_number[:10]) - 1.0


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_takes_up_a_study_that_it_did_not_begin(name: str) -> None:
    """The best of what it is told lies in a corner, and what runs is the corner itself."""
    params = [SPACE.from_unit([(n % 7) / 6, (n % 5) / 4, (n % 3) / 2, n / 14]) for n in range(14)]
    trials = [Trial(number, params[number]) for number in range(14)]
    ended: Sequence[Ended] = [Ended(trial, _loss(trial), 0.0) for trial in trials]
    corner: dict[str, Any] = {"x": 0.0, "rate": 1e-4, "k": 1, "c": "b"}
    ask = method(name, SPACE, 2)
    proposed = ask(ended, [Trial(14, corner)])
    assert SPACE.validate(proposed) == proposed != corner
